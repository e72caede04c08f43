from __future__ import annotations

import numpy as np
import pytest

from vision.tracking import motion

BOXES = np.array([[100.0, 200.0, 40.0, 90.0], [300.0, 50.0, 120.0, 60.0]])


def dense(states: np.ndarray, i: int, c: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (2,) and covariance (2,2) of one coordinate of one track."""
    p, v, pp, pv, vv = states[i, :, c]
    return np.array([p, v]), np.array([[pp, pv], [pv, vv]])


def test_predict_and_update_are_the_textbook_filter() -> None:
    states = motion.start(BOXES)
    rng = np.random.default_rng(0)
    for dt in (0.04, 0.1, 0.5):
        before, area = states.copy(), states[:, 0, 2] * states[:, 0, 3]
        motion.predict(states, dt)
        measured = states[:, 0] + rng.normal(0, 3, (2, 4))
        after = states.copy()
        motion.update(after, measured)
        for i in range(2):
            for c in range(4):
                step = np.array([[1, dt], [0, 1]])
                push, drift = motion.PUSH[c] ** 2 * area[i], motion.DRIFT**2 * area[i]
                noise = push * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
                noise[0, 0] += drift * dt
                x, p = dense(before, i, c)
                x, p = step @ x, step @ p @ step.T + noise
                np.testing.assert_allclose(dense(states, i, c)[0], x, rtol=1e-9)
                np.testing.assert_allclose(dense(states, i, c)[1], p, rtol=1e-9)
                r = motion.MEASURED**2 * measured[i, 2] * measured[i, 3]
                gain = p[:, 0] / (p[0, 0] + r)
                corrected = x + gain * (measured[i, c] - x[0])
                np.testing.assert_allclose(dense(after, i, c)[0], corrected, rtol=1e-9)
                np.testing.assert_allclose(dense(after, i, c)[1], p - np.outer(gain, p[0]), rtol=1e-9)
        states = after


def test_two_half_steps_are_one_step() -> None:
    once = motion.start(BOXES)
    once[:, 1, :2] = [[30, -20], [0, 5]]                     # sizes at rest: the noise keeps its scale
    twice = once.copy()
    motion.predict(once, 0.4)
    motion.predict(twice, 0.1)
    motion.predict(twice, 0.3)
    np.testing.assert_allclose(twice, once, rtol=1e-9)


def test_velocity_is_found_in_pixels_a_second() -> None:
    states = motion.start(BOXES[:1])
    for n in range(1, 40):
        motion.predict(states, 0.1)
        motion.update(states, BOXES[:1] + np.array([6.0 * n, -2.0 * n, 0, 0]))
    np.testing.assert_allclose(states[0, 1], [60, -20, 0, 0], atol=0.5)


def test_surprise_is_the_largest_squared_error_over_its_variance() -> None:
    """One of three is off by itself; the camera, which moves all of them, surprises nobody."""
    states = motion.start(np.tile(BOXES[:1], (3, 1)))
    motion.predict(states, 0.2)
    own = np.array([[0, 0, 2, 1], [0, 9, -30, 4], [12, 0, 0, 0.0]])
    seen = BOXES[:1] + own + np.array([40, -25, 0, 0])
    total = states[:, 2] + motion.MEASURED**2 * (seen[:, 2] * seen[:, 3])[:, None]
    brute = [[max(own[n, c] ** 2 / total[n, c] for c in range(4))] for n in range(3)]
    np.testing.assert_allclose(motion.surprise(states, seen), brute, rtol=1e-9)
    assert motion.surprise(states[:1], seen[:1]) == pytest.approx(2**2 / total[0, 2])    # who is alone


def test_noise_is_more_variance() -> None:
    """Nine times the variance is three times the standard deviation."""
    states = motion.start(BOXES)
    motion.predict(states, 0.2)
    larger = states.copy()
    motion.update(states, BOXES, np.full((2, 1), 9.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "MEASURED", 3 * motion.MEASURED)
        motion.update(larger, BOXES)
    np.testing.assert_allclose(states, larger, rtol=1e-12)


def test_corners_move_every_side_out_by_sizes() -> None:
    box = np.array([[100.0, 200.0, 40.0, 90.0]])                       # a size of 60
    np.testing.assert_allclose(motion.corners(box, 0.5), [[50, 125, 150, 275]])
    np.testing.assert_allclose(motion.corners(box), [[80, 155, 120, 245]])


def test_a_box_stays_a_box() -> None:
    states = motion.start(BOXES[:1])
    states[0, 1, 2:] = -1000
    motion.predict(states, 1.0)
    assert states[0, 0, 2:].tolist() == [1.0, 1.0]


def test_warp_turns_shifts_and_scales() -> None:
    states = motion.start(BOXES[:1])
    states[0, 1] = [10, 0, 2, 2]
    variance = states[0, 2].copy()
    motion.warp(states, np.array([[0.0, -2.0, 7.0], [2.0, 0.0, 1.0]]))      # a quarter turn, twice as large
    np.testing.assert_allclose(states[0, 0], [-393, 201, 80, 180])
    np.testing.assert_allclose(states[0, 1], [0, 20, 4, 4], atol=1e-12)
    np.testing.assert_allclose(states[0, 2], 4 * variance)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_any_number_of_tracks(n: int) -> None:
    states = motion.start(np.tile(BOXES[:1], (n, 1)))
    motion.predict(states, 0.1)
    motion.update(states, np.tile(BOXES[:1], (n, 1)))
    assert states.shape == (n, 5, 4)
    assert motion.surprise(states, np.tile(BOXES[:1], (n, 1))).shape == (n, 1)
