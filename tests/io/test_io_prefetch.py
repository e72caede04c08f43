"""`ahead` and `latest`: order, bounds, errors on both sides, and no thread left behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numbered import MakeVideo, number, numbered

from vision.errors import SourceError, UsageError
from vision.io import ahead, latest, read
from vision.types import Frame


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@given(st.lists(st.integers(), max_size=40), st.integers(1, 12))
def test_ahead_changes_nothing(items: list[int], depth: int) -> None:
    assert list(ahead(iter(items), depth)) == items


def test_ahead_reads_ahead_and_no_further() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    items = ahead(source(), depth=5)
    assert next(items) == 0
    deadline = time.monotonic() + 5
    while len(made) < 7 and time.monotonic() < deadline:      # 1 taken, 5 waiting, 1 in the hand
        time.sleep(0.001)
    time.sleep(0.02)
    assert made == list(range(7))
    items.close()


def test_an_error_of_the_reader_comes_after_what_it_read() -> None:
    def source() -> Iterator[int]:
        yield from range(3)
        raise SourceError("the cable came out")

    got: list[int] = []
    with pytest.raises(SourceError, match="cable"):
        got.extend(ahead(source()))
    assert got == [0, 1, 2]
    got.clear()
    with pytest.raises(SourceError, match="cable"):
        got.extend(latest(source()))
    assert got[-1] == 2


@pytest.mark.parametrize("wrap", [ahead, latest])
def test_leaving_early_ends_the_thread(wrap: object) -> None:
    def endless() -> Iterator[int]:
        i = 0
        while True:
            yield (i := i + 1)

    for _ in wrap(endless()):
        break

    def consume() -> None:
        for _ in wrap(endless()):
            raise KeyError("the consumer's own")

    with pytest.raises(KeyError, match="own"):
        consume()
    items = wrap(endless())
    next(items)
    items.close()
    assert next(items, None) is None


def test_what_was_read_by_an_interruption_is_handed_out_and_no_more() -> None:
    made, waits = [], threading.Event()

    def source() -> Iterator[int]:
        for n in range(400):
            made.append(n)
            if n == 5:
                waits.set()                              # four lie there, and it has a fifth in its hand
            yield n

    items = ahead(source(), 4)
    assert next(items) == 0
    assert waits.wait(5)
    items.interrupt()
    got = []
    for item in items:
        got.append(item)
        time.sleep(0.005)                                # time enough to read on
    assert got in ([1, 2, 3, 4], [1, 2, 3, 4, 5])
    assert len(made) == 6


def test_a_reader_is_closed_when_its_consumer_leaves() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    for _ in ahead(source()):
        break
    assert closed.wait(5)


def test_latest_hands_out_the_newest_and_counts_the_rest() -> None:
    step = threading.Semaphore(1)

    def source() -> Iterator[int]:
        for i in range(20):
            step.acquire(timeout=5)
            yield i

    with latest(source()) as items:
        assert next(items) == 0
        step.release(6)                                       # 1 to 6 arrive while nobody looks
        deadline = time.monotonic() + 5
        while items.skipped < 5 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert next(items) == 6
        assert items.skipped == 5
        step.release(20)
        rest = list(items)
        assert rest[-1] == 19
        assert rest == sorted(set(rest))
        assert items.skipped + 2 + len(rest) == 20


def test_pictures_that_wait_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.zeros((100, 100, 3), np.uint8)                 # 30 kB
    for limit, waiting in ((100_000, 3), (10, -1), (10**9, 8)):
        monkeypatch.setattr("vision.io.prefetch.QUEUED_BYTES", limit)
        made: list[int] = []

        def source(made: list[int] = made) -> Iterator[Frame]:
            for i in range(50):
                made.append(i)
                yield Frame(picture, i, float(i))

        frames = ahead(source())
        assert next(frames).index == 0
        deadline = time.monotonic() + 5
        while len(made) < waiting + 2 and time.monotonic() < deadline:    # 1 taken, 1 in the hand; -1: neither
            time.sleep(0.001)
        time.sleep(0.02)
        assert len(made) == waiting + 2
        assert [f.index for f in frames] == list(range(1, 50))


@pytest.mark.parametrize("wrap", [ahead, latest])
def test_what_a_source_tells_of_itself_is_told_through_a_thread(wrap: Any, tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(cv2.imencode(".png", numbered(i))[1].tobytes())
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    source = read(tmp_path)
    with wrap(source) as frames:
        assert frames.info is source.info
        last = list(frames)[-1]
    assert number(last.image) == 2
    assert (frames.counts.decoded, frames.counts.corrupt, len(frames.notes)) == (2, 1, 1)
    assert "1.png" in frames.notes[0]


def test_a_plain_iterable_says_nothing_about_itself() -> None:
    with pytest.raises(AttributeError, match="info"):
        ahead([1]).info          # noqa: B018 (a list says nothing about itself)


def test_depth_must_be_positive() -> None:
    with pytest.raises(UsageError, match="depth"):
        ahead([1], depth=0)


def test_ahead_of_a_video(make_video: MakeVideo) -> None:
    path = make_video()
    assert [number(f.image) for f in ahead(read(path))] == list(range(30))
    for frame in ahead(read(path)):
        if frame.index == 3:
            break


def is_open(path: Path) -> bool:
    """Whether this process has the file open."""
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return any(os.path.realpath(link) == str(path) for link in links if os.path.lexists(link))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="there is no /proc")
@pytest.mark.parametrize("reader", ["auto", "opencv"])
def test_a_source_is_closed_when_its_thread_ends(make_video: MakeVideo, reader: str) -> None:
    path = make_video().resolve()
    with latest(read(path, reader=reader)) as newest:
        next(newest)
    assert not is_open(path)
    with latest(read(path, reader=reader)) as unread:         # the thread was never started
        assert is_open(path)
    assert not is_open(path)
    some = ahead(source := read(path, reader=reader))
    next(some)
    assert is_open(path)
    some.close()
    assert not is_open(path)
    few = ahead(read(path, reader=reader, max_frames=2))
    assert len(list(few)) == 2
    assert not is_open(path)
    assert source.counts.decoded >= 1                         # still told
    assert unread.skipped == 0


def test_a_source_whose_reader_fails_is_closed() -> None:
    class Camera:
        closed = False

        def __iter__(self) -> Iterator[int]:
            yield 1
            raise SourceError("the cable came out")

        def close(self) -> None:
            self.closed = True

    for wrap in (ahead, latest):
        camera = Camera()
        with pytest.raises(SourceError, match="cable"):
            list(wrap(camera))
        assert camera.closed
