"""Lane lines: on made roads with known truth, on real pictures with lines labelled by eye, over time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.driving.roads import CAMERA, GROUND, MOUNTING, road
from vision import FindLanes, Frame, Info, read
from vision.drawing import Canvas, paint
from vision.driving.finder import LaneFinder, sized
from vision.driving.lines import LaneLines
from vision.driving.rows import Rows
from vision.driving.vanishing import vanishing_point
from vision.errors import UsageError
from vision.geometry import Camera, Ground, Setup
from vision.state import dumps, loads


def errors(lanes: LaneLines, left: float, right: float, heading: float, bend: float) -> np.ndarray:
    """Metres between the lines and the truth, at 6, 15 and 25 m."""
    z = np.array([6.0, 15.0, 25.0])
    found = [lanes.line(side) for side in (0, 1)]
    assert found[0] is not None
    assert found[1] is not None
    return np.array([curve[0] + curve[1] * z + curve[2] * z**2 - (offset + heading * z + bend * z**2)
                     for curve, offset in zip(found, (left, right), strict=True)])


@pytest.mark.parametrize(("left", "right", "heading", "bend"), [
    (1.8, -1.8, 0.0, 0.0), (1.2, -2.4, 0.03, 0.0), (2.3, -1.4, -0.02, 0.001), (1.8, -1.8, 0.0, -0.002),
])
def test_a_made_road_is_found_in_metres(left: float, right: float, heading: float, bend: float) -> None:
    finder = LaneFinder((640, 360), Setup(CAMERA, MOUNTING))
    for k in range(6):
        lanes = finder(road(left, right, heading, bend, start=k * 1.5, seed=k), k / 25)
    assert lanes.calibrated
    assert np.abs(errors(lanes, left, right, heading, bend)).max() < 0.2
    assert lanes.width == pytest.approx(left - right, abs=0.1)
    assert lanes.offset == pytest.approx(-(left + right) / 2, abs=0.08)
    assert lanes.curvature == pytest.approx(2 * bend, abs=8e-4)
    assert (lanes.scores > 0.4).all()


def test_a_yellow_line_on_light_concrete() -> None:
    image = road(paint=(60, 200, 235))
    light = np.where((image == image[340, 320]).all(axis=2)[..., None], 185, image).astype(np.uint8)
    light[round(GROUND.horizon()):][np.abs(light[round(GROUND.horizon()):].astype(int) - 95).max(axis=2) < 25] = 185
    lanes = LaneFinder((640, 360), Setup(CAMERA, MOUNTING))(light, 0.0)
    assert np.abs(errors(lanes, 1.8, -1.8, 0, 0)[0]).max() < 0.2


def test_without_a_calibration_there_are_ratios_alone() -> None:
    finder = LaneFinder((640, 360))
    for k in range(12):
        lanes = finder(road(1.5, -2.1, start=k * 1.5, seed=k), k / 25)
    assert not lanes.calibrated
    assert lanes.offset_share == pytest.approx(0.3 / 3.6, abs=0.02)
    assert lanes.curvature is None
    record = lanes.to_dict()
    assert record.keys() == {"calibrated", "lines", "offset_ratio"}
    assert all("curve" not in line for line in record["lines"])
    for row in (240, 300):
        for side, left in ((0, 1.5), (1, -2.1)):
            seen = GROUND.pixels(np.column_stack([np.linspace(4, 60, 500), np.full(500, left)]))
            true = np.interp(row, seen[::-1, 1], seen[::-1, 0])
            assert lanes.x_at(side, row) == pytest.approx(true, abs=4)


def test_the_pitch_is_read_off_the_lines() -> None:
    finder = LaneFinder((640, 360), Setup(CAMERA), height=1.3)
    for k in range(25):
        lanes = finder(road(start=k * 1.5, seed=k), k / 25)
    mounting = lanes.plane.mounting
    assert mounting is not None
    assert mounting.pitch == pytest.approx(2.0, abs=0.4)
    assert lanes.width == pytest.approx(3.6, abs=0.25)


def test_an_empty_road_has_no_lines() -> None:
    image = np.full((360, 640, 3), 95, np.uint8) + np.random.default_rng(0).integers(0, 9, (360, 640, 3), np.uint8)
    lanes = LaneFinder((640, 360), Setup(CAMERA, MOUNTING))(image, 0.0)
    assert len(lanes) == 0
    assert lanes.offset is None
    assert lanes.middle(np.array([5.0, 30.0])).tolist() == [0.0, 0.0]
    assert np.isnan(lanes.x_at(0, 300))


def test_a_line_that_is_gone_fades() -> None:
    finder = LaneFinder((640, 360), Setup(CAMERA, MOUNTING))
    for k in range(10):
        lanes = finder(road(start=k, seed=k), k / 25)
    sure = lanes.scores.max()
    plain = np.full((360, 640, 3), 95, np.uint8)
    for k in range(10, 100):
        lanes = finder(plain, k / 25)
        if k == 14:
            assert 0.2 < lanes.scores.max() < sure
    assert len(lanes) == 0


def test_after_a_lane_change_it_is_in_the_next_lane() -> None:
    finder = LaneFinder((640, 360), Setup(CAMERA, MOUNTING))
    crossings = []
    for k in range(70):
        aside = 3.6 * np.clip((k - 8) / 50, 0, 1)                    # to the left, over the solid line
        image = road(1.8 - aside, -1.8 - aside, start=k, seed=k)
        third = road(5.4 - aside, -99.0, start=k, seed=k)             # the next line to the left
        lanes = finder(np.maximum(image, third), k / 25)
        crossings.append(lanes.crossed)
    assert [one for one in crossings if one] == [1]
    assert lanes.offset == pytest.approx(0.0, abs=0.25)


def test_it_goes_on_where_it_was() -> None:
    one, other = (LaneFinder((640, 360)) for _ in range(2))
    frames = [road(start=k * 1.5, seed=k) for k in range(8)]
    for k, image in enumerate(frames[:5]):
        one(image, k / 25)
    other.restore(one.state())
    for k, image in enumerate(frames[5:], 5):
        assert one(image, k / 25).to_dict() == other(image, k / 25).to_dict()


def test_a_height_beside_points_on_the_ground_is_refused() -> None:
    """It was passed over: the points say it all."""
    points = ((600.0, 400.0), (680.0, 400.0), (900.0, 700.0), (380.0, 700.0)), ((30.0, 2.0), (30.0, -2.0), (8.0, -2.0),
                                                                              (8.0, 2.0))
    setup = Setup(CAMERA, points=points)
    assert sized(setup, None, None) is setup
    for height, pitch in ((1.3, None), (None, 2.0), (1.3, 2.0)):
        with pytest.raises(UsageError, match="leave out --height and --pitch"):
            sized(setup, height, pitch)


@pytest.mark.parametrize("known", [True, False])
def test_a_step_goes_on_where_it_was(known: bool) -> None:
    info = Info("made", "video", (640, 360))
    one, other = (FindLanes(height=None).open(info, None) for _ in range(2))
    if not known:                                                     # the size comes with the first frame
        other = FindLanes().open(replace(info, size_wh=None), None)
    frames = [Frame(road(start=k * 1.5, seed=k), k, k / 25) for k in range(8)]
    for frame in frames[:5]:
        one.begin(frame, {})()
    between = FindLanes().open(replace(info, size_wh=None), None)     # which is put down before its first frame
    between.restore(loads(dumps(one.state() or {})))
    other.restore(loads(dumps(between.state() or {})))
    for frame in frames[5:]:
        assert one.begin(frame, {})().to_dict() == other.begin(frame, {})().to_dict()
    for step in (one, between, other):
        step.end()


def test_stripes_in_boxes_are_no_markings() -> None:
    rows = Rows.of(GROUND)
    points = rows.markings(road())
    box = np.float32([[0, 0, 320, 360]])
    kept = rows.outside(points, box)
    assert 0 < len(kept.left) < len(points.left)
    assert (kept.left < 0.1).all()


def test_where_lines_meet() -> None:
    x, y = vanishing_point(road(heading=0.03))
    far = GROUND.pixels([[1e6, 0.03e6]])[0]
    assert (x, y) == (pytest.approx(far[0], abs=8), pytest.approx(far[1], abs=6))
    assert vanishing_point(np.zeros((90, 160, 3), np.uint8)) == (80.0, 45.0)


# both ego lines at three quarters of the height, labelled by eye on the pictures, in pixels of them
LABELLED = {
    "advanced_straight_lines1": (469, 825), "advanced_straight_lines2": (470, 829),
    "p1_solidWhiteCurve": (357, 652), "p1_solidWhiteRight": (342, 634), "p1_solidYellowCurve": (351, 631),
    "p1_solidYellowCurve2": (350, 640), "p1_solidYellowLeft": (341, 638), "p1_whiteCarLaneSwitch": (361, 646),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", LABELLED)
def test_real_lines_are_where_an_eye_sees_them(name: str, data: Path) -> None:
    image = cv2.imread(str(data / f"driving/test_images/{name}.jpg"))
    height, width = image.shape[:2]
    for shape in ((width, height), (640, 360)):
        lanes = LaneFinder(shape)(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), 0.0)
        found = [lanes.x_at(side, 0.75 * shape[1]) * width / shape[0] for side in (0, 1)]
        assert found == pytest.approx(LABELLED[name], abs=10)


# the same in frames of the dashcam clip: by eye, every fortieth frame
CLIP = {0: (342, 640), 40: (341, 637), 80: (329, 626), 120: (335, 636), 160: (350, 648), 200: (358, 649)}


@pytest.mark.realdata
def test_the_clip(data: Path) -> None:
    finder, lost = None, 0
    for frame in read(data / "videos/dashcam_solidWhiteRight.mp4"):
        finder = finder or LaneFinder(frame.size_wh)
        lanes = finder(frame.image, frame.time)
        lost += len(lanes) < 2
        if frame.index in CLIP:
            assert [lanes.x_at(side, 405) for side in (0, 1)] == pytest.approx(CLIP[frame.index], abs=10)
    assert lost == 0


def test_lines_say_what_they_mean() -> None:
    lanes = LaneLines(np.array([[1.5, 0, 0], [-2.1, 0, 0]]), np.array([0, 1]), np.float32([0.9, 0.8]), (4.0, 40.0),
                      GROUND, True)
    assert (lanes.width, lanes.offset) == (pytest.approx(3.6), pytest.approx(0.3))       # the car is left of the middle
    assert lanes.middle(np.array([20.0]))[0] == pytest.approx(-0.3)
    assert lanes.until(10.0).curvature is None
    assert replace(lanes, calibrated=False).to_dict()["offset_ratio"] == pytest.approx(0.083)


def test_a_line_begins_where_the_lens_sees_it() -> None:
    camera = Camera((640, 360), (400.0, 400.0), (319.5, 179.5), (-0.369, 0.197, 0.0, 0.0, -0.068))
    curves = np.array([[3.5, 0, 0], [-1.8, 0, 0]])
    lines = LaneLines(curves, np.array([0, 1]), np.float32([0.9, 0.9]), (2.0, 40.0), Ground.of(camera, MOUNTING), True)
    drawn = lines.points(0)
    assert 10 < len(drawn) < 24
    assert (np.diff(drawn[:, 1]) < 0).all()                           # upwards, to the horizon
    assert (np.diff(drawn[:, 0]) > 0).all()
    assert np.isfinite(lines.to_dict()["lines"][0]["points"]).all()
    canvas = Canvas(np.zeros((360, 640, 3), np.uint8))
    paint(lines, canvas, ())
    assert canvas.image[:, 330:].any()
