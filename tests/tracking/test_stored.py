from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vision.errors import DataError
from vision.records import record
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
        lines.append(record(frame(n), seen, task="detect", model="m", names=["a", "b", "c"]))
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
    ('{"frame": 0, "task": "detect", "time_s": 0, "model": "m", "objects": []}', "frame 0 is there twice"),
    ('{"frame": 1, "task": "detect", "model": "m", "objects": []}', "time_s"),
    ("[]", ":2: expected a record"),
])
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = written(tmp_path, 1)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=message):
        Stored.read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone"):
        Stored.read(tmp_path / "gone.jsonl")
