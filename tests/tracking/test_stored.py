from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vision import Detect, Run, VideoWriter, read
from vision.errors import DataError, UsageError
from vision.record import record
from vision.tracking.stored import Stored
from vision.types import Detections, Frame


def frame(index: int, time: float | None = None, size_wh: tuple[int, int] = (64, 48)) -> Frame:
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    return Frame(image, index, index / 10 if time is None else time, "clip.mp4")


def written(folder: Path, frames: int = 3) -> Path:
    path = folder / "found.jsonl"
    lines = []
    for n in range(frames):
        seen = Detections([[1.234, 2, 30 + n, 40]], [0.12345], [2])
        lines.append(record(frame(n), {"detect": {"model": "m", **seen.to_dict(["a", "b", "c"])}}))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_records_give_back_what_was_found(tmp_path: Path) -> None:
    stored = Stored.read(written(tmp_path))
    assert (stored.model, stored.names) == ("m", ("0", "1", "c"))
    found = stored.at(frame(1))
    np.testing.assert_array_equal(found.boxes, np.array([[1.23, 2, 31, 40]], np.float32))
    assert found.scores.tolist() == [pytest.approx(0.1235, abs=1e-6)]


@pytest.mark.parametrize(("other", "message"), [
    (frame(3), "no record of frame 3"),
    (frame(1, time=0.2), r"frame 1 is at 0\.100 s, this one at 0\.200 s"),
    (frame(1, size_wh=(20, 20)), "frames have 64x48 pixels, these 20x20"),
])
def test_records_of_another_video_are_an_error(tmp_path: Path, other: Frame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Stored.read(written(tmp_path)).at(other)


def test_boxes_must_lie_in_the_frame_where_the_size_is_not_told(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace('"size": [64, 48], ', ""))
    with pytest.raises(DataError, match="lies outside of 20x20 pixels"):
        Stored.read(path).at(frame(1, size_wh=(20, 20)))


def test_boxes_may_lie_outside_where_the_size_is_told(tmp_path: Path) -> None:
    """As those of MOT text do, of which records were made."""
    path = written(tmp_path)
    path.write_text(path.read_text().replace("2.0, 31.0, 40.0", "2.0, 90.0, 140.0"))
    assert Stored.read(path).at(frame(1)).boxes[0, 2:].tolist() == [90, 140]


def test_the_index_is_no_time_of_a_picture(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace('"time_s": 0.1,', '"time_s": 1.0,'))
    assert len(Stored.read(path).at(frame(1, time=0.04))) == 1


def test_the_length_is_checked(tmp_path: Path) -> None:
    stored = Stored.read(written(tmp_path))
    stored.check_length(3)
    with pytest.raises(DataError, match="goes to frame 2, the video ends with 1"):
        stored.check_length(2)


def test_mot_text_may_leave_frames_out(tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text("2,-1,1,2,10,10,0.5\n9,-1,1,2,10,10,0.75\n")
    stored = Stored.read(tmp_path / "det.txt")
    assert [len(stored.at(frame(n))) for n in range(4)] == [0, 1, 0, 0]
    with pytest.raises(DataError, match="goes to frame 8"):
        stored.check_length(5)


@pytest.mark.parametrize(("line", "message"), [
    ("{", ":2: expected a record"),
    ('{"frame": 1, "task": "classify", "time_s": 0, "model": "m", "scores": []}', "its task is 'classify'"),
    ('{"frame": 0, "source": "clip.mp4", "task": "detect", "time_s": 0, "model": "m", "objects": []}',
     "frame 0 is there twice"),
    ('{"frame": 1, "task": "detect", "model": "m", "objects": []}', "time_s"),
    ("[]", ":2: expected a record"),
])
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = written(tmp_path, 1)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=message):
        Stored.read(path)


def line(index: int, source: str = "clip.mp4", **payloads: Any) -> str:
    """A record of schema 2."""
    return json.dumps({
        "schema": 2, "kind": "frame", "source": source, "frame": index, "time_s": index / 10,
        "size": [64, 48], **payloads,
    }) + "\n"


def payload(*found: tuple[float, float, int], weak: list[tuple[float, float, int]] | None = None) -> dict:
    """What a detector says: left side, score, class."""
    def objects(rows: Sequence[tuple[float, float, int]]) -> list[dict[str, Any]]:
        return [{"label": "abcdefgh"[c], "class_id": c, "score": s, "box": [x, 2, x + 9, 40]}
                for x, s, c in rows]

    more = {} if weak is None else {"weak": objects(weak)}
    return {"model": "m", "precision": "int8", "backend": "openvino", "min_score": 0.475,
            "objects": objects(found), **more}


def tracked(*rows: int) -> dict:
    objects = payload(*[(left, 0.9, 0) for left in rows])["objects"]
    return {"model": "m", "objects": [{**entry, "id": 7, "row": 0} for entry in objects]}


def test_records_of_schema_2_give_back_what_was_found_weak_boxes_included(tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    path.write_text(
        line(0, track=tracked(5), detect=payload((1, 0.9, 2), weak=[(20, 0.2, 3), (30, 0.1, 2)]))
        + json.dumps({"schema": 2, "kind": "gap", "source": "clip.mp4", "seconds": 3}) + "\n"
        + json.dumps({"schema": 2, "kind": "event", "event": "cross", "objects": [{}]}) + "\n"
        + line(1, detect=payload(weak=[])) + line(2, detect=payload((1, 0.9, 1))),
        encoding="utf-8",
    )
    stored = Stored.read(path)
    assert (stored.model, stored.names, stored.min_score) == ("m", ("0", "b", "c", "d"), 0.475)
    first = stored.at(frame(0))
    assert first.boxes.tolist() == [[1, 2, 10, 40]]
    assert first.weak is not None
    assert (first.weak.boxes[:, 0].tolist(), first.weak.labels.tolist()) == ([20, 30], [3, 2])
    assert [len(stored.at(frame(n)).everything) for n in range(3)] == [3, 0, 1]
    assert stored.at(frame(1)).weak is not None
    assert stored.at(frame(2)).weak is None
    chosen = stored.only(["C "])
    assert [chosen.at(frame(n)).everything.labels.tolist() for n in range(3)] == [[2, 2], [], []]
    assert stored.only(["d"]).at(frame(0)).everything.labels.tolist() == [3]


def test_pictures_have_their_own_boxes_whichever_others_there_are(tmp_path: Path) -> None:
    path, seen = tmp_path / "pictures.jsonl", Detections([[1, 2, 30, 40]], [0.9], [0])
    rows = [record(replace(frame(n, float(n)), source=f"eq/{name}.jpg"), {"detect": {"model": "m", **(
        replace(seen, labels=np.array([n]))).to_dict("bcd")}}) for n, name in enumerate("bcd")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stored = Stored.read(path)
    for index, (name, label) in enumerate((("b", 0), ("d", 2), ("c", 1))):
        assert stored.at(replace(frame(index, float(index)), source=f"moved/{name}.jpg")).labels.tolist() == [label]
    with pytest.raises(DataError, match=r"no record of 'a\.jpg'"):
        stored.at(replace(frame(0), source="eq/a.jpg"))
    stored.check_length(1)


@pytest.mark.parametrize(("old", "new", "said"), [
    ('"box": [1.23, 2.0, 31.0, 40.0]', '"box": [31.0, 2.0, 1.23, 40.0]', "right side is left of"),
    ('"box": [1.23, 2.0, 31.0, 40.0]', '"box": [1.23, 40.0, 31.0, 2.0]', "bottom above its top"),
    ('"frame": 1', '"frame": 1.5', "frame 1.5"), ('"frame": 1', '"frame": true', "frame True"),
])
def test_boxes_and_frames_that_cannot_be(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=f"jsonl:2: .*{said}"):
        Stored.read(path)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    """A record holds its floats in as many digits as detections have."""
    rng = np.random.default_rng(0)
    boxes = [np.sort(rng.uniform(0, 60, (n, 2, 2)), axis=1).reshape(n, 4) for n in range(5)]
    found = [Detections(some, rng.uniform(0, 1, len(some)), rng.integers(0, 3, len(some))).rounded() for some in boxes]
    path = tmp_path / "new.jsonl"
    lines = [line(n, detect={"model": "m", **one.to_dict("abc")}) for n, one in enumerate(found)]
    path.write_text("".join(lines))
    stored = Stored.read(path)
    for n, one in enumerate(found):
        assert stored.at(frame(n)).to_dict() == one.to_dict()
        np.testing.assert_array_equal(stored.at(frame(n)).boxes, one.boxes)


@pytest.mark.parametrize(("payloads", "left"), [
    ({"cars": payload((3, 0.9, 1)), "track": tracked(5)}, 3),           # a detector under a key of its own
    ({"faces": tracked(7), "instances": payload((4, 0.9, 1))}, 4),
    ({"cars": payload((3, 0.9, 1)), "detect": payload((6, 0.9, 1))}, 6),
    ({"segment": {"areas": []}, "detect": payload((6, 0.9, 1))}, 6),
])
def test_any_boxes_without_ids_are_detections_and_the_detectors_come_first(
    tmp_path: Path, payloads: dict, left: float
) -> None:
    path = tmp_path / "new.jsonl"
    path.write_text(line(0, **payloads))
    assert Stored.read(path).at(frame(0)).boxes[:, 0].tolist() == [left]


def test_a_frame_that_the_detector_was_not_asked_about_has_no_detections(tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    path.write_text(line(0, detect=payload()) + line(1, segment={"areas": []}) + line(2, detect=payload()))
    stored = Stored.read(path)
    assert [len(stored.at(frame(n))) for n in (0, 2)] == [0, 0]
    with pytest.raises(DataError, match="no record of frame 1"):
        stored.at(frame(1))


def of(source: str, index: int) -> Frame:
    return replace(frame(index), source=source)


def test_records_of_several_videos_are_told_by_their_source(tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl"
    path.write_text("".join(
        line(n, source, detect=payload((10 * k + n, 0.9, k))) for k, source in enumerate(["a.mp4", "b.mp4"])
        for n in range(3 - k)
    ))
    stored = Stored.read(path)
    for k, source in enumerate(["a.mp4", "b.mp4"]):
        lefts = [stored.at(of(source, n)).boxes[0, 0] for n in range(3 - k)]
        assert lefts == [10 * k + n for n in range(3 - k)]
    with pytest.raises(DataError, match="no record of frame 2"):
        stored.at(of("b.mp4", 2))
    with pytest.raises(DataError, match=r"it is of 2 sources, and none of them is 'c\.mp4'"):
        stored.at(of("c.mp4", 0))
    stored.check_length(2, "b.mp4")
    with pytest.raises(DataError, match="goes to frame 2, the video ends with 1"):
        stored.check_length(2, "a.mp4")
    assert len(stored.only(["b"]).at(of("a.mp4", 0))) == 0
    assert stored.only(["b"]).at(of("b.mp4", 0)).boxes[0, 0] == 10


def test_a_file_of_one_source_serves_it_under_any_name(tmp_path: Path) -> None:
    assert len(Stored.read(written(tmp_path)).at(of("/elsewhere/renamed.mkv", 1))) == 1


def test_the_pictures_of_a_folder_are_one_film_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pictures.jsonl"
    path.write_text("".join(line(n, f"old/{n}.png", detect=payload((n, 0.9, 0))) for n in range(3)))
    stored = Stored.read(path)
    assert [stored.at(of(f"new/{n}.png", n)).boxes[0, 0] for n in range(3)] == [0, 1, 2]
    stored.check_length(3)


def test_classes_are_chosen_by_name_whatever_their_case(tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    path.write_text(line(0, detect=payload((1, 0.9, 0), (2, 0.9, 1), (3, 0.9, 2))))
    stored = Stored.read(path)
    assert stored.only(["A", " c"]).at(frame(0)).labels.tolist() == [0, 2]
    assert len(stored.only([]).at(frame(0))) == 0
    with pytest.raises(UsageError, match=r"has nothing called 'x' or 'y'\. It has: a, b, c\."):
        stored.only(["x", "y"])


def test_what_only_a_model_can_be_asked_is_refused_beside_a_file() -> None:
    Detect(stored="x.jsonl", min_score=0.5, classes=("cat",), weak=0.1).check()
    with pytest.raises(UsageError, match=r"^max_iou and agnostic are of a model, and none is asked beside --from: "
                                         r"boxes of a file are chosen by min_score and classes\.$"):
        Detect(stored="x.jsonl", max_iou=0.5, agnostic=True).check()
    for more in ({"max_detections": 3}, {"tiles": True}, {"decoder": "yolo"}):
        with pytest.raises(UsageError, match=f"^{next(iter(more))} is of a model"):
            Run([], [Detect(stored="x.jsonl", **more)])


def test_a_line_may_hold_what_python_takes_for_the_end_of_one(tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    odd = "a\u2028b\x85c.mp4"
    lines = "".join(line(n, odd, detect=payload((1, 0.9, 0))) for n in range(2))
    path.write_text(lines.encode().decode("unicode_escape"), encoding="utf-8")      # as it is, not escaped
    assert path.read_text().count("\u2028") == 2
    assert [len(Stored.read(path).at(of(odd, n))) for n in range(2)] == [1, 1]


SEEN, RANGE = line(1, detect=payload((1, 0.9, 0))), "is a number from 0 to 65535; got"
OLD = {"task": "detect", "frame": 1, "time_s": 0.1, "model": "m", "min_score": "0.5", "objects": []}
BAD = {
    "text score": (SEEN.replace("0.475", '"high"'), "min_score is a number from 0 to 1; got 'high'"),
    "old text score": (json.dumps(OLD), "min_score is a number from 0 to 1; got '0.5'"),
    "deep": ('{"schema": 2, "a": ' + "[" * 200_000, "expected a record"),
    "large class": (SEEN.replace('id": 0', 'id": 2000000000'), f"class_id {RANGE} 2000000000"),
    "huge class": (SEEN.replace('id": 0', 'id": 1' + "0" * 300), "expected a record"),
    "half a class": (SEEN.replace('id": 0', 'id": 0.5'), rf"class_id {RANGE} 0\.5"),
    "weak class": (line(1, detect=payload(weak=[(1, 0.9, 0)])).replace('id": 0', 'id": -1'), f"{RANGE} -1"),
    "infinite frame": (SEEN.replace('"frame": 1', '"frame": 1e999'), "expected a record"),
    "huge box": (SEEN.replace("[1, ", "[1" + "0" * 400 + ", "), "expected a record"),
    "short box": (SEEN.replace("[1, 2, 10, 40]", "[1, 2]"), "expected a record"),
    "size": (line(1, "other", detect=payload()).replace("[64, 48]", "[64]"), "expected a record"),
    "tracks": (line(1, track=tracked(5)), "the objects of track have ids"),
    "schema 3": (SEEN.replace('"schema": 2', '"schema": 3'), "its schema is 3, and 2 is known"),
    "no kind": (SEEN.replace('"kind"', '"sort"'), "'kind'"),
    "objects": (line(1, detect={"model": "m", "objects": 3}), "expected a record"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_record_that_cannot_be_is_one_line_that_names_it(tmp_path: Path, what: str) -> None:
    bad, message = BAD[what]
    path = tmp_path / "new.jsonl"
    path.write_text(line(0, detect=payload((1, 0.9, 0))) + bad)
    with pytest.raises(DataError, match=message) as error:
        Stored.read(path)
    assert "new.jsonl:2: expected a record" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_file_without_detections_is_an_error_and_so_is_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    path.write_text(line(0, segment={"areas": []}))
    with pytest.raises(DataError, match="no record of detections"):
        Stored.read(path)
    path.write_text("")
    with pytest.raises(DataError, match="no record of detections"):
        Stored.read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone"):
        Stored.read(tmp_path / "gone.jsonl")


@pytest.mark.parametrize(("every", "count"), [(2, 10), (3, 9), (4, 10)])
def test_a_step_that_looks_at_some_frames_takes_a_file_of_all(tmp_path: Path, every: int, count: int) -> None:
    """The video is as long as the file, whichever frame was looked at last."""
    with VideoWriter(tmp_path / "clip.mp4") as out:
        for n in range(count):
            out.write(np.full((48, 64, 3), n, np.uint8), n / 10)
    plan = [Detect(stored=written(tmp_path, count), every=every)]
    with Run(read(tmp_path / "clip.mp4"), plan) as run:
        assert [item.frame.index for item in run if "detect" in item] == list(range(0, count, every))
    longer = [Detect(stored=written(tmp_path, count + 1), every=every)]
    with Run(read(tmp_path / "clip.mp4"), longer) as run, pytest.raises(
        DataError, match=f"goes to frame {count}, the video ends with {count - 1}"
    ):
        run.finish()
