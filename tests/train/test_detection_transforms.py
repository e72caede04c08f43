"""Transforms of labelled pictures: what is seen, its box and its mask stay together."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision import tv_tensors

from vision.errors import UsageError
from vision.train.detect import DetectSettings
from vision.train.detection_transforms import (
    GREY,
    Mirror,
    Sample,
    ScaledCrop,
    as_sample,
    mix_up,
    mosaic,
    varied,
    visible,
)
from vision.train.loading import drawn

Boxes = list[list[int]]
COLOURS = torch.tensor([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0]], dtype=torch.uint8)


def rectangles(size_hw: tuple[int, int], boxes: Boxes) -> Sample:
    """Blocks on black, each of its label's colour, with masks."""
    picture = torch.zeros(3, *size_hw, dtype=torch.uint8)
    masks = torch.zeros(len(boxes), *size_hw, dtype=torch.uint8)
    for i, (left, top, right, bottom) in enumerate(boxes):
        picture[:, top:bottom, left:right] = COLOURS[i, :, None, None]
        masks[i, top:bottom, left:right] = 1
    xyxy = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return as_sample(picture, xyxy, torch.arange(len(boxes)), masks)


def extent(mask: Tensor) -> Tensor:
    """The box of what is set in (H,W), in pixels that span i..i+1; zeros where nothing is."""
    ys, xs = mask.nonzero(as_tuple=True)
    if not len(ys):
        return torch.zeros(4)
    return torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float()


def seen(picture: Tensor, label: int) -> Tensor:
    """Where a label's colour prevails."""
    return ((picture.int() - COLOURS[label, :, None, None].int()).abs() < 110).all(0)


def assert_together(item: Sample, tolerance: float = 1.0) -> None:
    """The colour and the mask of every row are where its box is."""
    height, width = item["picture"].shape[-2:]
    limit = torch.tensor([width, height, width, height])
    assert {len(item[name]) for name in ("boxes", "labels", "masks")} == {len(item["labels"])}
    for i, label in enumerate(item["labels"].tolist()):
        box = item["boxes"][i].as_subclass(Tensor)
        assert (box >= 0).all()
        assert (box <= limit).all()
        assert (extent(seen(item["picture"].as_subclass(Tensor), label)) - box).abs().max() <= tolerance
        assert (extent(item["masks"][i].as_subclass(Tensor)) - box).abs().max() <= tolerance


sides = st.integers(24, 90)


@settings(max_examples=60)
@given(st.tuples(sides, sides), st.tuples(sides, sides), st.integers(0, 10**6))
@example((24, 36), (31, 46), 30)                        # cut, and by rounding two pixels short of the canvas
def test_a_scaled_crop_keeps_colour_box_and_mask_together(
    size_hw: tuple[int, int], canvas: tuple[int, int], seed: int
) -> None:
    height, width = size_hw
    boxes = [[2, 3, width // 2, height // 2], [width // 2 + 4, height // 2 + 3, width, height]]
    item = rectangles(size_hw, boxes)
    with drawn(seed):
        varied = visible(Mirror()(ScaledCrop(canvas, (0.5, 3.0), 1.3)(item)), 0.0)
    assert varied["picture"].shape == (3, *canvas)
    assert_together(varied)


def test_mirrored_by_hand() -> None:
    item = rectangles((10, 20), [[2, 3, 7, 8]])
    mirrored = Mirror(1.0)(item)
    assert mirrored["boxes"].tolist() == [[13, 3, 18, 8]]
    assert extent(seen(mirrored["picture"], 0)).tolist() == [13, 3, 18, 8]
    assert extent(mirrored["masks"][0]).tolist() == [13, 3, 18, 8]


@settings(max_examples=60)
@given(st.tuples(sides, sides), st.tuples(sides, sides), st.integers(0, 10**6))
def test_points_stay_on_what_they_mark(size_hw: tuple[int, int], canvas: tuple[int, int], seed: int) -> None:
    """A block's left, right and middle, marked: found by its colour afterwards."""
    height, width = size_hw
    box = [3, 4, width - 5, height - 2]
    plain = rectangles(size_hw, [box])
    left, top, right, bottom = map(float, box)
    marks = torch.tensor([[[left, top], [right, bottom], [(left + right) / 2, (top + bottom) / 2], [torch.nan] * 2]])
    item = as_sample(plain["picture"], plain["boxes"].as_subclass(Tensor), plain["labels"], points=marks)
    with drawn(seed):
        moved = Mirror()(ScaledCrop(canvas, (0.5, 2.0), 1.3)(item))
    points = moved["points"].as_subclass(Tensor)[0]
    assert points[3].isnan().all()
    span = torch.cat([points[:2].amin(0), points[:2].amax(0)])
    assert (span - moved["boxes"].as_subclass(Tensor)[0]).abs().max() < 1e-3
    limit = torch.tensor([canvas[1], canvas[0]] * 2)
    found = extent(seen(moved["picture"].as_subclass(Tensor), 0))
    assert (found - span.clamp(min=0).minimum(limit)).abs().max() <= 1
    x, y = points[2].floor().int().tolist()
    if 0 <= x < canvas[1] and 0 <= y < canvas[0]:
        assert seen(moved["picture"].as_subclass(Tensor), 0)[y, x]


def test_points_come_with_the_objects_that_are_seen() -> None:
    parts = []
    for place in range(4):
        plain = rectangles((40, 40), [[0, 0, 4, 4], [10, 10, 30, 30]])
        marks = torch.tensor([[[2.0, 2.0]], [[20.0, 20.0 + place]]])
        parts.append(as_sample(plain["picture"], plain["boxes"].as_subclass(Tensor), plain["labels"], points=marks))
    with drawn(3):
        item = mosaic(parts, (80, 80), (0.5, 0.5))
    points, picture = item["points"].as_subclass(Tensor), item["picture"].as_subclass(Tensor)
    assert len(points) == len(item["boxes"]) == len(item["labels"]) > 4
    for at, label in zip(points[:, 0].floor().int().tolist(), item["labels"].tolist(), strict=True):
        assert seen(picture, label)[at[1], at[0]]


def test_a_picture_is_shrunk_and_enlarged_by_what_was_asked_for() -> None:
    item = rectangles((40, 80), [[0, 0, 40, 40]])
    for scale, width in ((0.25, 20), (0.5, 40), (1.0, 80)):                # 1: the 80 pixels are the canvas'
        found = ScaledCrop((80, 80), (scale, scale))(item)
        assert (found["boxes"][0, 2] - found["boxes"][0, 0]).item() == pytest.approx(width / 2)
        shown = extent((found["picture"] != GREY).any(0))
        assert (shown[2:] - shown[:2]).tolist() == [width, width / 2]
    twice = ScaledCrop((80, 80), (2.0, 2.0))(item)
    assert (twice["boxes"][0, 2:] - twice["boxes"][0, :2]).tolist() == [80, 80]   # not cut: `visible` cuts


def test_places_are_drawn_evenly() -> None:
    """Of a small picture on the canvas, and of the canvas on a large picture."""
    item = rectangles((40, 40), [[0, 0, 40, 40]])
    for scale, low, high in ((0.5, 0, 20), (2.0, -40, 0)):
        with drawn(0):
            corners = [ScaledCrop((40, 40), (scale, scale))(item)["boxes"][0, :2] for _ in range(300)]
        places = torch.stack([corner.as_subclass(Tensor) for corner in corners])
        for axis in (0, 1):
            thirds = torch.histc(places[:, axis], bins=3, min=low, max=high)
            assert thirds.sum() == 300
            assert thirds.min() > 70
        assert abs(np.corrcoef(places.T)[0, 1]) < 0.2                        # across and down on their own


def test_a_mask_s_pixels_come_from_their_own_centres() -> None:
    item = rectangles((24, 24), [[5, 5, 19, 19]])                            # as far from either side
    shrunk = ScaledCrop((16, 16), (1.0, 1.0))(item)
    assert extent(shrunk["masks"][0]).tolist() == [3, 3, 13, 13]             # and still is


def test_scales_are_drawn_evenly_by_octave() -> None:
    crop, item = ScaledCrop((64, 64), (0.25, 4.0)), rectangles((64, 64), [[0, 0, 64, 64]])
    with drawn(3):
        widths = torch.tensor([float(b[2] - b[0]) for b in (crop(item)["boxes"][0] for _ in range(400))])
    octaves = torch.histc(torch.log2(widths / 64), bins=4, min=-2, max=2)
    assert octaves.sum() >= 396                                              # rounding may pass the ends
    assert octaves.min() > 70
    assert octaves.max() < 130


@pytest.mark.parametrize(("share", "left"), [(0.2, [0, 1, 2]), (0.25, [0, 1, 2]), (0.26, [0, 1]), (1.0, [0])])
def test_what_a_crop_must_leave_of_a_box(share: float, left: list[int]) -> None:
    boxes = torch.tensor([
        [10.0, 10, 20, 20], [-10, 0, 10, 40],                                # whole; a half
        [30, 30, 50, 50], [38.5, 0, 39.9, 39],                               # a quarter; 1.4 pixels wide
        [39, 0, 60, 20], [50, 50, 60, 60], [-5, -5, 0, 3],                   # 1 pixel; beyond; at the edge
    ])
    black = torch.zeros(3, 40, 40, dtype=torch.uint8)
    found = visible(as_sample(black, boxes, torch.arange(7)), share)
    assert found["labels"].tolist() == left
    assert found["boxes"].tolist() == [[[10, 10, 20, 20], [0, 0, 10, 40], [30, 30, 40, 40]][i] for i in left]


@settings(max_examples=40)
@given(st.tuples(sides, sides), st.integers(0, 10**6))
def test_a_mosaic_shows_each_picture_in_its_quarter_with_its_box(canvas: tuple[int, int], seed: int) -> None:
    parts = []
    for i, hw in enumerate(((40, 60), (64, 32), (50, 50), (33, 70))):
        part = rectangles(hw, [[4, 5, hw[1] - 6, hw[0] - 3]])
        coloured = tv_tensors.Image(COLOURS[i, :, None, None] * part["masks"].as_subclass(Tensor))
        parts.append({**part, "picture": coloured, "labels": torch.tensor([i])})
    with drawn(seed):
        item = mosaic(parts, canvas, (0.3, 1.5), 0.0)
    assert item["picture"].shape == (3, *canvas)
    assert item["masks"].shape[1:] == canvas
    assert sorted(set(item["labels"].tolist())) == item["labels"].tolist()      # each at most once, in order
    height, width = canvas
    for label, box, mask in zip(item["labels"].tolist(), item["boxes"].tolist(), item["masks"], strict=True):
        row, column = divmod(label, 2)
        reach = [width * 0.3 - 1, width * 0.7 + 1][1 - column], [height * 0.3 - 1, height * 0.7 + 1][1 - row]
        assert box[0] >= reach[0] if column else box[2] <= reach[0]
        assert box[1] >= reach[1] if row else box[3] <= reach[1]
        assert (extent(seen(item["picture"], label)) - torch.tensor(box)).abs().max() <= 1
        assert (extent(mask) - torch.tensor(box)).abs().max() <= 1


def test_a_mosaic_of_pictures_without_objects() -> None:
    item = mosaic([rectangles((30, 30), []) for _ in range(4)], (32, 48), (0.5, 1.0))
    assert [tuple(item[name].shape) for name in ("boxes", "labels", "masks")] == [
        (0, 4), (0,), (0, 32, 48)
    ]


def test_mix_up_by_hand() -> None:
    a, b = rectangles((8, 8), [[0, 0, 4, 4]]), rectangles((8, 8), [[2, 2, 6, 6], [0, 6, 2, 8]])
    item = mix_up(a, b, 0.6)
    assert item["picture"].dtype == torch.uint8
    assert item["picture"][:, 0, 0].tolist() == [150, 0, 0]                  # 0.6 * 250 of the first
    assert item["picture"][:, 3, 3].tolist() == [250, 0, 0]                  # both are red there
    assert item["picture"][:, 7, 0].tolist() == [0, 100, 0]
    assert item["labels"].tolist() == [0, 0, 1]
    assert item["boxes"].tolist() == [[0, 0, 4, 4], [2, 2, 6, 6], [0, 6, 2, 8]]
    assert item["masks"].sum((1, 2)).tolist() == [16, 16, 4]


def test_what_is_mixed_and_when() -> None:
    """Which pictures an item is made of is seen by its labels: one, four, eight, or again one."""
    def read(index: int) -> Sample:
        item = rectangles((32, 32), [[8, 8, 24, 24]])
        return {**item, "labels": torch.tensor([index])}

    def counts(settings: DetectSettings, mixed: bool = True) -> set[int]:
        found = set()
        for seed in range(30):
            with drawn(seed):
                item = varied(settings, 3, read, 10, mixed)
            assert item["picture"].shape == (3, 32, 64)
            found.add(len(item["labels"]))
        return found

    plain = DetectSettings(crop=(64, 32), scale=(1.0, 1.0), mosaic=0, mosaic_scale=(0.5, 0.5), visible=0)
    assert counts(plain) == {1}
    assert max(counts(replace(plain, mosaic=1.0))) == 4
    assert counts(replace(plain, mix_up=1.0)) == {2}
    assert 4 < max(counts(replace(plain, mix_up=1.0, mosaic=1.0))) <= 8
    assert counts(replace(plain, mix_up=1.0, mosaic=1.0), mixed=False) == {1}


def test_small_objects_come_out_of_the_default() -> None:
    """A person of half the picture's height, 160 pixels of 320, must be seen at 40 to 60 too."""
    person = rectangles((320, 320), [[120, 80, 200, 240]])
    heights: list[float] = []
    for seed in range(150):
        with drawn(seed):
            item = varied(DetectSettings(colour=0.0), 0, lambda _: person, 1)
        heights += (item["boxes"][:, 3] - item["boxes"][:, 1]).tolist()
    share = sum(40 <= h <= 60 for h in heights) / len(heights)
    assert min(heights) < 50
    assert share > 0.1


def test_settings_of_augmentation_that_cannot_be() -> None:
    for name, value in product(("mosaic", "mix_up", "visible"), (-0.1, 1.1)):
        with pytest.raises(UsageError, match=f"{name} is at least 0 and at most 1; got {value}"):
            DetectSettings(**{name: value})
    for name, value in (("scale", (0.0, 1.0)), ("mosaic_scale", (1.0, 0.5))):
        with pytest.raises(UsageError, match=f"{name} is a range above 0 that rises"):
            DetectSettings(**{name: value})
    with pytest.raises(UsageError, match=r"crop is 2 whole numbers, such as 320x320; got '33x33x1'|'33, 33, 1'"):
        DetectSettings(crop="33x33x1")
    assert DetectSettings(crop="96x64", scale="0.5,2").crop == (96, 64)
