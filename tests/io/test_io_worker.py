"""A source in another process: the same frames, in shared memory that is given back when nobody looks into it."""

from __future__ import annotations

import gc
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vision import Frame, VideoWriter, read
from vision.errors import SourceError, UsageError
from vision.io import worker
from vision.io.worker import Apart, read_apart


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("worker") / "clip.mp4"
    with VideoWriter(path) as film:
        for i in range(30):
            film.write(np.full((48, 64, 3), 8 * i, np.uint8), i / 10)
    return path


def sized(*sides: tuple[int, int]) -> list[Frame]:
    return [Frame(np.full((height, width, 3), i, np.uint8), i, i / 10) for i, (width, height) in enumerate(sides)]


class Made:
    """A source of frames of several sizes, as another process makes it."""

    def __init__(self) -> None:
        source = read(Path(__file__).parents[2] / "docs" / "img" / "portrait.jpg")
        self.info, self.counts, self.notes = source.info, source.counts, ["a note"]

    def __enter__(self) -> Made:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __iter__(self) -> object:
        return iter(sized((4, 3), (40, 30), (400, 300), (4, 3)))


def broken() -> None:
    raise RuntimeError("out of order")


def test_it_gives_what_reading_here_gives(clip: Path) -> None:
    with read(clip, start=0.5, stride=2) as here:
        wanted = list(here)
    with read_apart(clip, start=0.5, stride=2, slots=20) as source:
        assert source.info.size_wh == (64, 48)
        found = list(source)
    assert [(f.index, f.time, f.source) for f in found] == [(f.index, f.time, f.source) for f in wanted]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(found, wanted, strict=True))
    assert source.counts == here.counts


def test_a_place_is_free_again_when_the_last_view_is_gone(clip: Path) -> None:
    """Two places: what is looked at is never written over, by whatever slice."""
    with read_apart(clip, slots=2) as source:
        kept = next(source).image[10:20, ::2]
        gc.collect()
        values = [int(next(source).image[0, 0, 0]) for _ in range(10)]
        assert len(set(values)) == 10
        assert np.ptp(kept.astype(int)) == 0
        assert abs(int(kept[0, 0, 0]) - 0) <= 2


def test_pictures_are_not_copied(clip: Path) -> None:
    with read_apart(clip) as source:
        frame = next(source)
        block = source._blocks[-1]
        assert np.shares_memory(frame.image, np.frombuffer(block.buf, np.uint8))
        assert block.buf[0] == 1
        del frame
        assert block.buf[0] == 0


def test_pictures_outlive_the_source(clip: Path) -> None:
    with read_apart(clip) as source:
        frames = [next(source) for _ in range(3)]
    assert [abs(int(frame.image[5, 5, 0]) - 8 * i) <= 2 for i, frame in enumerate(frames)] == [True] * 3


def test_holding_all_of_them_is_an_error_that_says_so(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PATIENCE_S", 0.3)
    with read_apart(clip, slots=3) as source:
        held = []
        with pytest.raises(UsageError, match="all 3 pictures are held"):
            held.extend(source)


def test_pictures_that_become_larger() -> None:
    with Apart(Made) as source:
        assert [frame.image.shape for frame in source] == [(3, 4, 3), (30, 40, 3), (300, 400, 3), (3, 4, 3)]
    assert source.notes == ["a note"]


def test_errors_come_over() -> None:
    with pytest.raises(SourceError, match=r"there is no 'nowhere.mp4'"):
        read_apart("nowhere.mp4")
    with pytest.raises(SourceError, match=r"has failed \(RuntimeError: out of order\)"):
        Apart(broken)
    with pytest.raises(UsageError, match="at least 2"):
        read_apart("nowhere.mp4", slots=1)


def test_a_process_that_is_killed_is_told(clip: Path) -> None:
    source = Apart(partial(read, clip), slots=2)
    next(source)
    source._process.kill()
    with pytest.raises(SourceError, match="ended by itself"):
        list(source)


def test_leaving_early_ends_the_process(clip: Path) -> None:
    source = read_apart(clip, slots=2)
    next(source)
    began = time.monotonic()
    source.close()
    assert not source._process.is_alive()
    assert time.monotonic() - began < 4
