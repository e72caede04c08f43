"""Drawing: legible at any size, on the frame, and the same colour for the same class."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vision.drawing import colour, draw, label, unit
from vision.errors import UsageError
from vision.types import ClassMap, Detections, Scores, Tracks

GREY = 128


def canvas(w: int, h: int) -> np.ndarray:
    return np.full((h, w, 3), GREY, np.uint8)


@pytest.mark.parametrize("size", [(64, 48), (320, 240), (1920, 1080), (3840, 2160), (1080, 1920)])
def test_a_label_is_whole_and_as_high_as_the_picture_asks(size: tuple[int, int]) -> None:
    w, h = size
    for corner in ((w // 2, h // 2), (0, 0), (w, h), (-50, -50), (w + 50, h + 50)):
        image = canvas(w, h)
        label(image, "dog 0.97", corner, (200, 0, 0))
        ys, xs = np.nonzero((image != GREY).any(axis=2))
        # moved inside: the patch is never cut at the top or the bottom, nor (where it fits) at a side
        patch_h = ys.max() - ys.min() + 1
        expected = cv2.getTextSize("dog 0.97", cv2.FONT_HERSHEY_SIMPLEX, 0.45 * unit(image), 1)[0][1]
        assert patch_h >= expected
        assert xs.max() - xs.min() + 1 > patch_h
        assert patch_h >= 8
        assert patch_h <= max(16, 0.12 * min(w, h)) + 8


def test_ink_stands_out_from_every_ground() -> None:
    for key in range(40):
        image = canvas(400, 400)
        ground = colour(key)
        label(image, "person 0.88", (100, 200), ground)
        patch = image[(image != GREY).any(axis=2)].astype(float)
        luma = patch @ [0.114, 0.587, 0.299]
        assert luma.max() - luma.min() > 100


def test_a_class_keeps_its_colour_and_neighbours_differ() -> None:
    shades = [np.array(colour(key), int) for key in range(8)]
    assert [colour(key) for key in range(8)] == [tuple(s) for s in shades]
    for i in range(8):
        for j in range(i):
            assert np.abs(shades[i] - shades[j]).sum() >= 60


def test_a_box_is_drawn_where_it_is_and_nowhere_else() -> None:
    image = canvas(640, 480)
    found = Detections([[100, 200, 300, 400]], [0.9], [2])
    drawn = draw(found, image, ["a", "b", "car"])
    assert (image == GREY).all()                                             # a copy
    changed = (drawn != GREY).any(axis=2)
    assert changed[200, 120:280].all()                                       # top edge
    assert changed[220:380, 100].all()                                       # left edge
    assert not changed[230:370, 130:270].any()                               # inside
    assert not changed[420:, :].any()
    assert tuple(drawn[300, 100]) == colour(2)


@pytest.mark.parametrize("result", [
    Detections([[-40, -40, 900, 700]], [0.5], [0]),
    Tracks([[630, 470, 640, 480]], [0.5], [0], [12345], [0.0], [0]),
    Detections.empty(),
    Scores([0.2, 0.8]),
])
def test_anything_can_be_drawn_on_any_size(result: object) -> None:
    for w, h in ((640, 480), (32, 16), (1, 1)):
        drawn = draw(result, canvas(w, h), ["first"])
        assert drawn.shape == (h, w, 3)


def test_a_name_that_is_missing_is_its_number_and_unknown_results_are_refused() -> None:
    a = draw(Detections([[10, 100, 90, 190]], [0.5], [7]), canvas(200, 200), [])
    b = draw(Detections([[10, 100, 90, 190]], [0.5], [7]), canvas(200, 200), [*"abcdefg", "7"])
    np.testing.assert_array_equal(a, b)
    with pytest.raises(TypeError, match="no drawing for dict"):
        draw({}, canvas(10, 10))


def test_what_is_no_picture_is_told_before_there_is_anything_to_draw() -> None:
    for image in (np.zeros((48, 64, 3), np.float32), np.zeros((48, 64), np.uint8), None):
        with pytest.raises(UsageError, match="uint8 BGR"):
            draw(Detections.empty(), image)


def test_a_class_map_of_another_size_is_told() -> None:
    with pytest.raises(UsageError, match=r"its own frame, \(4, 6\); this one is \(48, 64\)"):
        draw(ClassMap(np.zeros((4, 6), np.uint8)), np.zeros((48, 64, 3), np.uint8))
