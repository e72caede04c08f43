"""The segmenter: sizes, tiles and results, with an engine made of a function."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_schema import check_record

from vision.card import Card, Input
from vision.drawing import class_colour, draw
from vision.engine import FakeEngine
from vision.errors import DataError
from vision.record import record
from vision.tasks.segment import Segmenter, _shares, _starts
from vision.types import ClassMap, Frame, UncertainMap
from vision.zoo import CAMVID, CARDS

CARD = Card(
    name="fake", task="segment", net="smp", file="", licence="", source="", input=Input((64, 48), "stretch"),
    names=("dark", "light", "other"),
)


def brightness(batch: np.ndarray) -> tuple[np.ndarray, ...]:
    """Class 1 where a pixel is light."""
    return ((batch[..., 0] > 127).astype(np.uint8),)


def halves(width: int, height: int, light_from: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, light_from:] = 255
    return image


def test_the_map_has_the_frame_s_size_and_its_places() -> None:
    seen = []

    def engine(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(batch.shape)
        return brightness(batch)

    result = Segmenter(FakeEngine(engine), CARD)(halves(640, 480, 320))
    assert seen == [(1, 48, 64, 3)]
    assert result.labels.shape == (480, 640)
    assert result.labels.dtype == np.uint8
    np.testing.assert_array_equal(result.labels[:, :310], 0)
    np.testing.assert_array_equal(result.labels[:, 330:], 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 300), st.integers(20, 300), st.integers(0, 2**31))
def test_tiles_say_what_one_pass_would(width: int, height: int, seed: int) -> None:
    """A network that looks at single pixels cannot tell tiles from the whole."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    result = Segmenter(FakeEngine(brightness), CARD)(image, tiled=True)
    if width >= 64 and height >= 48:
        np.testing.assert_array_equal(result.labels, image[..., 0] > 127)
    assert result.labels.shape == (height, width)


@settings(max_examples=100, deadline=None)
@given(st.integers(32, 200), st.integers(0, 2000))
def test_tiles_cover_overlap_and_own_their_middle(tile: int, more: int) -> None:
    length = tile + more
    starts = _starts(length, tile)
    shares = _shares(starts, tile, length)
    assert starts[0] == 0
    assert starts[-1] == length - tile
    assert shares[0][0] == 0
    assert shares[-1][1] == length
    for (_, end), (begin, _) in itertools.pairwise(shares):
        assert end == begin
    for before, after in itertools.pairwise(starts):
        assert before + tile - after >= int(tile * 0.25) - 1
    for start, (first, last) in zip(starts, shares, strict=True):
        assert start <= first < last <= start + tile


def test_a_batch_is_the_single_calls() -> None:
    segmenter = Segmenter(FakeEngine(brightness), CARD)
    images = [halves(64, 48, 10), halves(100, 90, 50)]
    for one, many in zip(map(segmenter, images), segmenter.batch(images), strict=True):
        np.testing.assert_array_equal(one.labels, many.labels)
    assert segmenter.batch([]) == []


def test_a_second_output_is_the_variance() -> None:
    def engine(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        return *brightness(batch), np.full(batch.shape[:3], 0.125, np.float32)

    result = Segmenter(FakeEngine(engine), CARD)(halves(100, 90, 50))
    assert isinstance(result, UncertainMap)
    assert result.variance.shape == (90, 100)
    assert result.to_dict(CARD.classes)["uncertainty"] == 0.125


def test_the_record_has_the_areas_and_fits_the_schema() -> None:

    labels = np.array([[0, 0, 1], [0, 0, 2]], np.uint8)
    frame = Frame(np.zeros((2, 3, 3), np.uint8), 0, 0.0, "x")
    for with_rle in (False, True):
        payload = {"model": "m", **ClassMap(labels).to_dict(CARD.classes, rle=with_rle)}
        check_record(record(frame, {"segment": payload}))
        entry = payload
        shares = [(a["label"], a["fraction"]) for a in entry["areas"]]
        assert shares == [("dark", 0.666667), ("light", 0.166667), ("other", 0.166667)]
        assert ("rle" in entry["areas"][0]) == with_rle
    assert entry["areas"][1]["rle"] == {"size": [2, 3], "counts": [4, 1, 1]}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31))
def test_run_lengths_are_pycocotools_s(height: int, width: int, seed: int) -> None:
    from pycocotools import mask

    labels = np.random.default_rng(seed).integers(0, 3, (height, width), np.uint8)
    for label in range(4):
        counts = ClassMap(labels).rle(label)
        packed = mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        np.testing.assert_array_equal(mask.decode(packed), labels == label)


def test_the_drawing_tints_and_names_every_class_and_leaves_none_alone() -> None:
    image = np.full((480, 640, 3), 100, np.uint8)
    labels = np.full((480, 640), 255, np.uint8)
    labels[240:] = 2
    drawn = draw(ClassMap(labels), image, CARD.classes)
    np.testing.assert_array_equal(drawn[200, 600], image[200, 600])
    expected = (np.array(class_colour(2)) + 100) / 2
    np.testing.assert_allclose(drawn[470, 600], expected, atol=1)
    assert (drawn[:60, :160] != image[:60, :160]).any()              # the legend
    assert image.max() == 100
    assert class_colour(10) != class_colour(0)


def test_150_classes_have_colours_of_their_own_and_none_is_black() -> None:
    """As many as ADE20K has; the first thirty are the palette, twice darker."""
    colours = np.array([class_colour(label) for label in range(255)])
    apart = np.abs(colours[:150, None] - colours[None, :150]).max(-1) + 999 * np.eye(150, dtype=int)
    assert apart.min() >= 5
    assert colours.max(1).min() >= 35
    assert colours[[0, 10, 20, 29]].tolist() == [[180, 119, 31], [99, 65, 17], [54, 36, 9], [63, 57, 7]]


def test_shapes_are_checked() -> None:
    with pytest.raises(DataError, match="labels must have shape"):
        ClassMap(np.zeros((2, 3, 4), np.uint8))
    with pytest.raises(DataError, match="variance must have shape"):
        UncertainMap(np.zeros((2, 3), np.uint8), variance=np.zeros((3, 2), np.float32))




@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize("name", [n for n, c in CARDS.items() if c.names == CAMVID])
def test_shipped_weights_on_every_tenth_picture_of_camvid(name: str, data: Path) -> None:
    """Floors with room for eleven pictures' chance; the whole set's figures are in weights/segment.md."""
    from vision.data.segmentation import IGNORE, find_pairs, read_pair
    from vision.metrics.segmentation import Figures, confusion

    pairs = find_pairs(data / "camvid", "val")
    segmenter, exact = Segmenter.load(name), Segmenter.load(name, precision="fp32")
    reference = Segmenter.load(name, backend="torch", precision="fp32")
    matrix = np.zeros((11, 11), np.int64)
    for i in range(0, len(pairs.pictures), 10):
        image = cv2.imread(str(pairs.pictures[i]))
        found = segmenter(image)
        matrix += confusion(found.labels, read_pair(pairs, i)[1], 11, IGNORE)
        if i < 20:
            assert (exact(image).labels == reference(image).labels).mean() > 0.995
            assert (found.labels == reference(image).labels).mean() > 0.98           # in bfloat16, where that is fast
    figures = Figures.of(matrix)
    assert figures.miou > 0.55
    assert figures.accuracy > 0.87
    road, sky = figures.iou[CAMVID.index("road")], figures.iou[CAMVID.index("sky")]
    assert min(road, sky) > 0.88
