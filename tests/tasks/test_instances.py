"""Instance segmentation: outputs of each layout against a twin that works pixel by pixel."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
import torch

from vision.card import Boxes, Card, Input
from vision.engine import FakeEngine
from vision.errors import ModelError
from vision.instances import Instances
from vision.nets.condinst import FEATURES, WEIGHTS
from vision.nets.nanodet_masks import HEADS
from vision.nets.yolact import PROTOTYPES
from vision.tasks.decoders import DECODERS
from vision.tasks.instances import InstanceSegmenter
from vision.tasks.masked import MASKED


def _card(layout: str, size_wh: tuple[int, int] = (64, 64)) -> Card:
    return Card(name="fake", task="instances", file="", licence="", source="", names=("a", "b"),
                input=Input(size_wh, "letterbox", fixed=True), boxes=Boxes(layout, 0.5), min_score=0.5)


def _model(layout: str, *outputs: np.ndarray, size_wh: tuple[int, int] = (64, 64)) -> InstanceSegmenter:
    return InstanceSegmenter(FakeEngine(lambda batch: tuple(o[None] for o in outputs)), _card(layout, size_wh))


def _bilinear(plane: np.ndarray, x: float, y: float) -> float:
    """A plane between the centres of its pixels, one point at a time."""
    h, w = plane.shape
    x, y = min(max(x - 0.5, 0), w - 1), min(max(y - 0.5, 0), h - 1)
    x0, y0 = min(int(x), w - 2), min(int(y), h - 2)
    fx, fy = x - x0, y - y0
    return float(plane[y0, x0] * (1 - fx) * (1 - fy) + plane[y0, x0 + 1] * fx * (1 - fy)
                 + plane[y0 + 1, x0] * (1 - fx) * fy + plane[y0 + 1, x0 + 1] * fx * fy)


def test_shares_of_maps_are_mixed_inside_each_box() -> None:
    random = np.random.default_rng(0)
    maps = random.normal(size=(3, 16, 16)).astype(np.float32)
    own = random.normal(size=3).astype(np.float32)
    table = np.zeros((4 + 2 + 3, 2), np.float32)                  # a box of 40x20 in the middle, and one too weak
    table[:, 0] = [32, 30, 40, 20, 0.1, 0.9, *own]
    table[:6, 1] = [10, 10, 8, 8, 0.2, 0.1]
    found = _model("yolo_masks", table, maps)(np.zeros((128, 128, 3), np.uint8))
    assert isinstance(found, Instances)
    np.testing.assert_allclose(found.boxes, [[24, 40, 104, 80]])
    assert found.labels.tolist() == [1]
    side = found.masks.shape[1]
    for i, j in [(0, 0), (side // 2, 3), (side - 1, side - 1), (5, side - 2)]:
        x, y = 12 + (j + 0.5) / side * 40, 20 + (i + 0.5) / side * 20
        logit = sum(o * _bilinear(m, x / 4, y / 4) for o, m in zip(own, maps, strict=True))
        assert found.masks[0, i, j] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)


def test_rows_are_suppressed_already() -> None:
    maps = np.ones((2, 16, 16), np.float32)
    rows = np.array([[0, 0, 32, 32, 0.9, 1, 3, 3], [0, 0, 32, 31, 0.8, 0, -3, -3], [0, 0, 9, 9, 0.3, 0, 0, 0]],
                    np.float32)
    model = InstanceSegmenter(FakeEngine(lambda batch: (rows[None], maps[None])),
                              _card("yolo_mask_rows"))
    found = model(np.zeros((64, 64, 3), np.uint8), max_iou=1.0)
    assert found.labels.tolist() == [1, 0]
    assert found.area.tolist() == [1024, 0]
    assert len(model(np.zeros((64, 64, 3), np.uint8), max_iou=1.0, max_detections=1)) == 1


def test_masks_of_mask_rcnn_lie_over_their_boxes_also_where_the_frame_cuts_them() -> None:
    mask = np.zeros((28, 28), np.float32)
    mask[:, 14:] = 1                                              # the right half of the box
    boxes = np.array([[-20, 10, 20, 50]], np.float32)
    found = _model("mask_rows", boxes, np.array([0.9], np.float32), np.array([0]), mask[None])(
        np.zeros((64, 64, 3), np.uint8))
    np.testing.assert_allclose(found.boxes, [[0, 10, 20, 50]])    # cut to the frame: its right half, all on
    assert found.area[0] == 20 * 40


def test_rows_to_spare_of_mask_rcnn_are_nobody_and_nothing_found_is_nothing() -> None:
    boxes = np.array([[0, 10, 20, 50], [0, 0, 0, 0]], np.float32)
    masks = np.ones((2, 28, 28), np.float32)
    model = _model("mask_rows", boxes, np.array([0.4, 0], np.float32), np.array([0, 0]), masks)
    picture = np.zeros((64, 64, 3), np.uint8)
    assert [len(model(picture, min_score=least)) for least in (0.0, 0.3, 0.9)] == [1, 1, 0]


def _cells(layout: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of a picture of 96x64 and what `count` cells have of their own, as a head gives them."""
    random = np.random.default_rng(seed)
    stride = HEADS[layout].stride
    channels = PROTOTYPES if layout == "yolact" else FEATURES
    own = random.normal(size=(count, PROTOTYPES if layout == "yolact" else WEIGHTS))
    if layout == "rtmdet-ins":                                        # centres and units, in pixels of the features
        own = np.concatenate([own, random.uniform(0, 8, (count, 2)), random.choice([8, 16, 32], (count, 1))], 1)
    return (random.normal(size=(channels, 64 // stride, 96 // stride)).astype(np.float32), own.astype(np.float32))


def _logit(layout: str, features: np.ndarray, own: np.ndarray, box: np.ndarray, x: float, y: float) -> float:
    """The mask of one object at one point of the picture, number by number."""
    stride = HEADS[layout].stride
    values = [_bilinear(plane, x / stride, y / stride) for plane in features]
    if layout == "yolact":
        return sum(share * value for share, value in zip(own.tolist(), values, strict=True))
    if layout == "rtmdet-ins":
        values += [(x / stride - own[-3]) / own[-1], (y / stride - own[-2]) / own[-1]]
    else:
        values += [2 * (x - box[0]) / (box[2] - box[0]) - 1, 2 * (y - box[1]) / (box[3] - box[1]) - 1]
    rest = own.tolist()
    for layer, after in enumerate((8, 8, 1)):
        kernel = [[rest.pop(0) for _ in values] for _ in range(after)]
        sums = [sum(k * v for k, v in zip(row, values, strict=True)) for row in kernel]
        values = [one + rest.pop(0) for one in sums]
        values = [max(one, 0.0) for one in values] if layer < 2 else values
    return values[0]


@pytest.mark.parametrize("layout", HEADS)
def test_a_mask_is_the_one_that_was_trained(layout: str) -> None:
    """The NumPy form against torch's, which the training uses, and both against a twin, point by point."""
    features, own = _cells(layout, 5, 1)
    boxes = np.array([[8, 8, 60, 40], [-30, 5, 40, 80], [0, 0, 96, 64], [70, 50, 95, 63], [5, 5, 9, 9]], np.float32)
    scores = np.full((5, 2), 0.1, np.float32)
    scores[:, 0] = [0.95, 0.9, 0.85, 0.8, 0.75]
    model = InstanceSegmenter(FakeEngine(lambda batch: tuple(o[None] for o in (boxes, scores, own, features))),
                              _card(layout, (96, 64)))
    found = model(np.zeros((64, 96, 3), np.uint8), max_iou=1.0)
    assert len(found) == 5
    side = found.masks.shape[1]
    logits = HEADS[layout].logits(*map(torch.from_numpy, (features, own, found.boxes)), side)
    on = (logits + np.log(0.6 / 0.4)).sigmoid().numpy()                                # 0.4 and more is on
    np.testing.assert_allclose(found.masks, on, atol=3e-3)                             # boxes are rounded to 0.01
    for i, row, column in [(0, 0, 0), (1, side // 2, 3), (2, side - 1, side - 1), (3, 5, side - 2), (4, 7, 9)]:
        left, top, right, bottom = found.boxes[i].tolist()
        x, y = left + (column + 0.5) / side * (right - left), top + (row + 0.5) / side * (bottom - top)
        assert float(logits[i, row, column]) == pytest.approx(
            _logit(layout, features, own[i], found.boxes[i], x, y), abs=1e-3)


@pytest.mark.parametrize("layout", HEADS)
def test_a_head_gives_each_cell_its_own(layout: str) -> None:
    """On maps of a picture of 96x64: finest level first, row by row."""
    torch.manual_seed(0)
    head = HEADS[layout]((64, 128, 128, 128)).eval()
    maps = [torch.randn(2, 64 if stride == 4 else 128, 64 // stride, 96 // stride) for stride in (4, 8, 16, 32)]
    with torch.inference_mode():
        features, own = head(maps)
    expected = _cells(layout, 12 * 8 + 6 * 4 + 3 * 2, 0)
    assert features.shape == (2, *expected[0].shape)
    assert own.shape == (2, *expected[1].shape)
    if layout == "yolact":
        assert features.min() >= 0
        assert own.abs().max() <= 1
    if layout == "rtmdet-ins":
        centres = own[:, [0, 13, 96, 125], -3:] * head.stride                    # rows 0 and 1, and the coarser levels
        assert centres.tolist() == [[[4, 4, 64], [12, 12, 64], [8, 8, 128], [80, 48, 256]]] * 2


def test_cells_that_see_nearly_the_same_make_a_mask_together() -> None:
    """Two agree on the box; one is too faint, one sees another box, one another class."""
    random = np.random.default_rng(2)
    features = random.normal(size=(FEATURES, 16, 24)).astype(np.float32)
    weights = random.normal(size=(5, WEIGHTS)).astype(np.float32)
    boxes = np.array([[8, 8, 60, 40], [8, 8, 60, 42], [8, 8, 60, 40], [30, 8, 90, 40], [8, 8, 60, 40]], np.float32)
    scores = np.array([[0.9, 0], [0.3, 0], [0.1, 0], [0.9, 0], [0, 0.9]], np.float32)
    model = InstanceSegmenter(FakeEngine(lambda batch: tuple(o[None] for o in (boxes, scores, weights, features))),
                              _card("condinst", (96, 64)))
    found = model(np.zeros((64, 96, 3), np.uint8))
    assert found.labels.tolist() == [0, 0, 1]
    at = torch.from_numpy(boxes[:1]).expand(2, 4)
    logits = HEADS["condinst"].logits(*map(torch.from_numpy, (features, weights[:2])), at, found.masks.shape[1])
    mean = logits.sigmoid().mean(0).numpy()
    np.testing.assert_allclose(found.masks[0], mean * 0.6 / (mean * 0.6 + (1 - mean) * 0.4), atol=2e-3)


def test_three_hundred_objects_of_twelve_megapixels_are_made_and_written_at_once() -> None:
    """Of 150 to 470 pixels: after the network under 1.5 s of a core, with their records, and 1 GB."""
    random = np.random.default_rng(0)
    corners, sides = random.uniform(0, (452, 324), (300, 2)), random.uniform(20, 60, (300, 2))
    boxes = np.concatenate([corners, corners + sides], 1).astype(np.float32)
    scores = np.where(np.arange(2) == np.arange(300)[:, None] % 2, 0.9, 0).astype(np.float32)
    outputs = (boxes, scores, random.normal(size=(300, WEIGHTS)).astype(np.float32) * 0.3,
               random.normal(size=(FEATURES, 96, 128)).astype(np.float32))
    picture, model = np.zeros((3000, 4000, 3), np.uint8), _model("condinst", *outputs, size_wh=(512, 384))
    model(picture, max_detections=1)
    began = time.process_time()
    found = model(picture, max_iou=1.0)
    assert len(found.to_dict()["objects"]) == len(found) == 300
    assert time.process_time() - began < 1.5
    tracemalloc.start()
    model(picture, max_iou=1.0).to_dict()
    assert tracemalloc.get_traced_memory()[1] < 1e9
    tracemalloc.stop()


@pytest.mark.parametrize("layout", ["yolo_masks", "condinst"])
def test_a_picture_with_nothing_in_it(layout: str) -> None:
    outputs = {"yolo_masks": (np.zeros((9, 0), np.float32), np.ones((3, 16, 16), np.float32)),
               "condinst": tuple(np.zeros(s, np.float32) for s in ((0, 4), (0, 2), (0, WEIGHTS), (FEATURES, 16, 16)))}
    found = _model(layout, *outputs[layout])(np.zeros((64, 64, 3), np.uint8))
    assert len(found) == 0
    assert found.to_dict() == {"objects": []}


def test_no_layout_of_masks_has_the_name_of_one_of_boxes() -> None:
    assert DECODERS.keys() & MASKED.keys() == set()


def test_outputs_of_a_detector_are_refused() -> None:
    with pytest.raises(ModelError, match="InstanceSegmenter decodes yolo_masks"):
        _model("yolo", np.zeros((6, 0)))
