"""Distance and time to collision: on made ground with known truth, in thousands of runs."""

from __future__ import annotations

import numpy as np
import pytest

from vision.errors import UsageError
from vision.geometry import (
    Camera,
    Closing,
    Estimate,
    Ground,
    Mounting,
    Size,
    by_foot,
    by_size,
    combined,
    time_to_collision,
)
from vision.geometry.closing import Distances
from vision.geometry.distance import size_of

CAMERA = Camera((1280, 720), (1000.0, 1000.0), (639.5, 359.5))
RUNS = 2000


def seen(ground: Ground, forward: float, size: tuple[float, float]) -> np.ndarray:
    """The box of something that stands ahead."""
    foot = ground.pixels([[forward, 0.0]])[0]
    wide, high = size[0] * 1000 / forward, size[1] * 1000 / forward
    return np.array([foot[0] - wide / 2, foot[1] - high, foot[0] + wide / 2, foot[1]])


def test_a_foot_with_pitch_noise_lies_in_its_interval() -> None:
    rng = np.random.default_rng(0)
    ground = Ground.of(CAMERA, Mounting(1.6, 2.0, height_error=0.05, pitch_error=0.0, roll_error=0.0, bounce=1.0))
    inside = []
    for _ in range(RUNS):
        forward = rng.uniform(6, 45)
        real = Ground.of(CAMERA, Mounting(1.6 + rng.normal(0, 0.05), 2.0 + rng.normal(0, 1.0)))
        box = seen(real, forward, (1.8, 1.5)) + np.array([0, 0, 0, rng.normal(0, 1.5)])
        found = by_foot(ground, box, pixel_error=1.5)
        if found is None:                                              # at the horizon: nothing is claimed
            continue
        low, high = found.interval
        inside.append(low <= forward <= high)
    assert len(inside) > 0.95 * RUNS
    assert 0.88 <= np.mean(inside) <= 0.92


def test_a_track_at_a_variable_rate_lies_in_its_interval() -> None:
    rng = np.random.default_rng(1)
    ground = Ground.of(CAMERA, Mounting(1.6, 2.0, height_error=0.08, pitch_error=0.3, roll_error=0.0, bounce=1.0))
    inside, alone, errors = [], [], []
    for _ in range(RUNS):
        start, speed = rng.uniform(15, 35), rng.uniform(-2, 4)
        height, pitch = 1.6 + rng.normal(0, 0.08), 2.0 + rng.normal(0, 0.3)
        filter, time, away = Distances(), 0.0, None
        for _ in range(10):
            time += rng.uniform(0.02, 0.18)
            forward = start - speed * time
            row = 360 + 1000 * np.tan(np.arctan(height / forward) - np.radians(pitch + rng.normal(0, 1.0)))
            single = by_foot(ground, (560, row - 40, 720, row), pixel_error=0.0)
            away = filter(time, single, Estimate(speed / forward, 0.0))
        assert away is not None
        inside.append(away.interval[0] <= forward <= away.interval[1])
        errors.append(abs(away.inverse * forward - 1))
        alone.append(np.nan if single is None else abs(single.inverse * forward - 1))
    assert 0.88 <= np.mean(inside) <= 0.92
    assert np.median(errors) < 0.65 * np.nanmedian(alone)              # and it is better than a single frame


def test_a_size_lies_in_its_interval() -> None:
    rng = np.random.default_rng(2)
    car = Size(1.8, 1.5, 0.07, 0.1)
    ground = Ground.of(CAMERA, Mounting(1.6, 2.0))
    inside = []
    for _ in range(RUNS):
        forward, width = rng.uniform(8, 30), 1.8 * (1 + rng.normal(0, 0.07))
        box = seen(ground, forward, (width, 1.5))
        blur = 1.0 + 0.04 * (box[2] - box[0])
        found = by_size(CAMERA, box + np.array([0, 0, rng.normal(0, blur), 0]), car)
        assert found is not None
        inside.append(found.interval[0] <= forward <= found.interval[1])
    assert 0.88 <= np.mean(inside) <= 0.93


def test_both_together_are_better_than_each() -> None:
    first, second = Estimate(0.1, 0.01), Estimate(0.105, 0.005)
    both = combined(first, None, second)
    assert both is not None
    assert both.inverse == pytest.approx(0.104)
    assert both.total == pytest.approx(1 / np.sqrt(1 / 0.01**2 + 1 / 0.005**2))
    apart = combined(Estimate(0.1, 0.005), Estimate(0.2, 0.005))
    assert apart is not None
    assert apart.interval[0] < 6.0
    assert apart.interval[1] > 7.8                                     # one of them is wrong, so the interval is wide
    assert combined(None, None) is None


def test_an_estimate_beyond_the_horizon() -> None:
    far = Estimate(-0.001, 0.01)
    assert far.value == float("inf")
    assert far.interval == (pytest.approx(1 / (0.01 * 1.6449 - 0.001)), float("inf"))
    assert Estimate(0.1, 0.01).nearer(0.5, 0.2).value == pytest.approx(9.5)


def test_what_is_cut_off_is_not_used() -> None:
    ground, car = Ground.of(CAMERA, Mounting(1.6, 2.0)), Size(1.8, 1.5)
    assert by_foot(ground, (500, 400, 700, 719)) is None               # the foot is below the picture
    assert by_foot(ground, (500, 200, 700, 300)) is None               # above the horizon
    cut = by_size(CAMERA, (0, 400, 150, 550), car)                     # at the left edge: its height counts
    assert cut is not None
    assert cut.value == pytest.approx(10.0)
    assert by_size(CAMERA, (0, 400, 150, 719), car) is None
    side = by_size(CAMERA, (100, 400, 550, 550), car)                  # from the side: its height counts
    assert side is not None
    assert side.value == pytest.approx(10.0)


def test_a_size_that_is_not_known() -> None:
    with pytest.raises(UsageError, match=r"how large a 'cloud' is is not known\. Sizes are known of: car, bus"):
        size_of("cloud")


def test_time_from_distance_and_speed() -> None:
    found = time_to_collision(Estimate(1 / 20, 0.0), 5.0, 1.0)
    assert found.value == pytest.approx(4.0)
    assert found.interval == (pytest.approx(20 / 6.6449), pytest.approx(20 / 3.3551))
    assert time_to_collision(Estimate(1 / 20, 0.0), -3.0, 0.5).value == float("inf")


def test_time_from_growth_lies_in_its_interval() -> None:
    rng = np.random.default_rng(3)
    inside, errors = [], []
    for _ in range(500):
        start, speed = rng.uniform(15, 30), rng.uniform(2, 6)
        closing, time, size = Closing(), 0.0, np.log(1 / start)
        for _ in range(20):
            step = rng.uniform(0.03, 0.1)
            time += step
            before, size = size, np.log(1 / (start - speed * time))
            growth = size - before + rng.normal(0, 0.003)
            found = closing(time, size + rng.normal(0, 0.03), 0.03, (growth, 0.003))
        truth = (start - speed * time) / speed
        inside.append(found.interval[0] <= truth <= found.interval[1])
        errors.append(abs(found.value / truth - 1))
    assert np.mean(inside) > 0.88                                      # `agile` allows for more than a steady speed
    assert np.median(errors) < 0.10


def test_time_from_boxes_alone_converges() -> None:
    closing = Closing()
    for k in range(60):
        found = closing(k / 20, float(np.log(100 / (30 - 5 * k / 20))), 0.02)
    assert found.value == pytest.approx((30 - 5 * 59 / 20) / 5, rel=0.12)


def test_times_that_jump_begin_anew() -> None:
    closing, distances = Closing(), Distances()
    for k in range(20):
        rate = closing(k / 10, k * 0.05, 0.02)
        distances(k / 10, Estimate(0.1, 0.001, 0.001), rate)
    assert closing.age == pytest.approx(1.9)
    closing(0.5, 1.0, 0.02)                                            # back
    assert closing.age == 0
    closing(9.0, 1.0, 0.02)                                            # ahead
    assert closing.age == 0
    assert closing.rate.inverse == 0
    found = distances(50.0, Estimate(0.5, 0.01), closing.rate)
    assert found is not None
    assert found.inverse == 0.5
    assert distances(99.0, None, closing.rate) is None


def test_it_goes_on_where_it_was() -> None:
    one, other = Closing(), Closing()
    for k in range(5):
        one(k / 10, k * 0.05, 0.02)
    other.restore(one.state())
    assert one(0.6, 0.3, 0.02, (0.05, 0.01)) == other(0.6, 0.3, 0.02, (0.05, 0.01))
