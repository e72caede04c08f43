"""Where every track will be: one Kalman filter over all of them, on real time.

Each coordinate of a box (centre x and y, width, height) moves on its own at a nearly constant velocity,
with noise in units of the box. A track's covariance is then four 2x2 blocks
instead of one 8x8 matrix, and a step of N tracks is a handful of (N,4) operations.

A state is (N,5,4) float64. The five rows are position (pixels), velocity (pixels a second), and the
variance of the position, the covariance of both and the variance of the velocity; the four columns
are cx, cy, w, h. A size is the root of a box's area.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

States = npt.NDArray[np.float64]          # (N,5,4)
Boxes = npt.NDArray[np.float64]           # (N,4) cx, cy, w, h

# Standard deviations in sizes. DRIFT and PUSH are what white noise makes of them in one second, so that
# two steps of dt/2 add what one step of dt does; at 30 frames a second a centre gets what ByteTrack adds.
MEASURED = 0.1                            # of a detected coordinate
DRIFT = 0.25                              # of a position
PUSH = np.array([1.0, 1.0, 0.3, 0.3])     # of a velocity, in sizes a second; a size changes slowly
START = 2.0                               # of a new track's velocity, in sizes a second


def _area(boxes: Boxes) -> npt.NDArray[np.float64]:
    return boxes[:, 2:3] * boxes[:, 3:4]


def start(measured: Boxes) -> States:
    """The states of new tracks, at rest where they were first seen."""
    states = np.zeros((len(measured), 5, 4))
    states[:, 0] = measured
    states[:, 2] = MEASURED ** 2 * _area(measured)
    states[:, 4] = START ** 2 * _area(measured)
    return states


def predict(states: States, dt: float) -> None:
    """Every state `dt` seconds on, in place."""
    position, velocity, pp, pv, vv = states.transpose(1, 0, 2)
    area = _area(position)
    push = area * (PUSH ** 2 * dt)
    position += dt * velocity
    pp += dt * (2 * pv + dt * vv) + ((DRIFT ** 2 * dt) * area + (dt * dt / 3) * push)
    pv += dt * vv + (dt / 2) * push
    vv += push
    np.maximum(position[:, 2:], 1.0, out=position[:, 2:])      # a box stays a box


def update(states: States, measured: Boxes, noise: npt.NDArray[np.float64] | float = 1.0) -> None:
    """Every state sees its box, in place. noise: (N,1), how many times its usual variance a box has."""
    position, velocity, pp, pv, vv = states.transpose(1, 0, 2)
    total = pp + (MEASURED ** 2 * noise) * _area(measured)
    gain, gain_v = pp / total, pv / total
    error = measured - position
    position += gain * error
    velocity += gain_v * error
    vv -= gain_v * pv
    pp *= 1 - gain
    pv *= 1 - gain


def surprise(states: States, measured: Boxes) -> npt.NDArray[np.float64]:
    """(N,1): how far each state's box lies from where it was expected: the largest squared error of its four
    coordinates over that coordinate's variance. By how much most centres are off, the camera has moved: their
    median does not count."""
    error = measured - states[:, 0]
    n = len(error)
    if n:
        order = np.sort(error[:, :2], axis=0)
        error[:, :2] -= (order[(n - 1) // 2] + order[n // 2]) / 2
    ratio = error * error / (states[:, 2] + MEASURED ** 2 * _area(measured))
    return np.asarray(ratio.max(axis=1, keepdims=True, initial=0), np.float64)


def corners(boxes: Boxes, grown: float = 0.0) -> npt.NDArray[np.float32]:
    """(N,4) cx, cy, w, h -> (N,4) xyxy, every side moved out by `grown` sizes."""
    half = boxes[:, 2:] / 2
    if grown:
        half += grown * np.sqrt(_area(boxes))
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1).astype(np.float32)


def warp(states: States, affine: npt.NDArray[np.float64]) -> None:
    """Every state as the camera sees it after it moved by the (2,3) `affine`, in place.

    Centres and their velocities turn with the picture, sizes grow with its scale. Between two frames
    a camera turns by a few degrees at most, so the covariance takes the scale alone.
    """
    turn, shift = affine[:, :2], affine[:, 2]
    scale = float(np.sqrt(abs(np.linalg.det(turn))))
    states[:, :2, :2] = states[:, :2, :2] @ turn.T
    states[:, 0, :2] += shift
    states[:, :2, 2:] *= scale
    states[:, 2:] *= scale ** 2
