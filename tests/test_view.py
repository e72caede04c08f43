"""Views: every map has its inverse, and pixels land where the map says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.errors import UsageError
from vision.types import Image
from vision.view import View, centre_crop, letterbox, patch, short_side, stretch, window

side = st.integers(2, 300)
sizes = st.tuples(side, side)


def views(image_wh: tuple[int, int], size_wh: tuple[int, int]) -> list[View]:
    image = np.zeros((image_wh[1], image_wh[0], 3), np.uint8)
    crop = (min(size_wh), min(size_wh))
    return [
        stretch(image, size_wh),
        letterbox(image, size_wh),
        letterbox(image, size_wh, multiple=32),
        centre_crop(image, crop, short_side=max(crop) + 5),
    ]


@given(sizes, sizes)
def test_boxes_come_back_to_the_frame(image_wh: tuple[int, int], size_wh: tuple[int, int]) -> None:
    w, h = image_wh
    boxes = np.float32([[0, 0, w, h], [w * 0.25, h * 0.5, w * 0.75, h * 0.9]])
    for view in views(image_wh, size_wh):
        np.testing.assert_allclose(view.to_frame(view.from_frame(boxes)), boxes, atol=1e-2)
        outside = np.float32([[-1e6, -1e6, 1e6, 1e6]])
        np.testing.assert_array_equal(view.to_frame(outside), [[0, 0, w, h]])


@given(sizes, sizes)
def test_a_letterbox_holds_the_whole_frame(image_wh: tuple[int, int], size_wh: tuple[int, int]) -> None:
    image = np.zeros((image_wh[1], image_wh[0], 3), np.uint8)
    fixed, tight = letterbox(image, size_wh), letterbox(image, size_wh, multiple=32)
    assert fixed.pixels.shape == (size_wh[1], size_wh[0], 3)
    assert tight.pixels.shape[0] % 32 == 0
    assert tight.pixels.shape[1] % 32 == 0
    for view in (fixed, tight):
        left, top, right, bottom = view.from_frame(np.float32([[0, 0, *image_wh]]))[0]
        height, width = view.pixels.shape[:2]
        assert left >= 0
        assert top >= 0
        assert right <= width + 1e-3
        assert bottom <= height + 1e-3
        assert abs(left - (width - right)) <= 1.01                              # centred, to a pixel
        assert abs(top - (height - bottom)) <= 1.01
    # black pixels are the frame's: exactly its rectangle, the rest is the border's grey
    rows, columns = np.nonzero(tight.pixels[..., 0] == 0)
    rectangle = tight.from_frame(np.float32([[0, 0, *image_wh]]))[0]
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    np.testing.assert_allclose(found, rectangle, atol=1e-3)
    assert set(np.unique(tight.pixels)) <= {0, 114}


def test_a_letterbox_keeps_the_aspect() -> None:
    view = letterbox(np.zeros((1080, 1920, 3), np.uint8), (640, 640), multiple=32)
    assert view.pixels.shape == (384, 640, 3)
    assert view.scale == (640 / 1920, 360 / 1080)
    assert view.offset == (0.0, 12.0)


@pytest.mark.parametrize("make", [
    lambda image: stretch(image, (160, 120)),
    lambda image: letterbox(image, (160, 160)),
    lambda image: letterbox(image, (160, 160), multiple=32),
    lambda image: centre_crop(image, (100, 100), short_side=120),
])
def test_a_marked_spot_is_where_the_map_says(make: object) -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    image[100:140, 150:190] = 255                                    # centre (170, 120)
    view = make(image)
    ys, xs = np.nonzero(view.pixels[..., 0] > 180)
    centre = np.float32([[xs.mean() + 0.5, ys.mean() + 0.5]])
    np.testing.assert_allclose(view.points_to_frame(centre), [[170, 120]], atol=0.6)


def test_a_centre_crop_takes_the_middle_as_imagenet_is_evaluated() -> None:
    view = centre_crop(np.zeros((480, 640, 3), np.uint8), (224, 224), short_side=256)
    assert view.pixels.shape == (224, 224, 3)
    left, top, right, bottom = view.to_frame(np.float32([[0, 0, 224, 224]]))[0]
    assert right - left == pytest.approx(224 / 256 * 480, abs=1)
    assert (left + right) / 2 == pytest.approx(320, abs=1)
    assert (top + bottom) / 2 == pytest.approx(240, abs=1)


def test_a_crop_larger_than_the_short_side_is_refused() -> None:
    with pytest.raises(UsageError, match="short_side must be at least the crop's 224 pixels; got 100"):
        centre_crop(np.zeros((480, 640, 3), np.uint8), (224, 224), short_side=100)


def test_an_image_of_the_right_size_is_not_copied() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    assert stretch(image, (640, 480)).pixels is image
    assert letterbox(image, (640, 640), multiple=32).pixels is image


@given(st.floats(-3, 3), st.floats(20, 400), st.booleans(), st.floats(0, 320), st.floats(0, 240))
def test_a_patch_goes_there_and_back(angle: float, side: float, mirror: bool, x: float, y: float) -> None:
    view = patch(np.zeros((240, 320, 3), np.uint8), (x, y), side, 64, angle=angle, mirror=mirror)
    points = np.float32([[0, 0], [64, 0], [64, 64], [10, 50], [32, 32]])
    there = view.points_to_frame(points)
    np.testing.assert_allclose(there[4], [x, y], atol=1e-2)
    np.testing.assert_allclose(view.points_from_frame(there), points, atol=0.02)
    across = (there[1] - there[0]) / side * (-1 if mirror else 1)
    np.testing.assert_allclose(across, [np.cos(angle), np.sin(angle)], atol=1e-3)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("degrees", [0, 30, -120])
def test_a_patch_shows_what_the_map_says(degrees: float, mirror: bool) -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    image[90:100, 180:190] = 255                                     # centre (185, 95)
    view = patch(image, (160, 120), 120, 240, angle=np.deg2rad(degrees), mirror=mirror)
    ys, xs = np.nonzero(view.pixels[..., 0] > 127)
    centre = np.float32([[xs.mean() + 0.5, ys.mean() + 0.5]])
    np.testing.assert_allclose(view.points_to_frame(centre), [[185, 95]], atol=0.3)
    to_the_right = np.cos(np.deg2rad(degrees)) * 25 - np.sin(np.deg2rad(degrees)) * 25 > 0
    assert (xs.mean() > 120) == (to_the_right ^ mirror)


def test_an_upright_patch_of_the_frames_own_scale_is_the_frame() -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 120, 3), np.uint8)
    view = patch(image, (60, 50), 40, 40)
    np.testing.assert_array_equal(view.pixels, image[30:70, 40:80])
    outside = patch(image, (0, 0), 40, 40).pixels
    assert outside[:20].max() == outside[:, :20].max() == 0
    np.testing.assert_array_equal(outside[20:, 20:], image[:20, :20])


def test_a_box_in_a_turned_patch_becomes_the_box_around_it() -> None:
    view = patch(np.zeros((240, 320, 3), np.uint8), (160, 120), 100, 100, angle=np.pi / 4)
    (box,) = view.to_frame(np.float32([[40, 40, 60, 60]]))
    np.testing.assert_allclose(box, [160 - 14.14, 120 - 14.14, 160 + 14.14, 120 + 14.14], atol=0.05)
    (back,) = view.from_frame(np.float32([[150, 110, 170, 130]]))
    np.testing.assert_allclose(back, [50 - 14.14, 50 - 14.14, 50 + 14.14, 50 + 14.14], atol=0.05)


@pytest.mark.parametrize(("centre", "side"), [((5.0, 5.0), 0.0), ((5.0, 5.0), -1.0), ((np.nan, 0.0), 10.0)])
def test_a_patch_of_no_size_is_refused(centre: tuple[float, float], side: float) -> None:
    with pytest.raises(UsageError, match="a patch needs"):
        patch(np.zeros((10, 10, 3), np.uint8), centre, side, 64)


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("box", [(0, 0, 90, 60), (20, 10, 70, 50), (31, 5, 52, 57)])
def test_a_window_shows_what_the_map_says(box: tuple[int, int, int, int], quarters: int) -> None:
    """Blocks of four pixels are where the view shows them, and come back to where they are."""
    left, top, right, bottom = box
    for x, y in ((left + 4, top + 4), (right - 9, top + 6), (left + 5, bottom - 8)):
        image = np.zeros((60, 90, 3), np.uint8)
        image[y : y + 4, x : x + 4] = 255
        view = window(image, box, (128, 96), fill=0, quarters=quarters)
        weights = view.pixels[..., 0].astype(float)
        rows, columns = np.indices(weights.shape) + 0.5
        spot = np.array([[(columns * weights).sum(), (rows * weights).sum()]]) / weights.sum()
        assert np.allclose(view.points_to_frame(spot), [[x + 2, y + 2]], atol=0.5)
        assert np.allclose(view.points_from_frame(view.points_to_frame(spot)), spot, atol=1e-3)


@pytest.mark.parametrize("view", [
    lambda image: stretch(image, (8, 8)), lambda image: letterbox(image, (8, 8)),
    lambda image: window(image, (0, 0, 4, 4), (8, 8)), lambda image: short_side(image, 8),
    lambda image: centre_crop(image, (8, 8), short_side=8), lambda image: patch(image, (2, 2), 4, 8),
])
@pytest.mark.parametrize(("image", "came"), [
    (np.full((4, 6, 3), 0.5, np.float32), "float32"),          # was black, without a word
    (np.full((4, 6, 3), 30_000, np.uint16), "uint16"),         # was cut to its low bits
    (np.zeros((4, 6), np.uint8), "(4, 6)"), (np.zeros((4, 6, 4), np.uint8), "(4, 6, 4)"),
    (np.zeros((1, 4, 6, 3), np.uint8), "(1, 4, 6, 3)"), (np.zeros((0, 6, 3), np.uint8), "(0, 6, 3)"),
    (None, "NoneType"), ("bus.jpg", "str"),
])
def test_what_is_no_picture_is_told(view: Callable[[Image], object], image: Any, came: str) -> None:
    with pytest.raises(UsageError, match=r"\(H,W,3\) uint8 BGR") as caught:
        view(image)
    assert came in str(caught.value)


def test_a_view_of_an_array_is_a_picture() -> None:
    image = np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3)
    for part in (image[::-1], image[:, ::-2], image[2:5, 3:9], image[..., ::-1], np.asfortranarray(image)):
        part.setflags(write=False)
        size_wh = part.shape[1], part.shape[0]
        np.testing.assert_array_equal(stretch(part, size_wh).pixels, part)
        boxed = [letterbox(same, (32, 32)).pixels for same in (part, part.copy())]
        np.testing.assert_array_equal(*boxed)
