"""What hands show, on made poses; events with hysteresis; swipes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.people.gestures import GESTURES, Gesturing, HandEvent, gestures, palm

KNUCKLES = {5: (-0.30, -0.92), 9: (0.0, -1.0), 13: (0.25, -0.93), 17: (0.48, -0.80)}
POSES = {                       # how far each finger is bent in degrees at each joint, and whether the thumb is out
    "open": ((5, 5, 5, 5), True), "fist": ((85, 85, 85, 85), False), "point": ((5, 85, 85, 85), False),
    "thumb": ((85, 85, 85, 85), True), "v": ((5, 5, 85, 85), False),
}


def made(bends: tuple[float, ...], thumb: bool) -> np.ndarray:
    """A hand (21,3) whose fingers bend at their two middle joints, and by half at the knuckle, towards the viewer."""
    points = np.zeros((21, 3))
    for (knuckle, (x, y)), bend in zip(KNUCKLES.items(), bends, strict=True):
        points[knuckle] = x, y, 0
        direction, angle = np.array([x, y, 0]) / np.hypot(x, y), 0.0
        for joint, (length, share) in enumerate(((0.45, 0.5), (0.28, 1.0), (0.22, 1.0)), 1):
            angle += np.deg2rad(bend) * share
            step = direction * np.cos(angle) + np.array([0, 0, -1]) * np.sin(angle)
            points[knuckle + joint] = points[knuckle + joint - 1] + length * step
    points[1:5] = [(-0.25, -0.2, 0), (-0.5, -0.45, 0), (-0.75, -0.7, 0), (-1.0, -0.95, 0)] if thumb else [
        (-0.25, -0.2, 0), (-0.4, -0.5, -0.1), (-0.25, -0.7, -0.3), (-0.05, -0.75, -0.4)]
    if thumb and bends[0] > 45:                          # thumb up: away from the fist
        points[2:5] = [(-0.45, -0.5, 0), (-0.62, -0.9, 0), (-0.75, -1.7, 0)]
    return points


@pytest.mark.parametrize("pose", POSES)
def test_made_poses(pose: str) -> None:
    assert GESTURES[gestures(made(*POSES[pose])[None])[0]] == pose


@settings(max_examples=50)
@given(st.sampled_from(sorted(POSES)), st.floats(0.01, 100), st.integers(0, 2**32 - 1))
def test_size_place_turn_and_side_do_not_matter(pose: str, size: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(draw.normal(size=(3, 3)))                     # mirrors too: the other hand
    moved = made(*POSES[pose]) @ turn.T * size + draw.normal(size=3) * size
    assert GESTURES[gestures(moved[None])[0]] == pose


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_little_noise_changes_nothing(seed: int) -> None:
    draw = np.random.default_rng(seed)
    for pose in POSES:
        assert GESTURES[gestures((made(*POSES[pose]) + draw.normal(0, 0.01, (21, 3)))[None])[0]] == pose


def test_hands_at_rest_show_nothing() -> None:
    others = [made((45, 45, 45, 45), False), made((5, 5, 85, 5), True), np.zeros((21, 3))]
    assert gestures(np.stack(others)).tolist() == [0, 0, 0]
    assert len(gestures(np.zeros((0, 21, 3)))) == 0


def played(shown: str, rate: float = 30.0) -> list[tuple[str, str, float, float]]:
    """The events of a hand that shows what the letters say, a frame each: o open, f fist, - nothing."""
    hand, words, events = Gesturing(), {"o": 1, "f": 2, "-": 0}, list[HandEvent]()
    for i, letter in enumerate(shown):
        events += hand(words[letter], (100.0, 100.0), 50.0, i / rate, 1)
    events += hand.ended(len(shown) / rate, 1)
    return [(one.kind, one.what, round(one.time * rate), round(one.lasted * rate)) for one in events]


def test_a_gesture_begins_and_ends_once() -> None:
    assert played("---" + "o" * 20 + "-" * 20) == [("begin", "open", 9, 0), ("end", "open", 30, 19)]


def test_frames_of_doubt_change_nothing() -> None:
    assert played("o" * 10 + "---" + "o" * 10 + "ff" + "o" * 5) == [("begin", "open", 6, 0), ("end", "open", 30, 29)]
    assert played("oo-" * 20) == []                                      # never seen for long enough


def test_one_gesture_after_another() -> None:
    told = played("o" * 15 + "f" * 20)
    assert told == [("begin", "open", 6, 0), ("end", "open", 22, 14), ("begin", "fist", 22, 0), ("end", "fist", 35, 19)]


def swipes(path: Callable[[float], tuple[float, float]], seconds: float = 2.0, rate: float = 30.0) -> list[str]:
    hand = Gesturing()
    return [event.what for i in range(int(seconds * rate))
            for event in hand(0, path(i / rate), 50.0, i / rate, 1) if event.kind == "swipe"]


def test_swipes() -> None:
    still = 0.5
    assert swipes(lambda t: (100 + 600 * min(max(t - still, 0), 0.4), 100)) == ["right"]
    assert swipes(lambda t: (400 - 600 * min(max(t - still, 0), 0.4), 100)) == ["left"]
    assert swipes(lambda t: (100, 400 - 600 * min(max(t - still, 0), 0.4))) == ["up"]
    assert swipes(lambda t: (100, 100 + 600 * min(max(t - still, 0), 0.4))) == ["down"]
    assert swipes(lambda t: (100 + 100 * t, 100)) == []                                   # too slow
    assert swipes(lambda t: (100 + 400 * min(t, 0.4), 100 + 400 * min(t, 0.4))) == []      # aslant
    assert swipes(lambda t: (100 + 20 * np.sin(20 * t), 100)) == []                        # trembles


def test_state_goes_through_json(through_json: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    whole, first, second = Gesturing(), Gesturing(), Gesturing()
    shown = [1] * 9 + [0] * 3 + [1] * 12 + [0] * 12
    told = [whole(s, (5.0 * i, 0.0), 50.0, i / 30, 1) for i, s in enumerate(shown)]
    for i, s in enumerate(shown[:10]):
        first(s, (5.0 * i, 0.0), 50.0, i / 30, 1)
    second.restore(through_json(first.state()))
    assert [second(s, (5.0 * i, 0.0), 50.0, i / 30, 1) for i, s in enumerate(shown) if i >= 10] == told[10:]


def test_the_palm() -> None:
    middle, size = palm(made(*POSES["open"])[:, :2])
    assert size == pytest.approx(1.0)
    assert middle == pytest.approx((0.06, -0.5733), abs=1e-3)
