"""When frames came: cameras, streams that drop, and files that play a camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numbered import MakeVideo, number, numbered

from vision.errors import SourceError
from vision.io import ahead, latest, live, read
from vision.io.base import Info, Log, Span
from vision.io.capture import Camera
from vision.types import Frame


class _Feed:
    """Connection k gives three pictures, 0.1 s apart, from captured = 100 + 10 k on."""

    info = Info("camera", "camera", (160, 64))

    def __init__(self, first: float) -> None:
        self.first = first

    def arrivals(self, log: Log) -> Iterator[live.Arrival]:
        for i in range(3):
            at = self.first + i / 10
            yield live.Arrival(numbered(i), at, at, round(at * 1e9))

    def close(self) -> None:
        pass


def two_connections(monkeypatch: pytest.MonkeyPatch) -> live.Live:
    monkeypatch.setattr(live, "PAUSES_S", (0.0,))
    firsts = iter([100.0, 110.0])

    def connect() -> _Feed:
        first = next(firsts, None)
        if first is None:
            raise SourceError("unplugged")
        return _Feed(first)

    return live.Live(connect)


def until_lost(frames: Iterator[Frame]) -> list[Frame]:
    got: list[Frame] = []
    with pytest.raises(SourceError, match="lost"):
        got.extend(frames)
    return got


def test_a_live_frame_tells_when_it_came_and_what_was_lost_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = until_lost(two_connections(monkeypatch).frames(Span(), Log()))
    assert [f.captured for f in frames] == pytest.approx([100, 100.1, 100.2, 110, 110.1, 110.2])
    assert [f.stamp_ns for f in frames] == [round(f.captured * 1e9) for f in frames]
    assert [f.gap for f in frames] == pytest.approx([0, 0, 0, 9.8, 0, 0])
    assert [f.time for f in frames] == pytest.approx([0, 0.1, 0.2, 10, 10.1, 10.2])


def test_a_gap_is_told_by_the_next_frame_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = until_lost(two_connections(monkeypatch).frames(Span(stride=2), Log()))
    assert [(f.index, f.gap) for f in frames] == [(0, 0), (2, 0), (4, pytest.approx(9.8))]


def test_latest_keeps_the_gaps_of_the_frames_that_it_drops() -> None:
    taken = threading.Event()

    def source() -> Iterator[Frame]:
        for index, gap in enumerate((1.0, 2.0, 0.0, 3.0)):
            yield Frame(numbered(index), index, float(index), gap=gap)
            assert taken.wait(5)

    with latest(source()) as newest:
        assert next(newest).gap == 1.0
        taken.set()
        deadline = time.monotonic() + 5
        while newest.skipped < 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert [(frame.index, frame.gap) for frame in newest] == [(3, 5.0)]


class _Driver:
    """A camera whose driver states when it took a picture, in milliseconds."""

    def __init__(self, stamp: float) -> None:
        self.stamp = stamp

    def isOpened(self) -> bool:
        return True

    def get(self, what: int) -> float:
        return self.stamp if what == cv2.CAP_PROP_POS_MSEC else 0.0

    def grab(self) -> bool:
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, numbered(1)

    def release(self) -> None:
        pass


def test_a_picture_that_lay_in_the_driver_is_as_old_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for stamp, age in ((time.monotonic() - 0.4, 0.4), (0.0, 0.0), (time.monotonic() + 99, 0.0)):
        monkeypatch.setattr(cv2, "VideoCapture", lambda number, stamp=stamp: _Driver(stamp * 1000))
        assert next(iter(Camera("0")))[1] == pytest.approx(age, abs=0.1)
        frame = next(read(0))
        assert time.monotonic() - frame.captured == pytest.approx(age, abs=0.1)
        assert frame.stamp_ns is not None
        assert time.time() - frame.stamp_ns / 1e9 == pytest.approx(age, abs=0.1)


def test_a_file_plays_a_camera(make_video: MakeVideo) -> None:
    path = make_video("clip.mp4", [0.0, 0.05, 0.25, 0.3])
    with read(path, realtime=True, start=0.05) as source:
        assert source.info.live
        began = time.monotonic()
        frames = [(f, time.monotonic()) for f in source]
    assert [number(f.image) for f, _ in frames] == [1, 2, 3]
    assert np.diff([f.captured for f, _ in frames]) == pytest.approx([0.2, 0.05])
    assert all(came >= f.captured for f, came in frames)
    assert frames[-1][1] - began >= 0.25
    with read(path) as source:
        assert not source.info.live


def test_the_newest_frame_of_a_file_that_plays_a_camera(make_video: MakeVideo) -> None:
    path = make_video("clip.mp4", [i / 50 for i in range(40)])
    with latest(read(path, realtime=True)) as newest:
        seen = []
        for frame in newest:
            seen.append(frame.index)
            time.sleep(0.06)                             # three frames long
    assert seen[-1] == 39
    assert len(seen) + newest.skipped == 40
    assert 8 <= len(seen) <= 20                          # and not the first and the last alone


def test_several_files_play_one_after_the_other(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video("a.mp4", [0.0, 0.1])
    make_video("b.mp4", [0.0, 0.1])
    with read(tmp_path, realtime=True) as source:
        assert source.info.live
        frames = list(source)
        assert [m().info.live for m in source.members] == [True, True]
    assert np.diff([f.captured for f in frames])[[0, 2]] == pytest.approx([0.1, 0.1])
    assert frames[2].captured >= frames[1].captured


@pytest.mark.parametrize("wrap", [ahead, latest])
def test_leaving_does_not_wait_for_a_frame_that_is_due_later(wrap: Any, make_video: MakeVideo) -> None:
    path = make_video("clip.mp4", [0.0, 0.1, 600.0])
    with wrap(read(path, realtime=True)) as frames:
        assert next(frames).index == 0
        began = time.monotonic()
    assert time.monotonic() - began < 5
