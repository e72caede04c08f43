"""Who is in the frame: ids, losses, returns, jumps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data as pictures

from vision.errors import DataError
from vision.people.crowd import Crowd

FRAME = np.zeros((480, 640, 3), np.uint8)


def box(x: float, size: float = 50.0) -> np.ndarray:
    return np.array([x, 100, x + size, 100 + size], np.float32)


@pytest.fixture
def crowd() -> Crowd:
    crowd = Crowd(look_every=0.5, forget_after=1.0)
    crowd.begin(FRAME, 0.0)
    crowd.admit(box(0))
    crowd.admit(box(200))
    return crowd


def present(crowd: Crowd) -> list[int]:
    return [subject.id for subject in crowd.present]


def test_ids_begin_at_one_and_are_not_used_again(crowd: Crowd):
    crowd.begin(FRAME, 0.1)
    crowd.keep([1], box(205)[None])
    assert present(crowd) == [2]
    assert crowd.admit(box(400)).id == 3


def test_who_comes_back_to_the_same_place_is_the_same(crowd: Crowd):
    smooth = crowd.present[0].smooth
    crowd.begin(FRAME, 0.1)
    crowd.keep([1], box(200)[None])
    crowd.begin(FRAME, 0.9)
    back = crowd.admit(box(10))
    assert back.id == 1
    assert back.smooth is smooth


def test_who_stays_away_too_long_is_new(crowd: Crowd):
    crowd.begin(FRAME, 0.1)
    crowd.keep([1], box(200)[None])
    for time in (0.6, 1.2):
        crowd.begin(FRAME, time)
    assert crowd.admit(box(0)).id == 3
    assert crowd.ids() == {2, 3}


def test_looking_is_due_by_the_clock(crowd: Crowd):
    assert crowd.due()
    asked = []
    for i in range(1, 31):
        crowd.begin(FRAME, i / 25)
        asked += crowd.due()
    assert asked == [0, 0]


def test_who_was_lost_is_looked_for_sooner(crowd: Crowd):
    """At 25 frames a second: each 0.3 s for a second after the loss; in each frame where nobody is left."""
    crowd.due()
    asked = []
    for i in range(1, 51):
        crowd.begin(FRAME, i / 25)
        asked += [i] * len(crowd.due())
        if i == 2:
            crowd.keep([0], box(0)[None])
    assert asked == [8, 13, 21, 26, 39]
    crowd.keep([], np.empty((0, 4), np.float32))
    for i in range(51, 55):
        crowd.begin(FRAME, i / 25)
        assert 0 in crowd.due(4)


@pytest.mark.parametrize(("rate", "parts"), [(25, 7), (30, 1), (30, 4), (10, 9), (3, 5), (1, 4)])
def test_each_part_has_its_turn(rate: int, parts: int):
    """All at the start, then each within 0.5 s and a frame of its last turn, spread evenly."""
    crowd = Crowd(look_every=0.5, forget_after=2.0)
    last = dict.fromkeys(range(parts), 0.0)
    for i in range(5 * rate):
        time = i / rate
        crowd.begin(FRAME, time)
        if i == 0:
            crowd.admit(box(0))
        turns = crowd.due(parts)
        if i == 0:
            assert sorted(turns) == list(range(parts))
        assert len(turns) == len(set(turns)) <= max(1, np.ceil(parts / rate / 0.5)) or i == 0
        last |= dict.fromkeys(turns, time)
        assert all(time - then < 0.5 + 1 / rate + 1e-9 for then in last.values())


@pytest.mark.parametrize(("frame", "time"), [(FRAME, 1.2), (FRAME, -0.1), (FRAME[:240, :320], 0.1)])
def test_a_jump_forgets_everybody(crowd: Crowd, frame: np.ndarray, time: float):
    assert crowd.due()
    crowd.begin(frame, time)
    assert present(crowd) == []
    assert crowd.ids() == set()
    assert crowd.due()
    assert crowd.admit(box(0)).id == 3


def test_a_cut_to_another_scene_forgets_everybody():
    cat, cup = (cv2.resize(picture(), (320, 240)) for picture in (pictures.chelsea, pictures.coffee))
    crowd, other = (Crowd(look_every=0.5, forget_after=1.0) for _ in range(2))
    for i in range(3):
        crowd.begin(cat, i / 25)
        if crowd.due():
            crowd.admit(box(0))
    assert present(crowd) == [1]
    other.restore(crowd.state())
    for one in (crowd, other):
        one.begin(cup, 3 / 25)
        assert (present(one), one.ids(), one.due()) == ([], set(), [0])
        assert one.admit(box(0)).id == 2


def test_a_time_that_is_none_is_told(crowd: Crowd):
    with pytest.raises(DataError, match="time must be finite seconds; got nan"):
        crowd.begin(FRAME, float("nan"))
    crowd.begin(FRAME, 0.1)
    assert present(crowd) == [1, 2]
