"""The One Euro filter."""

from __future__ import annotations

import numpy as np
import pytest

from vision.people.smooth import OneEuro


def run(signal: np.ndarray, rate: float, **options: float) -> np.ndarray:
    smooth = OneEuro(**options)
    return np.array([smooth(np.array([[x, 0.0]], np.float32), i / rate)[0, 0] for i, x in enumerate(signal)])


def test_a_resting_point_is_steadier():
    noise = np.random.default_rng(0).normal(0, 0.01, 300)
    assert run(noise, 30)[50:].std() < 0.6 * noise[50:].std()


def test_a_moving_point_is_followed():
    ramp = np.arange(120) / 30 * 2.0                      # two widths a second
    assert np.abs(run(ramp, 30) - ramp)[30:].max() < 0.08
    assert np.abs(run(ramp, 30, slope=0.0) - ramp)[30:].max() > 0.15          # a plain low-pass lags


def test_it_speaks_of_seconds_not_of_frames():
    """A step, half a second later: as far at 20 as at 60 frames a second."""
    at = {rate: run(np.r_[0.0, np.ones(rate)], rate, slope=0.0)[rate // 2] for rate in (20, 60)}
    assert at[20] == pytest.approx(at[60], abs=0.02)


def test_time_that_does_not_advance_starts_anew():
    smooth = OneEuro()
    smooth(np.zeros((1, 2), np.float32), 1.0)
    assert smooth(np.ones((1, 2), np.float32), 1.0).tolist() == [[1, 1]]
    assert smooth(np.full((1, 2), 5, np.float32), 0.5).tolist() == [[5, 5]]


def test_large_and_small_faces_are_smoothed_alike():
    rng = np.random.default_rng(1)
    small, large = OneEuro(), OneEuro()
    for i, x in enumerate(rng.normal(0, 0.02, (50, 3, 2)).astype(np.float32)):
        a, b = small(x, i / 30, scale=1.0), large(x * 200, i / 30, scale=200.0)
        assert np.allclose(a * 200, b, atol=1e-3)
