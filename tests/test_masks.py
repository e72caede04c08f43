"""Masks as run lengths and polygons: every way back gives the same pixels."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from vision.drawing import draw
from vision.errors import DataError
from vision.instances import Instances, gridded
from vision.masks import filled, mask_of_runs, packed, polygons_of, run_lengths, unpacked
from vision.types import Detections, Tracks

masks = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
offsets = st.tuples(*[st.integers(0, 4)] * 4)


@given(masks, offsets)
def test_run_lengths_are_cocos(mask: np.ndarray, around: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = around
    whole = np.pad(mask, ((top, bottom), (left, right)))
    size_wh = whole.shape[1], whole.shape[0]
    runs = run_lengths(mask, (left, top), size_wh)
    assert runs == run_lengths(whole)
    assert packed(runs) == coco.encode(np.asfortranarray(whole.astype(np.uint8)))["counts"].decode()
    assert unpacked(packed(runs)) == runs
    np.testing.assert_array_equal(mask_of_runs(runs, size_wh), whole)


@given(masks, offsets)
def test_polygons_fill_to_the_same_mask(mask: np.ndarray, around: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = around
    whole = np.pad(mask, ((top, bottom), (left, right)))
    parts = polygons_of(mask, (left, top))
    assert len(parts) == cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] - 1
    np.testing.assert_array_equal(filled([r for part in parts for r in part], whole.shape[::-1]), whole)


@given(hnp.arrays(np.float64, st.tuples(st.integers(3, 7), st.just(2)), elements=st.floats(-5, 15).map(
    lambda v: round(v, 2) + 0.001)))
def test_filling_is_the_even_odd_rule_at_every_centre(ring: np.ndarray) -> None:
    """Against the rule itself, pixel by pixel; a ring may cross itself and leave the picture."""
    found, expected = filled([ring], (10, 10)), np.zeros((10, 10), bool)
    for y in range(10):
        for x in range(10):
            crossings, tied = 0, False
            for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                if (y1 <= y + 0.5) != (y2 <= y + 0.5):
                    at = x1 + (y + 0.5 - y1) * (x2 - x1) / (y2 - y1)
                    crossings += at <= x + 0.5
                    tied |= abs(at - x - 0.5) < 1e-9                # on the border: either side is right
            expected[y, x] = found[y, x] if tied else crossings % 2
    np.testing.assert_array_equal(found, expected)


def test_a_ring_keeps_its_hole_and_two_parts_stay_two() -> None:
    ring = np.zeros((40, 50), np.uint8)
    cv2.circle(ring, (20, 20), 15, 1, -1)
    cv2.circle(ring, (20, 20), 7, 0, -1)
    cv2.rectangle(ring, (40, 30), (45, 35), 1, -1)
    parts = polygons_of(ring.astype(bool))
    assert sorted(len(part) for part in parts) == [1, 2]
    outline, hole = max(parts, key=len)
    assert np.ptp(outline[:, 0]) == 31
    assert np.ptp(hole[:, 0]) == 15


@pytest.mark.parametrize("text", ["\x00", "p", "zzzzzzzzzzzzzzzzzzzzzz", "~"])
def test_a_text_that_is_no_run_lengths_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="COCO"):
        unpacked(text)


def test_run_lengths_of_another_size_are_refused() -> None:
    with pytest.raises(DataError, match="add up to 12"):
        mask_of_runs([3, 4], (4, 3))
    with pytest.raises(DataError, match="add up to 12"):
        mask_of_runs([15, -3], (4, 3))


def _disc(n: int = 1) -> Instances:
    grid = np.zeros((56, 56), np.float32)
    cv2.circle(grid, (28, 28), 28, 1.0, -1)
    boxes = np.array([[10 + 5 * i, 20, 50 + 5 * i, 60] for i in range(n)], np.float32).reshape(-1, 4)
    return Instances(boxes, np.full(n, 0.9), np.arange(n) % 3, np.tile(grid, (n, 1, 1)), frame_wh=(400, 120))


def test_a_mask_is_pasted_into_its_own_box() -> None:
    disc = _disc()
    whole = disc.paste(0)
    assert whole.shape == (120, 400)
    assert whole.sum() == pytest.approx(np.pi * 20**2, rel=0.02)
    ys, xs = np.nonzero(whole)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (10, 49, 20, 59)
    assert disc.area[0] == whole.sum()


def test_a_box_beyond_the_frame_is_cut_off() -> None:
    half = Instances([[-20, -20, 20, 20]], [0.5], [0], np.ones((1, 8, 8)), frame_wh=(30, 30))
    assert half.paste(0).sum() == 400
    gone = Instances([[40, 40, 60, 60]], [0.5], [0], np.ones((1, 8, 8)), frame_wh=(30, 30))
    assert gone.paste(0).sum() == 0
    assert (gone.polygons(0), gone.rle(0)["counts"]) == ([], packed([900]))


@pytest.mark.parametrize("n", [0, 1, 300])
def test_none_one_and_three_hundred_are_the_same_code(n: int) -> None:
    found = _disc(n)
    assert len(found.to_dict(("a", "b", "c"))["objects"]) == n
    assert len(found.area) == n
    assert isinstance(found[found.scores > 0.5], Instances)
    assert found[found.scores > 2].frame_wh == (400, 120)
    back = Instances.from_dict(json.loads(json.dumps(found.to_dict())))
    for i in range(min(n, 3)):
        assert (back.paste(i) ^ found.paste(i)).mean() < 2e-4
    assert draw(found, np.zeros((120, 400, 3), np.uint8)).any() == (n > 0)
    assert len(Instances.empty()) == 0


def test_records_carry_what_gives_the_same_pixels() -> None:
    disc = _disc(2)
    for i, entry in enumerate(disc.to_dict()["objects"]):
        np.testing.assert_array_equal(coco.decode(entry["mask"]).astype(bool), disc.paste(i))
    for i, entry in enumerate(disc.to_dict(polygons=True)["objects"]):
        rings = [ring for part in entry["mask"]["polygons"] for ring in part]
        np.testing.assert_array_equal(filled(rings, (400, 120)), disc.paste(i))
    assert disc.rle(0, compressed=False)["counts"] == run_lengths(disc.paste(0))


def test_run_lengths_that_are_not_packed_are_read_too_and_what_is_none_is_told() -> None:
    disc = _disc(1)
    payload = disc.to_dict()
    packed_too = Instances.from_dict(payload)
    payload["objects"][0]["mask"]["counts"] = run_lengths(disc.paste(0))
    np.testing.assert_array_equal(Instances.from_dict(payload).masks, packed_too.masks)
    for counts in (None, {}, ["a"], [1, 2**70]):
        payload["objects"][0]["mask"]["counts"] = counts
        with pytest.raises(DataError, match="run lengths are whole numbers, or COCO's text; got "):
            Instances.from_dict(payload)


def test_tracks_find_their_masks_by_rows() -> None:
    found = _disc(3)
    tracks = Tracks(found.boxes[[2, 0, 1]], [1, 1, 1], [0, 0, 0], [7, 8, 9], [0, 0, 0], [2, -1, 5])
    assert found.of(tracks) == {7: 2}


def test_weak_boxes_have_no_masks() -> None:
    found = Instances(*(getattr(_disc(), name) for name in Instances._layout), frame_wh=(400, 120),
                      weak=Detections([[0, 0, 5, 5]], [0.1], [0]))
    assert len(found.everything) == 2
    assert found.to_dict()["weak"][0]["score"] == 0.1
    assert found.rounded().frame_wh == (400, 120)


def test_a_grid_of_a_mask_gives_it_again() -> None:
    whole = np.zeros((200, 300), np.uint8)
    cv2.ellipse(whole, (140, 90), (100, 60), 20, 0, 360, 1, -1)
    box = np.array([*whole.any(0).nonzero()[0][[0]], *whole.any(1).nonzero()[0][[0]],
                    *(whole.any(0).nonzero()[0][[-1]] + 1), *(whole.any(1).nonzero()[0][[-1]] + 1)], np.float32)
    again = Instances(box[None], [1.0], [0], gridded(whole.astype(bool), box, 64)[None], frame_wh=(300, 200)).paste(0)
    assert (again & (whole > 0)).sum() / (again | (whole > 0)).sum() > 0.99
