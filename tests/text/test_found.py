"""The decoders of text finders: DB on drawn maps, EAST against OpenCV's formula."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from vision.card import Boxes, Card, Input
from vision.engine import FakeEngine
from vision.errors import ModelError, UsageError
from vision.text import quads
from vision.text.finder import TextFinder
from vision.text.found import db, east


def _card(layout: str, size_wh: tuple[int, int] = (320, 192)) -> Card:
    return Card(name="fake", task="text-boxes", file="", licence="", source="", min_score=0.5,
                input=Input(size_wh, "letterbox", enlarge=False), boxes=Boxes(layout))


@pytest.mark.parametrize("degrees", [0, 12, -30])
def test_db_gives_back_what_was_shrunk(degrees: float) -> None:
    whole = (160.0, 96.0), (120.0, 30.0), degrees
    shrunk = 120 - 12, 30 - 12                             # as the network learns it: 6 pixels off each side
    scores = np.zeros((192, 320), np.float32)
    cv2.fillPoly(scores, [np.rint(cv2.boxPoints((whole[0], shrunk, degrees))).astype(np.int32)], 0.8)
    found = db((scores[None, None],), 0.4, unclip=6 * 2 * (108 + 18) / (108 * 18))
    assert len(found) == 1
    assert found.scores[0] == pytest.approx(0.78, abs=0.06)
    assert quads.ious(found.quads, quads.ordered(cv2.boxPoints(whole))[None])[0, 0] > 0.9


def test_db_leaves_out_specks_and_doubts() -> None:
    scores = np.zeros((1, 1, 64, 128), np.float32)
    scores[..., 10:30, 10:60] = 0.9
    scores[..., 10:30, 80:120] = 0.3                       # above the threshold of pixels, below that of pieces
    scores[..., 50:52, 20:22] = 1.0
    found = db((scores,), 0.4)
    assert len(found) == 1
    np.testing.assert_allclose(found.quads[0].mean(axis=0), [35, 20], atol=0.6)
    assert len(db((np.zeros_like(scores),), 0.4)) == 0


def _opencvs(x: int, y: int, geometry: np.ndarray) -> np.ndarray:
    """Corners of a cell's rectangle as OpenCV's sample text_detection has them: upper right first."""
    up, right, down, left, angle = geometry
    cos, sin, h, w = np.cos(angle), np.sin(angle), up + down, right + left
    offset = np.array([x * 4 + cos * right + sin * down, y * 4 - sin * right + cos * down])
    top_right, bottom_left = offset - np.array([sin * h, cos * h]), offset - np.array([cos * w, -sin * w])
    return quads.ordered(np.array([top_right, offset, bottom_left, top_right + bottom_left - offset]))


def test_east_is_opencvs_rectangle() -> None:
    score, geometry = np.zeros((1, 1, 48, 80), np.float32), np.zeros((1, 5, 48, 80), np.float32)
    cells = {(20, 30): (9.0, 60.0, 12.0, 50.0, 0.2), (60, 10): (6.0, 30.0, 8.0, 20.0, -0.1)}
    for (x, y), values in cells.items():
        score[0, 0, y, x], geometry[0, :, y, x] = 0.9 - x / 1000, values
    score[0, 0, 31, 20], geometry[0, :, 31, 20] = 0.6, (13.0, 60.0, 8.0, 50.0, 0.2)           # the first one's double
    found = east((geometry, score), 0.5)                   # in whatever order
    assert len(found) == 2
    for k, ((x, y), values) in enumerate(cells.items()):
        np.testing.assert_allclose(quads.ordered(found.quads[k]), _opencvs(x, y, np.array(values)), atol=1e-3)
    assert found.scores.tolist() == pytest.approx([0.88, 0.84])
    assert len(east((score * 0, geometry), 0.5)) == 0


def _east_file(path: Path, planar: bool) -> None:
    """A graph with EAST's outputs, for which what is bright is text: rectangles of 40 by 12 pixels around each cell."""
    def value(name: str, channels: int) -> onnx.ValueInfoProto:
        shape = [1, channels, None, None] if planar else [1, None, None, channels]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    first, last = [0, 3, 1, 2], [0, 2, 3, 1]
    ends = [] if planar else [helper.make_node("Transpose", [f"{one}_"], [one], perm=last) for one in ("s", "g")]
    out = ["s", "g"] if planar else ["s_", "g_"]
    nodes = [
        helper.make_node(*(("Identity", ["image"], ["x"]) if planar else ("Transpose", ["image"], ["x"])),
                         **({} if planar else {"perm": first})),
        helper.make_node("AveragePool", ["x"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("ReduceMax", ["cells"], ["bright"], axes=[1], keepdims=1),
        helper.make_node("Clip", ["bright", "zero", "one"], [out[0]]),
        helper.make_node("Mul", [out[0], "rectangle"], [out[1]]),
        *ends,
    ]
    rectangle = np.array([6, 20, 6, 20, 0], np.float32).reshape(1, 5, 1, 1)
    constants = {"zero": np.float32(0), "one": np.float32(1), "rectangle": rectangle}
    graph = helper.make_graph(nodes, "east", [value("image", 3)], [value("s", 1), value("g", 5)],
                              [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.mark.parametrize("planar", [True, False])
def test_a_file_of_east_is_taken_as_it_is(tmp_path: Path, planar: bool) -> None:
    _east_file(tmp_path / "east.onnx", planar)
    image = np.zeros((128, 160, 3), np.uint8)
    image[64:68, 80:84] = 255                              # one cell
    with TextFinder.load(tmp_path / "east.onnx", backend="onnxruntime") as finder:
        found = finder(image)
    assert finder.card.boxes.layout == "east"
    assert len(found) == 1
    np.testing.assert_allclose(quads.boxes_of(found.quads)[0], [60, 58, 100, 70], atol=0.5)


def test_a_finder_gives_pixels_of_the_frame() -> None:
    scores = np.zeros((1, 192, 320), np.float32)
    scores[:, 40:60, 100:200] = 0.9
    finder = TextFinder(FakeEngine(lambda batch: (np.repeat(scores[None], len(batch), 0),)), _card("db"))
    found = finder(np.zeros((384, 640, 3), np.uint8))      # twice as large as the network's input
    np.testing.assert_allclose(found.quads[0].mean(axis=0), [300, 100], atol=1)
    with pytest.raises(UsageError, match="min_score"):
        finder(np.zeros((384, 640, 3), np.uint8), min_score=2)
    with pytest.raises(UsageError, match="with a pixel at least"):
        finder(np.zeros((0, 640, 3), np.uint8))


def test_another_layout_is_refused() -> None:
    with pytest.raises(ModelError, match="There are: db, east"):
        TextFinder(FakeEngine(lambda batch: ()), _card("rows"))
