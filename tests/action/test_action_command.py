"""`vision action`: each video of a folder, a glob or a list is one of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import WriteVideo, recognizer
from typer.testing import CliRunner

from vision.cli import app
from vision.errors import MissingExtra, UsageError
from vision.tasks.action import Recognizer

BLUE, GREEN, RED = (np.zeros((32, 32, 3), np.uint8) for _ in range(3))
for label, picture in enumerate((BLUE, GREEN, RED)):
    picture[..., label] = 255


@pytest.fixture
def folder(write_video: WriteVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four videos, the last two shorter than a window, and two pictures in a folder below."""
    monkeypatch.setattr(Recognizer, "load", lambda *_: recognizer()[0])
    write_video("all/a.mp4", [BLUE] * 25 + [RED] * 25)
    write_video("all/b.mp4", [RED] * 30)
    write_video("all/c.mp4", [GREEN])
    write_video("all/d.mp4", [RED] * 2)
    (tmp_path / "all" / "stills").mkdir()
    for name in "ef":
        cv2.imwrite(str(tmp_path / "all" / "stills" / f"{name}.png"), GREEN)
    return tmp_path / "all"


def segments(out: Path, *arguments: object) -> list[dict]:
    """The rows that `vision action` writes."""
    result = CliRunner().invoke(app, ["action", *map(str, arguments), "-q", "--jsonl", str(out.with_suffix(".x")),
                                      "--segments", str(out)])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_each_video_of_a_folder_has_its_own_segments(folder: Path, tmp_path: Path) -> None:
    one_by_one = [row for name in "abcd" for row in segments(tmp_path / "s.jsonl", folder / f"{name}.mp4")]
    assert [(Path(row["source"]).name, row["label"]) for row in one_by_one] == [
        ("a.mp4", "blue"), ("a.mp4", "red"), ("b.mp4", "red"), ("c.mp4", "green"), ("d.mp4", "red"),
    ]
    assert segments(tmp_path / "s.jsonl", folder / "stills") == []              # a second apart
    pictures = segments(tmp_path / "s.jsonl", folder / "stills", "--rate", "10")
    assert [(Path(row["source"]).name, row["label"]) for row in pictures] == [("stills", "green")]
    of_list = [{**row, "source": str(folder)} for row in pictures]
    assert segments(tmp_path / "s.jsonl", folder, "--rate", "10") == [*one_by_one, *of_list]
    (folder / "list.txt").write_text("b.mp4\na.mp4\n")
    two = segments(tmp_path / "s.jsonl", folder / "list.txt")
    assert two == [*one_by_one[2:3], *one_by_one[:2]]


@pytest.mark.parametrize("arguments", [["--timeline", "t.png"], ["--segments", "s.ass"]])
def test_what_is_of_one_video_is_not_made_of_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["action", str(folder), "-q", "--jsonl", "x.jsonl", *arguments])
    assert result.exit_code == 1
    assert isinstance(result.exception, UsageError)
    assert "is of one video; got 5 sources" in str(result.exception)
    assert not list(tmp_path.glob("*.jsonl"))            # told before anything is read
    result = CliRunner().invoke(app, ["action", str(folder / "a.mp4"), "-q", "--jsonl", "x.jsonl", *arguments])
    assert result.exit_code == 0
    assert Path(arguments[1]).stat().st_size > 100


def test_the_page_of_an_evaluation_shows_the_videos_of_a_cell(
    write_video: WriteVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recognizer, "load", lambda *_: recognizer()[0])
    for name, picture in (("blue/a", BLUE), ("green/b", GREEN), ("green/c", RED), ("red/d", RED)):
        write_video(f"set/{name}.mp4", [picture] * 8)
    shown = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["eval", "action", "--data", str(tmp_path / "set"), "-q", "--html", str(shown)])
    assert done.exit_code == 0, done.output
    text = shown.read_text()
    assert text.count("<figure data-at=") == text.count("data:image/jpeg") == 1
    assert '<figure data-at="1 2">' in text                # what is green was taken for red
    assert "c.mp4" in text
    assert "<th>accuracy</th><td>0.7500</td>" in text
    assert "<th>videos</th>" in text


def test_what_the_page_needs_is_asked_for_before_videos_are_looked_at(
    write_video: WriteVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recognizer, "load", lambda *_: recognizer()[0])
    write_video("set/blue/a.mp4", [BLUE] * 8)
    asked = ["eval", "action", "--data", str(tmp_path / "set"), "-q", "--html", str(tmp_path / "page.html"),
             "--report", str(tmp_path / "report.json")]
    with monkeypatch.context() as patch:
        patch.setattr("vision.metrics.classification_page.page", lambda *_: 1 / 0)
        assert isinstance(CliRunner().invoke(app, asked).exception, ZeroDivisionError)
    assert json.loads((tmp_path / "report.json").read_text())["top1"] == 1.0       # it was written before
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    monkeypatch.setattr(Recognizer, "load", lambda *_: pytest.fail("a model was loaded"))
    assert isinstance(CliRunner().invoke(app, asked).exception, MissingExtra)
