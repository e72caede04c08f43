"""Sinks of records and of single pictures."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import numbered

from vision.errors import SinkError
from vision.io import CocoResults, Csv, FrameNames, ImageFolder, JsonLines, Window, YoloTxt


def record(frame: int, objects: list[dict[str, Any]], source: str = "clips/walk.mp4") -> dict[str, Any]:
    return {
        "source": source, "frame": frame, "time_s": frame / 10, "task": "detect", "model": "m",
        "objects": objects,
    }                                                                               # fmt: skip


CAT = {"label": "cat, grey", "class_id": 3, "score": 0.75, "box": [10.0, 20.0, 50.0, 100.0]}
DOG = {"label": "dog", "class_id": 7, "score": 0.5, "box": [0.25, 0.0, 200.0, 80.5], "id": 12, "age_s": 1.5}
CLASSIFIED = {
    "source": "a.jpg", "frame": 0, "time_s": 0.0, "task": "classify", "model": "m",
    "scores": [
        {"label": "tench", "class_id": 0, "score": 0.9}, {"label": "crane", "class_id": 134, "score": 0.1},
    ],
}                                                                                   # fmt: skip
records_of_any_text = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers() | st.none()), max_size=6
)


@settings(max_examples=25)
@given(records_of_any_text)
def test_json_lines_are_whole_after_every_record(records: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "out.jsonl"
        with JsonLines(path) as out:
            for i, one in enumerate(records, 1):
                out.write(one)
                text = path.read_bytes()
                assert text.endswith(b"\n")
                assert [json.loads(line) for line in text.decode().split("\n")[:-1]] == records[:i]


def test_json_lines_on_standard_output() -> None:
    code = "from vision.io import JsonLines\nwith JsonLines('-') as out: out.write({'é': 1})\nprint('after')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.decode("utf-8") == '{"é": 1}\nafter\n'


def test_csv_has_a_row_for_each_object(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with Csv(path) as out:
        for one in (record(0, [CAT, DOG]), record(1, []), CLASSIFIED):
            out.write(one)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(r["frame"], r["label"], r["score"]) for r in rows] == [
        ("0", "cat, grey", "0.75"), ("0", "dog", "0.5"), ("0", "tench", "0.9"), ("0", "crane", "0.1"),
    ]                                                                               # fmt: skip
    assert (rows[0]["left"], rows[0]["bottom"], rows[0]["id"]) == ("10.0", "100.0", "")
    assert (rows[1]["right"], rows[1]["id"], rows[1]["age_s"]) == ("200.0", "12", "1.5")
    assert (rows[2]["left"], rows[2]["task"]) == ("", "classify")


def test_coco_results_are_whole_json_after_every_record(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with CocoResults(path) as out:
        assert json.loads(path.read_text()) == []
        for i, objects in enumerate(([CAT], [], [DOG, CAT])):
            out.write(record(i, objects))
            assert len(json.loads(path.read_text())) == [1, 1, 3][i]
    first, second, _ = json.loads(path.read_text())
    assert first["bbox"] == [10.0, 20.0, 40.0, 80.0]
    assert (first["image_id"], first["category_id"], first["score"]) == (0, 3, 0.75)
    assert (second["image_id"], second["time_s"]) == (2, 0.2)


def test_coco_results_are_read_by_pycocotools(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    path = tmp_path / "results.json"
    with CocoResults(path, category_ids={3: 17, 7: 18}) as out:
        out.write(record(0, [CAT, DOG], source="val/000000000139.jpg"))
    truth = coco.COCO()
    truth.dataset = {
        "images": [{"id": 139}], "annotations": [], "categories": [{"id": 17}, {"id": 18}], "info": {},
    }                                                                               # fmt: skip
    truth.createIndex()
    loaded = truth.loadRes(str(path))
    assert [a["category_id"] for a in loaded.loadAnns(loaded.getAnnIds(imgIds=[139]))] == [17, 18]


def test_yolo_text_files(tmp_path: Path) -> None:
    with YoloTxt(tmp_path / "labels") as out:
        out.write(record(4, [CAT, DOG]), (200, 160))
        out.write(record(5, []), (200, 160))
        out.write(record(0, [CAT], source="a/one.jpg"), (100, 100))
        out.write(record(1, [CAT], source="b/one.jpg"), (100, 100))
    assert sorted(os.listdir(tmp_path / "labels")) == [
        "one-2.txt", "one.txt", "walk-000004.txt", "walk-000005.txt",
    ]                                                                               # fmt: skip
    lines = (tmp_path / "labels" / "walk-000004.txt").read_text().splitlines()
    assert lines[0] == "3 0.150000 0.375000 0.200000 0.500000 0.7500"
    assert lines[1].split()[-1] == "12"
    x, y, w, h = (float(v) for v in lines[1].split()[1:5])
    assert [(x - w / 2) * 200, (y - h / 2) * 160, (x + w / 2) * 200, (y + h / 2) * 160] == pytest.approx(
        DOG["box"], abs=1e-3
    )
    assert (tmp_path / "labels" / "walk-000005.txt").read_text() == ""


def test_sinks_of_boxes_refuse_other_records(tmp_path: Path) -> None:
    with CocoResults(tmp_path / "r.json") as coco, pytest.raises(SinkError, match="'classify' has none"):
        coco.write(CLASSIFIED)
    with YoloTxt(tmp_path / "labels") as yolo, pytest.raises(SinkError, match="'classify' has none"):
        yolo.write(CLASSIFIED, (10, 10))


@pytest.mark.parametrize("sink", [JsonLines, Csv, CocoResults])
def test_files_that_cannot_be_written(tmp_path: Path, sink: Any) -> None:
    with pytest.raises(SinkError, match="No such file or directory"):
        sink(tmp_path / "nowhere" / "out")
    with pytest.raises(SinkError, match="Is a directory"):
        sink(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_a_sink_error() -> None:
    with JsonLines("/dev/full") as out, pytest.raises(SinkError, match="No space left on device"):
        out.write({"frame": 0})


_FULL = """
import json, resource, signal, sys
from vision.errors import SinkError
from vision.io import CocoResults, Csv, JsonLines
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))            # as if the disk were full there
record = json.loads(sys.argv[3])
with {"JsonLines": JsonLines, "Csv": Csv, "CocoResults": CocoResults}[sys.argv[1]](sys.argv[2]) as out:
    try:
        while True:
            out.write(record)
    except SinkError as error:
        print(error)
"""


@pytest.mark.parametrize("sink", ["JsonLines", "Csv", "CocoResults"])
def test_a_full_disk_leaves_whole_records(tmp_path: Path, sink: str) -> None:
    path = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", _FULL, sink, str(path), json.dumps(record(0, [CAT, DOG]))],
        capture_output=True, text=True, check=True,
    )                                                                               # fmt: skip
    assert "cannot be written (File too large)" in done.stdout
    text = path.read_text()
    assert 4000 < len(text) <= 5000
    if sink == "JsonLines":
        assert [json.loads(line) for line in text.splitlines()] == [record(0, [CAT, DOG])] * text.count("\n")
    elif sink == "CocoResults":
        assert len(json.loads(text)) % 2 == 0
    else:
        assert {len(row) for row in csv.reader(text.splitlines())} == {len(Csv.columns)}


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    with ImageFolder(tmp_path / "deep" / "frames") as out:
        out.write(numbered(5), "a.png")
        with pytest.raises(SinkError, match="no picture format"):
            out.write(numbered(5), "a.nonsense")
    assert (cv2.imread(str(tmp_path / "deep" / "frames" / "a.png")) == numbered(5)).all()
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot be made"):
        ImageFolder(tmp_path / "file")


def test_half_a_picture_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    out = ImageFolder(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(SinkError, match=r"a\.png' cannot be written \(No space left"):
        out.write(numbered(1), "a.png")
    assert os.listdir(tmp_path) == []


def test_names_of_frames() -> None:
    names = FrameNames()
    frames = [("a/x.jpg", 0), ("b/x.jpg", 1), ("a/x.jpg", 0), ("v.mp4", 7)]
    assert [names(source, i) for source, i in frames] == ["x", "x-2", "x", "v-000007"]
    moving = [(f"{folder}/m.gif", i) for folder in "ab" for i in range(2)]
    assert [names(source, i) for source, i in moving] == ["m", "m-000001", "m-2", "m-2-000001"]
    clips = [(f"{folder}/c.mp4", i) for folder in "ab" for i in range(2)]
    assert len({names(source, i) for source, i in clips}) == 4
    assert (names("-", 3), names("-clip-.mp4", 3)) == ("frame-000003", "clip-000003")


@pytest.mark.skipif(sys.platform != "linux", reason="displays are told by the environment on Linux")
def test_a_window_without_a_display_is_an_error_and_no_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(SinkError, match="no display"):
        Window()
    monkeypatch.setenv("DISPLAY", ":987")                          # set, but nobody is there
    with pytest.raises(SinkError, match="cannot open a window"):
        Window()


def test_q_closes_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[np.ndarray] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image))
    keys = iter([-1, ord("q")])
    monkeypatch.setattr(cv2, "waitKey", lambda _: next(keys))
    window = Window()
    for i in range(4):
        window.write(numbered(i), i / 10)
    assert (len(shown), window.closed) == (2, True)
