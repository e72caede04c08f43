"""Objects ahead: growth in the picture, distance and time on made drives, what is in the way, warnings."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from vision.driving.alerts import COLLISION, DEPARTURE, PERSON, Warnings
from vision.driving.growth import Growth
from vision.driving.lights import light_state
from vision.driving.lines import LaneLines
from vision.driving.obstacles import Observer, Obstacles, placed
from vision.geometry import Camera, Ground, Mounting
from vision.state import dumps, loads
from vision.types import Frame, Tracks

CAMERA = Camera((640, 360), (520.0, 520.0), (319.5, 179.5))
GROUND = Ground.of(CAMERA, Mounting(1.3, 2.0))
NAMES = ("car", "person", "traffic light", "sofa")
TEXTURE = np.random.default_rng(0).integers(40, 220, (40, 48, 3), np.uint8)


def lanes(offset: float = 0.0, calibrated: bool = True) -> LaneLines:
    """A straight lane of 3.6 m; offset: of the car, to the left."""
    curves = np.array([[1.8 - offset, 0, 0], [-1.8 - offset, 0, 0]])
    return LaneLines(curves, np.array([0, 1]), np.float32([0.9, 0.9]), (4.0, 40.0), GROUND, calibrated)


def box_at(forward: float, left: float = 0.0, wide: float = 1.8, high: float = 1.5) -> np.ndarray:
    """The box of what stands there; its lower edge is where its wheels are."""
    foot = GROUND.pixels([[forward, left]])[0]
    w, h = wide * 520 / forward, high * 520 / forward
    return np.array([foot[0] - w / 2, foot[1] - h, foot[0] + w / 2, foot[1]], np.float32)


def picture(*boxes: np.ndarray) -> np.ndarray:
    """A grey road with textured boxes."""
    image = np.full((360, 640, 3), 95, np.uint8)
    for left, top, right, bottom in boxes:
        across = np.array([[(right - left) / 48, 0, left], [0, (bottom - top) / 40, top]])
        cv2.warpAffine(TEXTURE, across, (640, 360), image, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
    return image


def tracks(*boxes: np.ndarray, labels: tuple[int, ...] | None = None) -> Tracks:
    count = len(boxes)
    return Tracks(np.array(boxes, np.float32).reshape(-1, 4), np.full(count, 0.9), labels or (0,) * count,
                  np.arange(1, count + 1), np.ones(count), np.arange(count))


def drive(speed: float, start: float = 25.0, seconds: float = 2.0, left: float = 0.0, calibrated: bool = True,
          rate: float = 20.0) -> tuple[Obstacles, float]:
    """A car that comes nearer at a speed, and the distance of its wheels in the last frame."""
    observer, rng, found, forward = Observer(), np.random.default_rng(1), None, start
    for k in range(round(seconds * rate)):
        forward = start - speed * k / rate
        box = box_at(forward, left)
        seen = box + rng.normal(0, 0.01 * (box[3] - box[1]), 4).astype(np.float32)
        frame = Frame(picture(box), k, k / rate)
        found = observer(frame, tracks(seen), lanes(calibrated=calibrated), NAMES)
    assert found is not None
    return found, forward


def test_growth_is_measured_in_the_picture() -> None:
    growth = Growth()
    boxes = [box_at(12.0), box_at(11.7)]
    assert growth(picture(boxes[0]), np.array([7]), np.array([boxes[0]])) == {}
    found = growth(picture(boxes[1]), np.array([7]), np.array([boxes[1] + np.float32([-3, 2, 2, -3])]))
    value, error = found[7]
    assert value == pytest.approx(np.log(12.0 / 11.7), abs=0.005)
    assert error < 0.01
    assert growth(picture(boxes[1]), np.array([8]), np.array([boxes[1]])) == {}              # another object
    other = np.zeros((90, 160, 3), np.uint8)                                # frames of another size
    assert growth(other, np.array([8]), np.array([[0, 0, 50, 50]])) == {}


def test_distance_speed_and_time_of_a_car_ahead() -> None:
    found, forward = drive(5.0)
    distance, low, high = found.distances[0].tolist()
    assert distance == pytest.approx(forward - 0.5, rel=0.06)               # its back is nearer than its wheels
    assert low < forward - 0.5 < high
    assert found.speeds[0, 0] == pytest.approx(5.0, rel=0.15)
    assert found.times[0, 0] == pytest.approx(forward / 5.0, rel=0.12)
    assert found.times[0, 1] < forward / 5.0 < found.times[0, 2]
    assert found.in_path.tolist() == [True]
    assert found.places[0].tolist() == [pytest.approx(forward, rel=0.08), pytest.approx(0, abs=0.1)]


def test_without_a_calibration_there_are_times_alone() -> None:
    found, forward = drive(5.0, calibrated=False)
    assert np.isnan(found.distances).all()
    assert np.isnan(found.speeds).all()
    assert found.times[0, 0] == pytest.approx(forward / 5.0, rel=0.12)
    assert found.to_dict(NAMES)[0].keys() == {"id", "label", "in_path", "ttc_s", "ttc_90"}


def test_what_keeps_its_distance_never_comes() -> None:
    found, _ = drive(0.0)
    assert not found.times[0, 0] < 40
    assert found.speeds[0, 0] == pytest.approx(0, abs=0.4)


def test_in_the_way_or_beside_it() -> None:
    boxes = np.array([box_at(15, 0.0), box_at(15, 3.6), box_at(15, -3.6), box_at(15, 1.2), box_at(60, 0.0),
                      box_at(12, 1.6, 0.5, 1.7)], np.float32)
    assert placed(boxes, lanes())[1].tolist() == [True, False, False, True, True, False]
    assert placed(boxes, lanes(), 0.7)[1].tolist() == [True, False, False, True, True, True]
    bent = LaneLines(np.array([[1.8, 0, 0.008], [-1.8, 0, 0.008]]), np.array([0, 1]), np.float32([0.9, 0.9]),
                     (4.0, 40.0), GROUND, True)
    assert placed(np.array([box_at(20, 3.2), box_at(20, 0.0)]), bent)[1].tolist() == [True, False]
    assert placed(np.empty((0, 4), np.float32), lanes())[1].shape == (0,)


def test_what_is_behind_another_is_told_by_its_size() -> None:
    observer, near, far = Observer(), box_at(10.0), box_at(20.0)
    hidden = far.copy()
    hidden[3] -= 6                                                          # the near one covers its wheels
    found = observer(Frame(picture(far, near), 0, 0.0), tracks(near, hidden), lanes(), NAMES)
    assert found.distances[1, 0] == pytest.approx(19.5, rel=0.08)


def test_a_clock_that_goes_back_begins_anew() -> None:
    observer = Observer()
    for time in (5.0, 5.1, 5.2, 1.0):
        found = observer(Frame(picture(box_at(10)), 0, time), tracks(box_at(10)), lanes(), NAMES)
    assert np.isnan(found.times).all()
    assert found.distances[0, 0] == pytest.approx(9.5, rel=0.05)


def warned(speed: float, start: float, label: int = 0) -> list[tuple[str, str, float]]:
    """Warnings while a car comes nearer, and then keeps its distance."""
    observer, warnings, said, forward = Observer(), Warnings(), [], start
    for k in range(100):
        forward -= speed / 20 if forward > 6 else 0.0
        box = box_at(forward) if label == 0 else box_at(forward, 0.0, 0.6, 1.7)
        frame = Frame(picture(box), k, k / 20)
        found = observer(frame, tracks(box, labels=(label,)), lanes(), NAMES)
        said += [(one.kind, one.side, forward) for one in warnings(frame.time, found, lanes(), NAMES)]
    return said


def test_a_collision_is_warned_of_once_and_ends() -> None:
    said = warned(8.0, 35.0)
    assert [one[:2] for one in said] == [(COLLISION, "begin"), (COLLISION, "end")]
    assert 10 < said[0][2] < 8.0 * 2.7 + 1.5                          # 2.7 s before, less what it takes to be sure


def test_a_car_that_is_slow_to_come_is_no_danger() -> None:
    assert warned(1.5, 20.0) == []


def test_a_person_in_the_way() -> None:
    said = warned(4.0, 25.0, label=1)
    assert said[0][:2] == (PERSON, "begin")
    assert said[0][2] == pytest.approx(14, abs=2.5)                         # 4 s before, less what it takes
    assert [one[1] for one in said].count("begin") == 1                     # and it is still there, near: no end


def empty() -> Obstacles:
    return Observer()(Frame(picture(), 0, 0.0), tracks(), lanes(), NAMES)


def test_leaving_the_lane_has_hysteresis() -> None:
    warnings, said = Warnings(), []
    for k in range(200):
        offset = 1.2 * np.sin(k / 200 * np.pi) + 0.02 * (-1) ** k           # to the left and back, with a tremble
        events = warnings(k / 25, empty(), lanes(offset), NAMES)
        said += [(one.side, one.place, round(offset, 1)) for one in events]
    assert [one[:2] for one in said] == [("begin", "left"), ("end", "left")]
    assert said[0][2] == pytest.approx(0.8, abs=0.15)                       # our side is 0.1 m from the line
    assert said[1][2] == pytest.approx(0.5, abs=0.25)


def test_a_lane_change_ends_what_it_began() -> None:
    """To the left over a line, after which the line is the right one of the next lane."""
    warnings, said = Warnings(), []
    for k in range(250):
        offset = 3.6 * k / 150
        crossed = int(k == 75)
        found = replace(lanes(offset - 3.6 * (k >= 75)), crossed=crossed) if k < 150 else lanes(0.0)
        said += [(one.side, one.place) for one in warnings(k / 25, empty(), found, NAMES)]
        if k == 85:
            assert warnings.active[DEPARTURE].place == "right"              # what is near now
            again = Warnings()
            again.restore(loads(dumps(warnings.state())))
            assert [(one.side, one.place) for one in (*warnings.close(9.0), *again.close(9.0))] == [("end", "left")] * 2
    assert said == [("begin", "left"), ("end", "left")]


def test_a_warning_ends_with_the_one_that_it_began_with() -> None:
    """A second car becomes the more urgent one, and then both are gone."""
    warnings, said = Warnings(), []
    names, boxes = ("car", "truck"), (box_at(9), box_at(12))
    seen = Observer()(Frame(picture(*boxes), 0, 0.0), tracks(*boxes, labels=(0, 1)), lanes(), names)
    both = replace(seen, in_path=np.array([True, True]))
    for k in range(60):
        times = np.float32([[9, 9, 9], [9, 9, 9]]) if k >= 40 else np.float32(
            [[1.0, 0.9, 1.1], [2.0, 1.9, 2.1]] if k < 20 else [[2.0, 1.9, 2.1], [1.0, 0.9, 1.1]])
        said += [(one.kind, one.side, one.track, one.label) for one in
                 warnings(k / 20, replace(both, times=times), lanes(), names)]
        if k == 30:
            assert warnings.active[COLLISION].track == 2
    assert said == [(COLLISION, "begin", 1, 0), (COLLISION, "end", 1, 0)]


def test_a_warning_has_its_numbers() -> None:
    warnings = Warnings()
    for k in range(10):
        events = warnings(k / 25, empty(), lanes(1.0), NAMES)
        if events:
            break
    value = events[0].to_dict(NAMES)
    assert value["event"] == DEPARTURE
    assert value["to_line_m"] == pytest.approx(-0.1)
    assert warnings.active[DEPARTURE].place == "left"
    assert [one.side for one in warnings.close(1.0)] == ["end"]
    bare = Warnings()
    for k in range(10):
        events = bare(k / 25, empty(), lanes(1.0, calibrated=False), NAMES) or events
    assert events[0].to_dict(NAMES).keys() == {"time_s", "event", "side", "place", "to_line_ratio"}


def test_lines_that_are_hidden_warn_of_nothing() -> None:
    warnings = Warnings()
    assert not any(warnings(k / 25, empty(), lanes(1.2).until(7.0), NAMES) for k in range(20))


@pytest.mark.parametrize(("lamp", "shade"), [
    ("red", (40, 40, 250)), ("amber", (0, 190, 255)), ("green", (140, 230, 30)), ("off", None),
])
@pytest.mark.parametrize("tall", [True, False])
def test_the_lamp_that_is_lit(lamp: str, shade: tuple[int, int, int] | None, tall: bool) -> None:
    image = np.full((200, 300, 3), (160, 120, 90), np.uint8)
    part = np.full((60, 24, 3), 25, np.uint8)
    for n, name in enumerate(("red", "amber", "green")):
        dim = {"red": (20, 20, 70), "amber": (10, 50, 70), "green": (30, 60, 15)}[name]
        cv2.circle(part, (12, 10 + 20 * n), 8, shade if name == lamp and shade else dim, -1, cv2.LINE_AA)
    part = cv2.GaussianBlur(part, (3, 3), 0)
    if not tall:
        part = np.ascontiguousarray(part.transpose(1, 0, 2))
    high, wide = part.shape[:2]
    image[50:50 + high, 100:100 + wide] = part
    state, sure = light_state(image, np.float32([100, 50, 100 + wide, 50 + high]))
    assert state == lamp
    assert sure > 0.5


def test_a_traffic_light_is_no_obstacle() -> None:
    image = picture()
    image[20:80, 300:324] = 25
    cv2.circle(image, (312, 30), 8, (40, 40, 250), -1)
    seen = tracks(np.float32([300, 20, 324, 80]), labels=(2,))
    found = Observer()(Frame(image, 0, 0.0), seen, lanes(), NAMES)
    assert found.states == ("red",)
    assert found.to_dict(NAMES)[0]["state"] == "red"
    assert len(Observer()(Frame(image, 0, 0.0), tracks(box_at(9), labels=(3,)), lanes(), NAMES)) == 0     # a sofa
