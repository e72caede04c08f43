"""Free road: from a class map and from colour, in metres and in shares of the picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vision.driving.free import free_space, road_by_colour, road_of
from vision.driving.lines import LaneLines
from vision.driving.obstacles import placed
from vision.geometry import Camera, Ground, Mounting

GROUND = Ground.of(Camera((640, 360), (520.0, 520.0), (319.5, 179.5)), Mounting(1.3, 2.0))
NONE = np.empty((0, 4), np.float32)


def road_to(metres: float) -> np.ndarray:
    """Everything is road up to so many metres."""
    road = np.zeros((360, 640), bool)
    road[int(np.ceil(GROUND.pixels([[metres, 0.0]])[0, 1])):] = True
    return road


def test_the_road_ends_where_it_ends() -> None:
    free = free_space(road_to(12.0), GROUND, True, NONE)
    ahead = np.argmin(np.abs(free.angles))
    assert free.ranges[ahead] == pytest.approx(12.0, rel=0.05)
    assert (np.diff(free.angles) > 0).all()
    assert free.angles[0] == pytest.approx(-free.angles[-1], abs=0.05)
    aside = free.ranges[2]
    assert aside == pytest.approx(12.0 / np.cos(free.angles[2]), rel=0.08)          # along the direction


def test_what_stands_on_the_road_ends_it() -> None:
    foot = GROUND.pixels([[8.0, 0.0]])[0]
    box = np.float32([[foot[0] - 60, foot[1] - 90, foot[0] + 60, foot[1]]])
    free = free_space(road_to(30.0), GROUND, True, box)
    ahead = np.argmin(np.abs(free.angles))
    assert free.ranges[ahead] == pytest.approx(8.0, rel=0.05)
    assert free.ranges[1] > 20


def test_a_road_to_the_horizon_is_infinite_and_none_is_nothing() -> None:
    free = free_space(np.ones((90, 160), bool), GROUND, True, NONE)
    assert np.isinf(free.ranges).all()
    assert free.to_dict()["ranges_m"] == [None] * 31
    assert free.ratios.min() > 0.95
    assert free_space(np.zeros((90, 160), bool), GROUND, True, NONE).ranges.tolist() == [0.0] * 31


def test_without_a_calibration_there_are_ratios_alone() -> None:
    free = free_space(road_to(12.0), GROUND, False, NONE)
    assert np.isnan(free.ranges).all()
    assert "ranges_m" not in free.to_dict()
    horizon, row = GROUND.horizon(), GROUND.pixels([[12.0, 0.0]])[0, 1]
    assert free.ratios[15] == pytest.approx((360 - row) / (360 - horizon), abs=0.03)


def test_a_lens_that_says_nothing_of_the_corners_narrows_the_directions() -> None:
    """Where boards did not reach, the distortion has no inverse: every direction was free to the horizon."""
    camera = Camera((960, 540), (600.0, 600.0), (479.5, 269.5), (-0.35, 0.12, 0.0, 0.0, -0.02))
    ground = Ground.of(camera, Mounting(1.3, 2.0))
    assert np.isnan(ground.metres([[5.0, 539.0]])).all()
    road = np.zeros((540, 960), bool)
    road[int(np.ceil(ground.pixels([[6.0, 0.0]])[0, 1])):] = True
    free = free_space(road, ground, True, NONE)
    assert np.isfinite(free.angles).all()
    assert free.ranges[np.argmin(np.abs(free.angles))] == pytest.approx(6.0, rel=0.08)
    assert (free.ranges < 9).all()
    none = np.empty((0, 3)), np.empty(0, np.int64), np.empty(0, np.float32)
    lanes = LaneLines(*none, (4.0, 40.0), ground, True)
    places, in_path = placed(np.float32([[10, 150, 950, 538], [5, 300, 90, 538]]), lanes)
    assert np.isfinite(places).all()
    assert in_path.tolist() == [True, False]


def test_where_the_lower_edge_is_not_on_the_ground_no_free_road_is_known() -> None:
    camera = Camera((960, 540), (600.0, 600.0), (479.5, 269.5))
    ground = Ground.of(camera, Mounting(1.3, 10.0, roll=80.0))
    with np.errstate(all="raise"):
        free = free_space(np.ones((54, 96), bool), ground, True, NONE)
    assert free is None or np.isfinite(free.angles).all()


@pytest.mark.parametrize("size_wh", [(160, 96), (1280, 720)])
def test_with_the_horizon_where_the_bonnet_is_no_free_road_is_known(size_wh: tuple[int, int]) -> None:
    ground = Ground.of(Camera.of_view((1280, 720), 60.0), Mounting(1.3, -16.5))
    assert 0.93 * 720 < ground.horizon() < 720
    assert free_space(np.ones(size_wh[::-1], bool), ground, True, NONE) is None
    higher = Ground.of(Camera.of_view((1280, 720), 60.0), Mounting(1.3, -12.0))
    free = free_space(np.ones(size_wh[::-1], bool), higher, True, NONE)
    assert free is not None
    assert np.isinf(free.ranges).all()


def test_road_by_its_name() -> None:
    labels = np.array([[0, 3], [4, 255]], np.uint8)
    assert road_of(labels, ("sky", "building", "pole", "Road", "pavement")).tolist() == [[False, True], [False, False]]


def test_road_by_its_colour() -> None:
    rng = np.random.default_rng(0)
    image = np.full((360, 640, 3), (210, 170, 130), np.uint8)                       # sky
    image[170:] = (70, 140, 90)                                                     # grass
    left, right = (GROUND.pixels(np.column_stack([np.geomspace(3, 60, 80), np.full(80, side)])) for side in (4, -4))
    cv2.fillPoly(image, [np.rint(np.concatenate([left, right[::-1]])).astype(np.int32)], (95, 95, 98))
    image = np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)
    road = road_by_colour(image, GROUND.horizon())
    truth = cv2.resize((np.abs(image.astype(int) - (95, 95, 98)).max(2) < 25).astype(np.uint8), (160, 96)) > 0
    truth[:46] = False
    both = (road & truth)[:88].sum() / max((road | truth)[:88].sum(), 1)
    assert both > 0.85
