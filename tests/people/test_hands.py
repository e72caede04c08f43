"""Hands on photographs and on made videos, against the original graph's answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_schema import check_record

from vision import FindHands
from vision.drawing import draw
from vision.errors import UsageError
from vision.io import Info
from vision.people.cascade import Crop
from vision.people.gestures import GESTURES
from vision.people.hands import HandFinder, HandTracker, PalmDetector, crop_of_palm, crop_of_points
from vision.record import record
from vision.types import Frame, Image, Landmarks

TIPS = [0, 4, 8, 12, 16, 20]
# what LiteRT makes of mediapipe 0.10.21's hand_landmark_lite.tflite, for the crop below: wrist and tips in its pixels
ORIGINAL = [[104.64, 185.70], [111.60, 113.22], [113.98, 54.16], [111.55, 138.49], [114.19, 149.39], [120.82, 153.46]]
POINTING = Crop((1070.0, 440.0), 300.0, 1.2)             # of zidane.jpg


@pytest.fixture(scope="session")
def finder() -> HandFinder:
    return HandFinder.load(precision="fp32")


def test_points_are_the_original_graphs(finder: HandFinder, zidane: Image) -> None:
    view = POINTING.view(zidane, 224)
    points, presence, side, _ = finder.engine(view.pixels[None])
    size = np.ptp(points[0, :, :2], axis=0).max()
    apart = np.linalg.norm(points[0, TIPS, :2] - 0.5 - ORIGINAL, axis=1)     # half a pixel: of corners, not of middles
    assert apart.max() < 0.003 * size
    assert presence[0] == pytest.approx(0.9811, abs=1e-3)
    assert side[0] == pytest.approx(0.1280, abs=1e-3)


def test_a_pointing_hand_on_a_photograph(finder: HandFinder, zidane: Image) -> None:
    hands = finder(zidane)
    assert len(hands) == 1
    assert np.abs(hands.boxes[0] - [1004, 414, 1144, 480]).max() < 5
    assert hands.left[0] > 0.9                                       # the left one of the man who faces us
    assert GESTURES[hands.gestures[0]] == "point"
    assert np.linalg.norm(hands.points[0, 8] - [1144, 414]) < 8      # the tip of the finger, seen on the photograph
    assert 0.05 < np.linalg.norm(hands.world[0, 9] - hands.world[0, 0]) < 0.13       # metres
    mirrored = finder(np.ascontiguousarray(zidane[:, ::-1]))
    assert mirrored.left[0] < 0.1
    assert mirrored.points[0, 8, 0] == pytest.approx(1280 - hands.points[0, 8, 0], abs=8)


def test_turned_pictures(finder: HandFinder, zidane: Image) -> None:
    upright = finder(zidane).points[0]
    turned = finder(np.ascontiguousarray(np.rot90(zidane)))           # counter-clockwise: (x, y) -> (y, 1280 - x)
    assert len(turned) == 1
    back = np.stack([1280 - turned.points[0, :, 1], turned.points[0, :, 0]], axis=1)
    assert np.linalg.norm(back - upright, axis=1).mean() < 8


def test_nothing_in_the_way(finder: HandFinder) -> None:
    assert len(finder(np.zeros((240, 320, 3), np.uint8))) == 0
    assert len(finder(np.full((1, 1, 3), 128, np.uint8))) == 0
    with pytest.raises(UsageError, match=r"0\.\.1"):
        finder(np.zeros((8, 8, 3), np.uint8), min_presence=2)
    with pytest.raises(UsageError):
        finder(np.zeros((8, 8), np.uint8))


def test_a_hand_that_the_border_cuts(finder: HandFinder, zidane: Image) -> None:
    """Half a hand is found with its points where they are, or not at all; nothing is invented elsewhere."""
    whole = finder(zidane)
    for right in (1130, 1100, 1070):
        cut = finder(np.ascontiguousarray(zidane[:, :right]))
        for box in cut.boxes:
            assert np.abs(box - np.minimum(whole.boxes[0], right)).max() < 30
    assert len(finder(np.ascontiguousarray(zidane[:, :1130]))) == 1


def moved(image: Image, frames: int) -> list[Image]:
    """A camera that moves over a photograph."""
    steps = (np.float32([[1, 0, 20 * np.sin(i / 6)], [0, 1, 10 * np.cos(i / 6)]]) for i in range(frames))
    return [cv2.warpAffine(image, step, (640, 360)) for step in steps]


@pytest.fixture(scope="module")
def film(zidane: Image) -> list[Image]:
    return moved(np.ascontiguousarray(zidane[250:610, 640:1280]), 14)


def test_following(finder: HandFinder, film: list[Image]) -> None:
    tracker = HandTracker(finder, max_hands=1)
    seen = [tracker(image, i / 30) for i, image in enumerate(film)]
    assert [hands.ids.tolist() for hands in seen] == [[1]] * len(film)
    assert tracker.detections == 1                                   # the crop follows
    for i in (6, 13):
        (alone,) = finder(film[i])
        assert np.linalg.norm(seen[i].points[0] - alone.points[0], axis=1).mean() < 5
    told = [(event.kind, event.what) for hands in seen for event in hands.events]
    assert told[0] == ("begin", "point")
    gone = [tracker(np.zeros_like(film[0]), (14 + 10 * i) / 30) for i in range(6)]
    assert ("end", "point") in [(event.kind, event.what) for hands in gone for event in hands.events]
    assert len(gone[-1]) == 0


def test_following_goes_on_from_a_state(
    finder: HandFinder, film: list[Image], through_json: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    whole, first, second = HandTracker(finder), HandTracker(finder), HandTracker(finder)
    wanted = [whole(image, i / 30) for i, image in enumerate(film[:12])]
    for i, image in enumerate(film[:6]):
        first(image, i / 30)
    second.restore(through_json(first.state()))
    for i in range(6, 12):
        again = second(film[i], i / 30)
        assert again.points.tolist() == wanted[i].points.tolist()
        assert again.events == wanted[i].events


def test_a_gesture_that_is_held_to_the_end_ends_then_after_a_state_too(
    finder: HandFinder, film: list[Image], through_json: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    spec = FindHands(model=finder)
    first, second = (spec.open(Info("film", "video"), finder) for _ in range(2))
    for i, image in enumerate(film[:12]):
        first.begin(Frame(image, i, i / 30), {})()
    second.restore(through_json(first.state()))
    told = [[(e.kind, e.what, e.time) for e in step.end()] for step in (first, second)]
    assert told == [[("end", "point", 11 / 30)]] * 2


def test_record_and_drawing(finder: HandFinder, zidane: Image) -> None:
    hands = finder(zidane)
    line = record(Frame(zidane, 0, 0.0), {"hands": hands.to_dict(finder.names)})
    check_record(line)
    (found,) = line["hands"]["objects"]
    assert (found["label"], found["hand"], found["gesture"], len(found["world"])) == ("hand", "left", "point", 21)
    changed = np.argwhere((draw(hands, zidane, finder.names) != zidane).any(axis=2))
    assert len(changed) > 500
    assert changed[:, 1].min() > 900


@given(st.floats(-3.1, 3.1), st.floats(20, 400))
def test_crops_turn_and_grow_with_the_hand(angle: float, size: float) -> None:
    base = np.array([[0, 0], [-.3, -.1], [-.5, -.3], [-.6, -.5], [-.7, -.7], [-.25, -.9], [-.27, -1.3], [-.28, -1.5],
                     [-.3, -1.7], [0, -1], [0, -1.4], [0, -1.65], [0, -1.8], [.2, -.93], [.22, -1.3], [.23, -1.5],
                     [.24, -1.7], [.4, -.8], [.45, -1.1], [.48, -1.25], [.5, -1.4]], np.float32)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    crop, moved = crop_of_points(base), crop_of_points((base @ turn.T * size + [300, 200]).astype(np.float32))
    assert moved.side == pytest.approx(crop.side * size, rel=1e-3)
    assert np.exp(1j * moved.angle) == pytest.approx(np.exp(1j * (crop.angle + angle)), abs=1e-3)
    assert np.allclose(moved.centre, turn @ crop.centre * size + [300, 200], atol=1e-3 * size)


def test_the_crop_of_a_palm_looks_at_the_fingers() -> None:
    points = np.zeros((1, 7, 2), np.float32)
    points[0, 0], points[0, 2] = (100, 140), (100, 60)               # upright
    crop = crop_of_palm(Landmarks([[60, 60, 140, 140]], points, np.ones((1, 7))))
    assert crop == Crop((100.0, 60.0), pytest.approx(2.6 * 80), 0.0)


@pytest.mark.realdata
def test_hands_of_pictures_that_nobody_chose_for_it(finder: HandFinder, data: Path) -> None:
    image = cv2.imread(str(data / "coco_instances/images/000000324614.jpg"))
    hands = finder(image)
    assert len(hands) == 2
    boxes = hands.boxes[np.argsort(hands.boxes[:, 0])]
    assert np.abs(boxes - [[86, 157, 138, 278], [200, 251, 261, 326]]).max() < 6
    assert sorted(GESTURES[i] for i in hands.gestures) == ["fist", "open"]


def test_the_detector_by_itself(zidane: Image) -> None:
    with PalmDetector.load(precision="fp32") as detector:
        found = detector(zidane)[0]
        assert found.points.shape == (1, 7, 2)
        assert found.scores[0, 0] > 0.5
        wrist, knuckle = found.points[0, 0], found.points[0, 2]
        assert wrist[0] < knuckle[0]                                 # the arm comes from the left
