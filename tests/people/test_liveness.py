"""Heads have depth, pictures of them have none; blinks count where they were seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from vision.people.eyes import Eye
from vision.people.landmarks import FaceLandmarker
from vision.people.liveness import Live, Liveness, parallax, stretched
from vision.people.mesh import LEFT_EYE, MESH, RIGHT_EYE
from vision.types import Image

OPEN, CLOSED, UNKNOWN = (np.array([one, one]) for one in (Eye.OPEN, Eye.CLOSED, Eye.UNKNOWN))


def head(seed: int = 0) -> np.ndarray:
    """Points (478,3) on the front of an ellipsoid, the corners of the eyes where they are on a face; millimetres."""
    draw = np.random.default_rng(seed)
    x, y = draw.uniform(-0.8, 0.8, (2, 478))
    points = np.stack([70 * x, 90 * y, -80 * np.sqrt(np.maximum(0, 1 - x**2 - y**2))], axis=1)
    points[RIGHT_EYE[0]], points[LEFT_EYE[0]] = (-44, -27, -32), (44, -27, -32)
    return points


def seen(points: np.ndarray, yaw: float, away: float = 600.0) -> np.ndarray:
    """Points (478,3), turned by `yaw` degrees, in pixels of a camera."""
    a = np.deg2rad(yaw)
    turned = points @ np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    return (700 * turned[:, :2] / (turned[:, 2:] + away) + [320, 240]).astype(np.float32)


def watched(points: np.ndarray, turn: float, eyes: Callable[[int], np.ndarray]) -> Liveness:
    """Two seconds in which something turns to one side."""
    live = Liveness()
    for i in range(60):
        live(seen(points, turn * i / 59), eyes(i), i / 30)
    return live


def blink(i: int) -> np.ndarray:
    return CLOSED if 20 <= i < 25 else OPEN


def test_a_head_and_a_picture() -> None:
    flat = head() * [1, 1, 0]
    assert watched(head(), 35, blink).verdict == Live.YES
    assert watched(flat, 45, blink).verdict == Live.NO
    assert watched(head(), 0, blink).verdict == Live.UNSURE               # it did not turn
    assert watched(head(), 35, lambda i: OPEN).verdict == Live.UNSURE     # nor blink
    assert watched(head(), 35, blink).blinks == 1


@pytest.mark.parametrize("eyes", [
    lambda i: CLOSED if 20 <= i < 45 else OPEN,                            # asleep
    lambda i: UNKNOWN if 20 <= i < 25 else OPEN,                           # not seen
    lambda i: CLOSED if i < 10 else OPEN,                                  # closed from the beginning
])
def test_what_is_no_blink(eyes: Callable[[int], np.ndarray]) -> None:
    assert watched(head(), 0, eyes).blinks == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_plane_has_no_parallax(seed: int) -> None:
    flat = head(seed) * [1, 1, 0]
    assert parallax(seen(flat, 0)[:MESH], seen(flat, 50)[:MESH]) < 1e-3
    assert parallax(seen(head(seed), 0)[:MESH], seen(head(seed), 30)[:MESH]) > 0.06


def test_stretching() -> None:
    points = seen(head(), 0)[:MESH]
    turn = np.array([[0.6, -0.8], [0.8, 0.6]], np.float32)
    assert stretched(points, points @ turn * 3 + 7) == pytest.approx(1.0, abs=1e-4)
    assert stretched(points, points * [0.8, 1.2] @ turn) == pytest.approx(1.5, abs=1e-4)


@pytest.mark.parametrize("narrow", [0.7, 0.8])
def test_a_tilted_photograph_does_not_pass(landmarker: FaceLandmarker, ancelotti: Image, narrow: float) -> None:
    """A real face on a photograph that is turned away, to the mesh too, even if it blinked."""
    side = ancelotti.shape[0]
    corners, edge = np.float32([[0, 0], [1, 0], [1, 1], [0, 1]]) * side, (1 - narrow) / 2
    tilted = np.float32([[edge, 0.04], [1 - edge, -0.04], [1 - edge, 1.04], [edge, 0.96]]) * side
    moved = cv2.warpPerspective(ancelotti, cv2.getPerspectiveTransform(corners, tilted), (side, side))
    live = Liveness()
    pictures = [landmarker(image).points[0] for image in (ancelotti, moved)]
    for i, eyes in enumerate((OPEN, CLOSED, OPEN, OPEN)):
        live(pictures[i == 3], eyes, i * 0.2)
    assert live.blinks == 1
    assert live.stretch > 1.15
    assert live.depth < 0.06
    assert live.verdict != Live.YES


def test_state_goes_through_json(through_json: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    first, second, points = Liveness(), Liveness(), head()
    for i in range(22):
        first(seen(points, 35 * i / 59), blink(i), i / 30)
    second.restore(through_json(first.state()))
    for i in range(22, 60):
        told = [live(seen(points, 35 * i / 59), blink(i), i / 30) for live in (first, second)]
        assert told[0] == told[1]
    assert second.verdict == Live.YES
