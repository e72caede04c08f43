"""`vision gallery`, `identify`, `blur` and `hands` on the command line: what they print, write and refuse."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vision.cli import main
from vision.io import read
from vision.people.gallery import Gallery
from vision.sinks.film import VideoWriter

Vision = Callable[..., int]


@pytest.fixture
def vision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Vision:
    """Runs a command in a folder of its own; gives the exit status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VISION_PASSPHRASE", raising=False)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["vision", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0)

    return run


@pytest.fixture
def people(tmp_path: Path, photos: dict[str, Path]) -> None:
    image = cv2.imread(str(photos["zidane"]))
    for name, part in (("Carlo", image[0:480, 740:1220]), ("Zinedine", image[150:620, 380:850])):
        (tmp_path / "people" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "people" / name / "1.png"), part)
    cv2.imwrite(str(tmp_path / "both.png"), image)


@pytest.mark.slow
@pytest.mark.usefixtures("people")
def test_a_gallery_from_end_to_end(
    vision: Vision, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert vision("gallery", "enrol", "people", "-o", "team.faces") == 0
    assert "team.faces: 2 people, 2 pictures" in capsys.readouterr().out
    assert vision("gallery", "show", "team.faces") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["  Carlo: 1 picture", "  Zinedine: 1 picture"]
    outputs = ("--jsonl", "out.jsonl", "--yolo", "labels", "-q")
    assert vision("identify", "both.png", "--gallery", "team.faces", *outputs) == 0
    record = json.loads((tmp_path / "out.jsonl").read_text())["identify"]
    assert {one["label"] for one in record["objects"]} == {"Carlo", "Zinedine"}
    assert record["max_distance"] == 0.46
    assert "names:\n  0: unknown\n  1: Carlo" in (tmp_path / "labels/data.yaml").read_text()
    assert vision("gallery", "forget", "team.faces", "Carl") == 2
    assert "Nearest: Carlo" in capsys.readouterr().err
    assert vision("gallery", "forget", "team.faces", "Carlo") == 0
    assert vision("gallery", "enrol", "people", "-o", "team.faces", "--add") == 1
    assert "two people of one name: 'Zinedine' and 'Zinedine'" in capsys.readouterr().err
    assert vision("gallery", "verify", "people/Carlo/1.png", "people/Carlo/1.png") == 0
    assert "the same person: distance 0.000" in capsys.readouterr().out
    assert vision("gallery", "verify", "people/Carlo/1.png", "people/Zinedine/1.png") == 1
    assert vision("gallery", "verify", "both.png", "people/Carlo/1.png") == 1
    assert "both.png: 2 faces" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("people")
def test_a_pass_phrase(vision: Vision, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cryptography", reason="the extra 'gallery'")
    assert vision("gallery", "enrol", "people", "-o", "team.faces", "--encrypt") == 2
    assert "VISION_PASSPHRASE" in capsys.readouterr().err                # nobody is there to type one
    monkeypatch.setenv("VISION_PASSPHRASE", "phrase")
    assert vision("gallery", "enrol", "people", "-o", "team.faces", "--encrypt") == 0
    assert "encrypted" in capsys.readouterr().out
    assert vision("identify", "both.png", "--gallery", "team.faces", "--jsonl", "-", "-q") == 0
    Path("more").mkdir()
    Path("people/Carlo").rename("more/Charles")
    assert vision("gallery", "enrol", "more", "-o", "team.faces", "--add") == 0      # it was written in the clear
    assert "3 people, 3 pictures" in (said := capsys.readouterr().out)
    assert "encrypted" in said
    assert Path("team.faces").read_bytes().startswith(b"vision gallery, encrypted")
    monkeypatch.setenv("VISION_PASSPHRASE", "other")
    assert vision("gallery", "enrol", "more", "-o", "team.faces", "--add") == 1
    assert "cannot be decrypted" in capsys.readouterr().err
    assert vision("identify", "both.png", "--gallery", "team.faces", "-q") == 1
    assert "cannot be decrypted" in capsys.readouterr().err


def test_people_are_forgotten(
    vision: Vision, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the name as anybody writes it; and a pass phrase is asked for once, for a second one might be mistyped."""
    pytest.importorskip("cryptography", reason="the extra 'gallery'")
    gallery, typed = Gallery("net"), ["right", "rihgt"]
    for name in ("Jos\u00e9", "Ann", "Bob"):
        gallery.add(name, np.ones((1, 8), np.float32))
    gallery.save(tmp_path / "team.faces", "right")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("typer.prompt", lambda *how, **more: typed.pop(0))
    assert vision("gallery", "forget", "team.faces", "Jose\u0301", " Bob ") == 0
    assert "1 people left" in capsys.readouterr().out
    assert typed == ["rihgt"]
    assert Gallery.load(tmp_path / "team.faces", "right").names == ("Ann",)


def test_what_is_refused(vision: Vision, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cv2.imwrite("grey.png", np.full((64, 64, 3), 128, np.uint8))
    for arguments, told in (
        (("identify", "grey.png"), "nobody to compare with: give --gallery"),
        (("identify", "grey.png", "--gallery", "none"), "the gallery 'none' cannot be read"),
        (("attributes", "grey.png", "--guess", "ethnicity"), "ethnicity is not inferred"),
        (("blur", "grey.png", "--blur.every", "2"), "faces are blurred in every frame"),
        (("blur", "grey.png", "--enlarge", "0.5"), "--enlarge is at least 1"),
        (("hands", "grey.png", "--min-presence", "3"), "--min-presence is at least 0 and at most 1"),
        (("gallery", "show", "grey.png"), "is no gallery"),
        (("gallery", "enrol", "none", "-o", "x.faces"), "there is no folder 'none'"),
        (("eval", "identity", "--data", str(tmp_path / "none")), "has no pictures"),
    ):
        assert vision(*arguments) != 0
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert told in error, error


def test_blur_faces_with_another_command(vision: Vision, photos: dict[str, Path], tmp_path: Path) -> None:
    """The film has the faces covered."""
    image = cv2.imread(str(photos["zidane"]))[100:580, 480:1120]
    with VideoWriter("in.mp4") as out:
        for i in range(8):
            out.write(np.ascontiguousarray(image), i / 10)
    assert vision("hands", "in.mp4", "--blur-faces", "-o", "out.mp4", "--jsonl", "out.jsonl", "-q") == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(lines) == 8
    assert all("hands" in line and len(line["blur"]["objects"]) >= 2 for line in lines)
    left, top, right, bottom = (round(v) for v in lines[4]["blur"]["objects"][0]["box"])
    frame = list(read("out.mp4"))[4].image[top:bottom, left:right]
    plain = image[top:bottom, left:right]
    sharp = [np.abs(cv2.Laplacian(np.ascontiguousarray(part), cv2.CV_32F)) for part in (frame, plain)]
    assert np.median(sharp[0]) < 0.5 * np.median(sharp[1])               # squares of one colour


def test_events_of_hands(vision: Vision, photos: dict[str, Path], tmp_path: Path) -> None:
    image = cv2.imread(str(photos["zidane"]))[250:610, 640:1280]
    with VideoWriter("in.mp4") as out:
        for i in range(12):
            out.write(np.ascontiguousarray(image), i / 10)
    assert vision("hands", "in.mp4", "--events", "e.csv", "-q") == 0
    rows = (tmp_path / "e.csv").read_text().splitlines()
    assert rows[0] == "source,frame,time_s,event,label,id,x,y,lasted_s"
    assert [row.split(",")[3:6] for row in rows[1:]] == [["begin", "point", "1"], ["end", "point", "1"]]
