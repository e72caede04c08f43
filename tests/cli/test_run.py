"""`vision detect` and its kin over sources: outputs, reports, exit codes. The model is a fake one."""

from __future__ import annotations

import csv
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from record_schema import check_record

from vision import zoo
from vision.card import Input
from vision.cli import main
from vision.cli.run.progress import share_of
from vision.engine import FakeEngine
from vision.io import Info, read
from vision.report import Report
from vision.sinks.film import VideoWriter
from vision.tasks.detect import Detector


def _two_objects(batch: np.ndarray) -> tuple[np.ndarray, ...]:
    """A person and a car at fixed places of the network's input."""
    boxes = np.array([[10, 10, 40, 60], [50, 20, 90, 50]], np.float32)
    scores = np.zeros((2, 80), np.float32)
    scores[0, 0], scores[1, 2] = 0.9, 0.6
    return np.stack([boxes] * len(batch)), np.stack([scores] * len(batch))


@pytest.fixture(autouse=True)
def _fake_detector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card = replace(zoo.find("default", "detect"), input=Input((640, 640), "letterbox"))
    monkeypatch.setattr(Detector, "load", lambda *args: Detector(FakeEngine(_two_objects), card))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """20 frames of 96x64 at uneven times: 0.1 s apart, then 0.3 s."""
    path = tmp_path / "clip.mp4"
    with VideoWriter(path) as out:
        for i in range(20):
            out.write(np.full((64, 96, 3), i * 12, np.uint8), i * 0.1 if i < 10 else 0.9 + (i - 9) * 0.3)
    return path


def vision_cli(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """The exit code of `vision ARGUMENTS`, run in this process."""
    monkeypatch.setattr(sys, "argv", ["vision", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_all_outputs_of_one_pass_agree(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = vision_cli(
        monkeypatch, "detect", clip, "-o", "out.mp4", "--jsonl", "out.jsonl", "--csv", "out.csv",
        "--coco", "out.json", "--yolo", "labels", "--save-frames", "frames", "--sheet", "sheet.png",
        "--report", "r.json",
    )
    assert code == 0
    records = lines(Path("out.jsonl"))
    assert [r["frame"] for r in records] == list(range(20))
    for record in records:
        check_record(record)
        assert [o["label"] for o in record["detect"]["objects"]] == ["person", "car"]
    want = [frame.time for frame in read(clip)]
    assert [r["time_s"] for r in records] == pytest.approx(want, abs=1e-6)
    assert [frame.time for frame in read("out.mp4")] == pytest.approx(want, abs=1e-4)
    with open("out.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 40
    assert len(json.loads(Path("out.json").read_text())) == 40
    assert len(list(Path("labels").glob("*.txt"))) == 20
    assert len(list(Path("frames").glob("*.png"))) == 20
    assert cv2.imread("sheet.png").shape[1] == 4 * 320
    report = json.loads(Path("r.json").read_text())[0]
    assert [report[k] for k in ("decoded", "inferred", "written", "unexplained")] == [20, 20, 20, 0]


def test_boxes_are_in_pixels_of_the_frame(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vision_cli(monkeypatch, "detect", clip, "--jsonl", "out.jsonl", "--max-frames", "1") == 0
    box = lines(Path("out.jsonl"))[0]["detect"]["objects"][0]["box"]
    scale = 640 / 96                                     # letterboxed to a longer side of 640
    top = (round(64 * scale / 32 + 0.49) * 32 - round(64 * scale)) // 2
    assert box == pytest.approx([10 / scale, (10 - top) / scale, 40 / scale, (60 - top) / scale], abs=0.3)


def test_range_and_stride(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = vision_cli(monkeypatch, "detect", clip, "--jsonl", "o.jsonl", "--start", "0.3", "--end", "2",
                      "--stride", "3", "--report", "r.json")
    assert code == 0
    want = [f.index for f in read(clip) if 0.3 - 1e-6 <= f.time < 2][::3]
    assert [r["frame"] for r in lines(Path("o.jsonl"))] == want
    assert json.loads(Path("r.json").read_text())[0]["unexplained"] == 0


@pytest.mark.parametrize(("start", "end", "most", "share"), [
    (0.0, None, None, 0.025), (0.0, 180.0, None, 0.5), (60.0, 180.0, None, 0.25), (0.0, 7200.0, None, 0.025),
    (0.0, 180.0, 1000, 0.9),
])
def test_how_much_is_done(start: float, end: float | None, most: int | None, share: float) -> None:
    film = Info("film.mp4", "video", duration=3600.0, start=start)
    assert share_of(film, Report(inferred=900), 90.0, end, most) == pytest.approx(share)
    assert share_of(replace(film, duration=None), Report(), 90.0, None, None) is None


def test_without_an_output_the_video_lies_beside_you(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vision_cli(monkeypatch, "detect", clip) == 0
    assert sum(1 for _ in read("clip-detect.mp4")) == 20


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.mp4"], "missing.mp4"),
        (["empty.mp4"], "empty"),
        (["text.mp4"], "text.mp4"),
        (["clip.mp4", "-o", "no/such/folder/out.mp4"], "out.mp4"),
        (["clip.mp4", "-o", "clip.mp4"], "overwrite"),
        (["clip.mp4", "--jsonl", "clip.mp4"], "overwrite"),
        (["clip.mp4", "--classes", "persom"], "person"),
        (["clip.mp4", "--start", "5", "--end", "2"], "end"),
        (["clip.mp4", "clip.mp4", "-o", "one.mp4"], "folder"),
        (["clip.mp4", "-o", "still.png"], ".mp4"),
    ],
)
def test_a_mistake_is_one_line_and_a_non_zero_exit(
    arguments: list[str], says: str, clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    Path("empty.mp4").touch()
    Path("text.mp4").write_text("this is not a video\n" * 10)
    before = clip.read_bytes()
    assert vision_cli(monkeypatch, "detect", *arguments) in (1, 2)
    told = [line for line in capsys.readouterr().err.splitlines() if "Error" in line]
    assert len(told) >= 1
    assert says in told[0]
    assert clip.read_bytes() == before


def test_a_mistake_does_not_empty_an_older_output(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("old.jsonl").write_text("precious\n")
    assert vision_cli(monkeypatch, "detect", "missing.mp4", "--jsonl", "old.jsonl") == 1
    assert vision_cli(monkeypatch, "detect", clip, "--classes", "persom", "--jsonl", "old.jsonl") == 2
    assert Path("old.jsonl").read_text() == "precious\n"


def test_one_bad_source_does_not_stop_the_others(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = vision_cli(monkeypatch, "detect", "gone.mp4", clip, "--jsonl", "o.jsonl", "--report", "r.json")
    assert code == 1
    assert len(lines(Path("o.jsonl"))) == 20
    assert [r["written"] for r in json.loads(Path("r.json").read_text())] == [0, 20]


def test_several_sources_into_a_folder(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = clip.parent / "still.jpg"
    cv2.imwrite(str(picture), np.full((50, 80, 3), 90, np.uint8))
    assert vision_cli(monkeypatch, "detect", clip, picture, "-o", "out") == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["clip-detect.mp4", "still-detect.png"]


def test_a_file_may_be_called_like_an_option(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("-clip-.mp4").write_bytes(clip.read_bytes())
    assert vision_cli(monkeypatch, "detect", "-clip-.mp4", "--jsonl", "o.jsonl") == 0
    assert len(lines(Path("o.jsonl"))) == 20


def test_ctrl_c_finishes_the_outputs_and_exits_130(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def slow(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt
        return _two_objects(batch)

    card = replace(zoo.find("default", "detect"), input=Input((640, 640), "letterbox"))
    engine = FakeEngine(slow)
    engine.submit = lambda batch: FakeEngine(lambda b: out).submit(batch) if (out := slow(batch)) else None
    monkeypatch.setattr(Detector, "load", lambda *args: Detector(engine, card))
    code = vision_cli(monkeypatch, "detect", clip, "-o", "o.mp4", "--jsonl", "o.jsonl", "--report", "r.json")
    assert code == 130
    report = json.loads(Path("r.json").read_text())[0]
    written = report["written"]
    assert 1 <= written < 20
    assert report["dropped"]["interrupted"] == report["decoded"] - written
    assert len(lines(Path("o.jsonl"))) == written
    assert sum(1 for _ in read("o.mp4")) == written


def test_quiet_says_nothing_and_help_imports_no_torch(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert vision_cli(monkeypatch, "detect", clip, "-q", "--jsonl", "-", "--max-frames", "2") == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert [json.loads(line)["frame"] for line in told.out.splitlines()] == [0, 1]


def test_signals_are_heard_by_the_run_alone(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs a command in a process of theirs hears their signals again afterwards."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(name) for name in names]
    assert vision_cli(monkeypatch, "detect", clip, "--jsonl", "o.jsonl", "-q") == 0
    assert [signal.getsignal(name) for name in names] == before
