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

from vision import Action, Detect, Detections, Frame, Item, Scores, Sink, SinkSpec, Step, Track
from vision.errors import DataError, SinkError, UsageError
from vision.files import json_lines
from vision.inspect.curves import read_curve
from vision.io import Info
from vision.serve.records import seen_in
from vision.sinks import CocoResults, Csv, JsonLines, YoloText
from vision.sinks.frames import FrameNames, ImageFolder, SaveFrames
from vision.sinks.show import Window
from vision.sinks.text import TextFile, rows_of
from vision.steps import Classify
from vision.tracking.stored import Stored
from vision.types import Tracks

NAMES = ("tench", "b", "c", "cat, grey", "e", "f", "g", "dog")
CAT = ([10.0, 20.0, 50.0, 100.0], 0.75, 3)
DOG = ([0.25, 0.0, 200.0, 80.5], 0.5, 7)


class Says(Step):
    """A step whose results are given."""

    names = NAMES

    def begin(self, frame: Frame, sofar: Any) -> Any:
        pytest.fail("its results are given")

    def about(self) -> dict[str, Any]:
        return {"model": "m", "backend": "b"}


def item(frame: int, objects: list[Any], source: str = "clips/walk.mp4", size_wh: tuple[int, int] = (200, 160)) -> Item:
    boxes, scores, labels = zip(*objects, strict=True) if objects else ([], [], [])
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    found = Detections(boxes, scores, labels)
    return Item(Frame(image, frame, frame / 10, source), {"detect": found}, [Says("detect")])


def opened(spec: SinkSpec, *plan: Any) -> Sink:
    sink = spec.open(plan or [Detect()])
    sink.begin(Info("clips/walk.mp4", "video"))
    return sink


records_of_any_text = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers() | st.none()), max_size=6
)


@settings(max_examples=25)
@given(records_of_any_text)
def test_text_is_whole_after_every_line(records: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "out.jsonl"
        out = TextFile(path)
        out.open()
        for i, one in enumerate(records, 1):
            out.append(json.dumps(one) + "\n")
            text = path.read_bytes()
            assert text.endswith(b"\n")
            assert [json.loads(line) for line in text.decode().split("\n")[:-1]] == records[:i]
        out.close()


def test_lines_on_standard_output() -> None:
    code = ("from vision.sinks.text import TextFile\nout = TextFile('-')\nout.open()\n"
            "out.append('{\"é\": 1}\\n')\nout.close()\nprint('after')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.decode("utf-8") == '{"é": 1}\nafter\n'


def test_csv_has_a_row_for_each_object_of_each_task(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    out = opened(Csv(path), Detect(), Track(), Classify())
    tracks = Tracks([DOG[0]], [0.5], [7], [12], [1.5], [1])
    frame = Frame(np.zeros((9, 9, 3), np.uint8), 2, 0.2, "=clip.mp4")
    both = Item(frame, {"track": tracks, "classify": Scores(np.array([0.9, 0.1]))}, [Says("track"), Says("classify")])
    for one in (item(0, [CAT, DOG]), item(1, []), both):
        out.take(one)
    out.close()
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(r["frame"], r["task"], r["label"], r["score"]) for r in rows] == [
        ("0", "detect", "cat, grey", "0.75"), ("0", "detect", "dog", "0.5"), ("2", "track", "dog", "0.5"),
        ("2", "classify", "tench", "0.9"), ("2", "classify", "b", "0.1"),
    ]                                                                               # fmt: skip
    assert (rows[0]["left"], rows[0]["bottom"], rows[0]["id"]) == ("10.0", "100.0", "")
    assert (rows[2]["right"], rows[2]["id"], rows[2]["age_s"]) == ("200.0", "12", "1.5")
    assert rows[2]["source"] == "'=clip.mp4"                       # no formula for a spreadsheet


def test_coco_results_are_whole_json_after_every_frame(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    out = opened(CocoResults(path))
    assert json.loads(path.read_text()) == []
    for i, objects in enumerate(([CAT], [], [DOG, CAT])):
        out.take(item(i, objects))
        assert len(json.loads(path.read_text())) == [1, 1, 3][i]
    out.close()
    first, second, _ = json.loads(path.read_text())
    assert first["bbox"] == [10.0, 20.0, 40.0, 80.0]
    assert (first["image_id"], first["category_id"], first["score"]) == (0, 3, 0.75)
    assert (second["image_id"], second["time_s"]) == (2, 0.2)


def test_coco_results_are_read_by_pycocotools(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    path = tmp_path / "results.json"
    out = opened(CocoResults(path))
    out.take(item(0, [CAT, DOG], source="val/000000000139.jpg"))
    out.close()
    truth = coco.COCO()
    truth.dataset = {"images": [{"id": 139}], "annotations": [], "categories": [{"id": 3}, {"id": 7}], "info": {}}
    truth.createIndex()
    loaded = truth.loadRes(str(path))
    assert [a["category_id"] for a in loaded.loadAnns(loaded.getAnnIds(imgIds=[139]))] == [3, 7]


def test_yolo_text_files(tmp_path: Path) -> None:
    out = opened(YoloText(tmp_path / "labels"))
    out.take(item(4, [CAT, DOG]))
    out.take(item(5, []))
    out.take(item(0, [CAT], source="a/one.jpg", size_wh=(100, 100)))
    out.take(item(1, [CAT], source="b/one.jpg", size_wh=(100, 100)))
    assert sorted(os.listdir(tmp_path / "labels")) == [
        "data.yaml", "one-2.txt", "one.txt", "walk-000004.txt", "walk-000005.txt",
    ]                                                                               # fmt: skip
    lines = (tmp_path / "labels" / "walk-000004.txt").read_text().splitlines()
    assert lines[0] == "3 0.150000 0.375000 0.200000 0.500000"     # five columns, as trainers read them
    x, y, w, h = (float(v) for v in lines[1].split()[1:5])
    assert [(x - w / 2) * 200, (y - h / 2) * 160, (x + w / 2) * 200, (y + h / 2) * 160] == pytest.approx(
        DOG[0], abs=1e-3
    )
    assert (tmp_path / "labels" / "walk-000005.txt").read_text() == ""
    more = opened(YoloText(tmp_path / "more", scores=True))
    more.take(item(4, [CAT]))
    assert (tmp_path / "more" / "walk-000004.txt").read_text().split()[5:] == ["0.7500"]


@pytest.mark.parametrize("spec", [CocoResults("r.json"), YoloText("labels")])
def test_sinks_of_boxes_refuse_a_plan_without_boxes(spec: SinkSpec) -> None:
    with pytest.raises(UsageError, match="writes boxes, and classify gives none"):
        spec.open([Classify()])


@pytest.mark.parametrize("kind", [JsonLines, Csv, CocoResults])
def test_files_that_cannot_be_written(tmp_path: Path, kind: Any) -> None:
    with pytest.raises(SinkError, match="No such file or directory"):
        kind(tmp_path / "nowhere" / "out").open([Detect()])
    with pytest.raises(SinkError, match="Is a directory"):
        kind(tmp_path).open([Detect()])


def test_two_runs_do_not_share_a_file(tmp_path: Path) -> None:
    first = opened(JsonLines(tmp_path / "out.jsonl"))
    with pytest.raises(SinkError, match="another run is writing it"):
        opened(JsonLines(tmp_path / "out.jsonl"))
    first.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_a_sink_error() -> None:
    out = opened(JsonLines("/dev/full"))
    with pytest.raises(SinkError, match="No space left on device"):
        out.take(item(0, []))


def test_an_idle_action_is_null_and_a_segment_is_not() -> None:
    idle = Action(np.array([0.2, 0.1]), -1, 1.0, 1.0).to_dict(NAMES)
    assert idle["action"] is None
    assert Action(np.array([0.9, 0.1]), 0, 1.0, 2.5).to_dict(NAMES)["action"]["end_s"] == 2.5


def test_a_text_that_goes_on_has_its_tail_also_where_nothing_follows(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    out = TextFile(path, tail="\n]\n")
    out.open(head="[")
    out.append("\n1")
    end = out.end
    out.append(",\n2")                                    # after the checkpoint
    out.close()
    out = TextFile(path, tail="\n]\n")
    out.open(end)
    assert path.read_text() == "[\n1\n]\n"
    out.append(",\n3")
    assert json.loads(path.read_text()) == [1, 3]
    out.close()


_FULL = """
import resource, signal, sys
from vision.errors import SinkError
from vision.sinks.text import TextFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))            # as if the disk were full there
out = TextFile(sys.argv[1], tail=sys.argv[2])
out.open()
try:
    while True:
        out.append("a line of text, whole\\n")
except SinkError as error:
    print(error)
"""


@pytest.mark.parametrize("tail", ["", "]"])
def test_a_full_disk_leaves_whole_lines(tmp_path: Path, tail: str) -> None:
    path = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", _FULL, str(path), tail], capture_output=True, text=True, check=True)
    assert "cannot be written (File too large)" in done.stdout
    text = path.read_text()
    assert 4000 < len(text) <= 5000
    assert set(text.removesuffix(tail).splitlines()) == {"a line of text, whole"}
    assert text.endswith(tail)


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    out = ImageFolder(tmp_path / "deep" / "frames")
    out.make()
    out.write(numbered(5), "a.png")
    with pytest.raises(SinkError, match="no picture format"):
        out.write(numbered(5), "a.nonsense")
    assert (cv2.imread(str(tmp_path / "deep" / "frames" / "a.png")) == numbered(5)).all()
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot be made"):
        ImageFolder(tmp_path / "file").make()


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


def test_a_cell_of_a_table_is_no_formula_and_points_are_left_as_they_are() -> None:
    cells = ["-3.5 2 .9;1 2 .3", "-0.5 1e-5;3 4", "=1+1", "@x", "-2+3", "-2", "+1 2=3", -2.5]
    (row,) = csv.reader([rows_of([cells])])
    assert row == ["-3.5 2 .9;1 2 .3", "-0.5 1e-5;3 4", "'=1+1", "'@x", "'-2+3", "'-2", "'+1 2=3", "-2.5"]


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
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image))
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 1.0)
    keys = iter([-1, ord("q")])
    monkeypatch.setattr(cv2, "waitKey", lambda _: next(keys))
    window = Window()
    for i in range(4):
        window.write(numbered(i), i / 10)
    assert (len(shown), window.closed) == (2, True)


@pytest.mark.parametrize("cut", [1, 49, -20, -2])           # 49: in the middle of a letter
def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture) -> None:
    sink = opened(JsonLines(tmp_path / "o.jsonl"))
    for n in range(3):
        sink.take(item(n, [CAT, DOG], source="clips/é.mp4"))
    sink.close()
    whole = (tmp_path / "o.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "o.jsonl").write_bytes(b"".join(whole[:2]) + whole[2][:cut])
    assert [(n, line.encode()) for n, line in json_lines(tmp_path / "o.jsonl")] == list(enumerate(whole[:2], 1))
    assert "o.jsonl: the last line, 3, is cut off" in caplog.text
    (film,) = Stored.read(tmp_path / "o.jsonl").films.values()
    assert sorted(film.frames) == [0, 1]
    assert len(seen_in([tmp_path / "o.jsonl"], None, print)["detect m"]) == 2


def test_a_last_line_without_an_end_counts_and_a_broken_one_elsewhere_is_told(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    path.write_text('{"epoch": 0, "a": 1}\n{"epoch": 1, "a": 2}')
    assert read_curve(path) == {"a": [(1, 1.0), (2, 2.0)]}
    path.write_text('{"epoch": 0, "a": 1}\n{"epoch": 1, "a"')
    assert read_curve(path) == {"a": [(1, 1.0)]}
    for broken in ('{"epoch": 0, "a"', '{"epoch": 0, "a"\n{"epoch": 1, "a": 2}\n'):
        path.write_text(broken)
        with pytest.raises(DataError, match="line 1 is no line of a curve"):
            read_curve(path)
    path.write_bytes(b'{"epoch": 0}\n\xff\n')
    with pytest.raises(DataError, match="line 2, is no text in UTF-8"):
        list(json_lines(path))
    with pytest.raises(DataError, match="cannot be read"):
        list(json_lines(tmp_path))


@pytest.mark.parametrize(("sources", "names"), [
    ([("clip.mp4", 12), ("clip-000012.jpg", 0)], ["clip-000012", "clip-000012-2"]),
    ([("clip-000012.jpg", 0), ("clip.mp4", 12)], ["clip-000012", "clip-2-000012"]),
    ([("a/IMG.jpg", 0), ("b/img.jpg", 0), ("c/Img.mp4", 3)], ["IMG", "img-2", "Img-3-000003"]),
    ([("a-000001.jpg", 0), ("a-000002.jpg", 1), ("a.jpg", 2)], ["a-000001", "a-000002", "a"]),
    ([("a.gif", 0), ("a.gif", 1), ("a.gif", 2), ("A-000001.png", 0)], ["a", "a-000001", "a-000002", "A-000001-2"]),
    ([("A-000001.png", 0), ("a.gif", 0), ("a.gif", 1), ("a.gif", 2)], ["A-000001", "a", "a-2-000001", "a-2-000002"]),
])
def test_no_two_frames_have_one_name(sources: list[tuple[str, int]], names: list[str]) -> None:
    """Nor names of one file where capitals do not count; also where the names are given on after a kill."""
    given, resumed = FrameNames(), FrameNames()
    for source, name in zip(sources, names, strict=True):
        resumed.restore(given.state())
        assert (given(*source), resumed(*source)) == (name, name)


def test_a_camera_that_comes_back_replaces_no_picture(tmp_path: Path) -> None:
    out = SaveFrames(tmp_path / "frames").open([Detect()])
    for _ in range(2):
        out.begin(Info("rtsp://cam", "stream", live=True))
        for index in range(2):
            out.take(Item(Frame(np.zeros((9, 9, 3), np.uint8), index, 0.0, "rtsp://cam"), {}, []))
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [
        "cam-000000.png", "cam-000001.png", "cam-2-000000.png", "cam-2-000001.png"]
