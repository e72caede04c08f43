"""Detectors of other people: each family's outputs decoded cell by cell in a loop, and recognised by their
shapes; and three real files (`realdata`). The graphs of RTMDet, SSD and the DETRs are made up."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from vision.boxes import iou, nms
from vision.errors import ModelError, WeightsError
from vision.spec import options
from vision.steps.detect import Detect
from vision.tasks.decoders import DECODERS
from vision.tasks.detect import Detector, suppressed
from vision.types import Detections
from vision.zoo import find

W, H = 96, 64
RNG = np.random.default_rng(5)
Row = tuple[int, float, float, float, float, float]           # class, score, box
Made = tuple[list[np.ndarray], list[list[Row]]]


def cells(strides: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """(x, y, stride) of every cell, finest level first."""
    return [(x, y, s) for s in strides for y in range(-(-H // s)) for x in range(-(-W // s))]


def mean_of(logits: np.ndarray) -> float:
    weights = np.exp(logits - logits.max())
    return float((weights * np.arange(len(logits))).sum() / weights.sum())


def yolox() -> Made:
    grid = cells((8, 16, 32))
    table = RNG.uniform(0, 1, (2, len(grid), 8)).astype(np.float32)
    rows: list[list[Row]] = [[], []]
    for i, (a, (x, y, s)), c in product(range(2), enumerate(grid), range(3)):
        cx, cy, w, h = (table[i, a, 0] + x) * s, (table[i, a, 1] + y) * s, *(np.exp(table[i, a, 2:4]) * s)
        box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        rows[i].append((c, table[i, a, 4] * table[i, a, 5 + c], *box))
    return [table], rows


def distributions(strides: tuple[int, ...], bins: int, offset: float) -> tuple[np.ndarray, np.ndarray, list[list[Row]]]:
    grid = cells(strides)
    scores = RNG.uniform(0, 1, (2, len(grid), 3)).astype(np.float32)
    logits = RNG.normal(0, 2, (2, len(grid), 4 * bins)).astype(np.float32)
    rows: list[list[Row]] = [[], []]
    for i, (a, (x, y, s)) in product(range(2), enumerate(grid)):
        left, top, right, bottom = (mean_of(side) for side in logits[i, a].reshape(4, bins))
        x_, y_ = x + offset, y + offset
        box = ((x_ - left) * s, (y_ - top) * s, (x_ + right) * s, (y_ + bottom) * s)
        rows[i] += [(c, scores[i, a, c], *box) for c in range(3)]
    return scores, logits, rows


def by_level(table: np.ndarray, strides: tuple[int, ...]) -> list[np.ndarray]:
    ends = np.cumsum([(-(-H // s)) * (-(-W // s)) for s in strides])
    return np.split(table, ends[:-1], axis=1)


def picodet(strides: tuple[int, ...] = (8, 16, 32, 64), bins: int = 8) -> Made:
    scores, logits, rows = distributions(strides, bins, 0.5)
    return [*by_level(scores, strides), *by_level(logits, strides)], rows


def nanodet_g() -> Made:
    return picodet((8, 16, 32), 11)


def nanodet() -> Made:
    scores, logits, rows = distributions((8, 16, 32, 64), 8, 0.0)
    return [np.concatenate([scores, logits], 2)], rows


def rtmdet() -> Made:
    grid = cells((8, 16, 32))
    logits = RNG.normal(0, 2, (2, len(grid), 3)).astype(np.float32)
    away = RNG.uniform(1, 40, (2, len(grid), 4)).astype(np.float32)
    rows: list[list[Row]] = [[], []]
    for i, (a, (x, y, s)), c in product(range(2), enumerate(grid), range(3)):
        left, top, right, bottom = away[i, a]
        box = (x * s - left, y * s - top, x * s + right, y * s + bottom)
        rows[i].append((c, 1 / (1 + np.exp(-logits[i, a, c])), *box))
    maps = [
        part.reshape(2, -(-H // s), -(-W // s), -1).transpose(0, 3, 1, 2)
        for table in (logits, away) for part, s in zip(by_level(table, (8, 16, 32)), (8, 16, 32), strict=True)
    ]
    return maps, rows


def ssd() -> Made:
    corner = RNG.uniform(0, 0.5, (2, 40, 2))
    boxes = np.concatenate([corner, corner + RNG.uniform(0.1, 0.5, (2, 40, 2))], 2).astype(np.float32)
    scores = RNG.uniform(0, 1, (2, 40, 4)).astype(np.float32)                  # the first is background
    rows = [
        [(c, scores[i, a, c + 1], *(boxes[i, a] * [W, H, W, H])) for a in range(40) for c in range(3)]
        for i in range(2)
    ]
    return [boxes, scores], rows


def detr() -> Made:
    boxes = RNG.uniform(0.2, 0.6, (2, 40, 4)).astype(np.float32)
    logits = RNG.normal(0, 2, (2, 40, 3)).astype(np.float32)
    rows: list[list[Row]] = [[], []]
    for i, a, c in product(range(2), range(40), range(3)):
        cx, cy, w, h = boxes[i, a] * [W, H, W, H]
        box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        rows[i].append((c, 1 / (1 + np.exp(-logits[i, a, c])), *box))
    return [boxes, logits], rows


def plates() -> Made:
    levels = ((8, (10, 16, 24)), (16, (32, 48)), (32, (64, 96)), (64, (128, 192, 256)))
    squares = [(x, y, s, side) for s, sides in levels for y in range(H // s) for x in range(W // s) for side in sides]
    offsets = RNG.normal(0, 5, (2, len(squares), 14)).astype(np.float32)
    kinds = RNG.uniform(0, 1, (2, len(squares), 2)).astype(np.float32)
    expected = RNG.uniform(-0.2, 1.2, (2, len(squares), 1)).astype(np.float32)
    rows: list[list[Row]] = [[], []]
    for i, (a, (x, y, s, side)) in product(range(2), enumerate(squares)):
        points = [((x + 0.5) * s + dx * 0.1 * side, (y + 0.5) * s + dy * 0.1 * side)
                  for dx, dy in offsets[i, a].reshape(7, 2)[[2, 3, 5, 6]]]
        across, down = zip(*points, strict=True)
        score = (kinds[i, a, 1] * min(max(expected[i, a, 0], 0), 1)) ** 0.5
        rows[i].append((0, float(score), min(across), min(down), max(across), max(down)))
    return [one.reshape(-1, one.shape[2]) for one in (offsets, kinds, expected)], rows


MADE: dict[str, tuple[str, Callable[[], Made]]] = {
    "yolox": ("yolox", yolox), "picodet": ("picodet", picodet), "nanodet": ("nanodet", nanodet),
    "nanodet-g": ("picodet", nanodet_g), "rtmdet": ("rtmdet", rtmdet), "ssd": ("ssd", ssd), "detr": ("detr", detr),
    "plates": ("plates", plates),
}


@pytest.mark.parametrize("name", MADE)
def test_a_decoder_finds_what_a_loop_over_cells_finds(name: str) -> None:
    layout, make = MADE[name]
    outputs, rows = make()
    for i, expected in enumerate(rows):
        found = suppressed(DECODERS[layout](tuple(outputs), i, 0.5, (W, H)), 1.0, False)
        wanted = sorted((r for r in expected if r[1] >= 0.5), key=lambda r: -r[1])
        assert len(found) == len(wanted) > 20
        np.testing.assert_allclose(found.scores, [r[1] for r in wanted], atol=1e-6)
        assert found.labels.tolist() == [r[0] for r in wanted]
        np.testing.assert_allclose(found.boxes, [r[2:] for r in wanted], atol=1e-3)


def graph(path: Path, outputs: dict[str, list[int | str]], whole: tuple[str, ...] = (), sizes: bool = False) -> Path:
    """An ONNX file whose outputs have these shapes, each a constant of ones of the picture's own type."""
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, H, W])
    more = [helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["n", 2])] if sizes else []
    nodes, values = [], []
    for name, shape in outputs.items():
        kind = TensorProto.INT64 if name in whole else TensorProto.FLOAT
        fixed = [d if isinstance(d, int) else 1 for d in shape]
        filler = helper.make_tensor(f"{name}_ones", kind, fixed, np.ones(fixed, np.float32).ravel().tolist())
        nodes.append(helper.make_node("Constant", [], [name], value=filler))
        values.append(helper.make_tensor_value_info(name, kind, shape))
    model = helper.make_model(
        helper.make_graph(nodes, "made", [image, *more], values), opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, path)
    return path


A3, A4 = len(cells((8, 16, 32))), len(cells((8, 16, 32, 64)))


@pytest.mark.parametrize(("outputs", "whole", "layout", "order", "classes"), [
    ({"output": [1, A3, 85]}, (), "yolox", ["output"], 80),
    ({"output": [1, A4, 112]}, (), "nanodet", ["output"], 80),
    ({"output0": [1, 24, A3]}, (), "yolo", ["output0"], 20),
    ({"output0": [1, 300, 6]}, (), "yolo_rows", ["output0"], 80),
    ({f"{kind}{s}": [1, H // s * W // s, n] for s in (16, 32, 8) for kind, n in (("d", 44), ("c", 80))}, (),
     "picodet", ["c8", "c16", "c32", "d8", "d16", "d32"], 80),
    ({f"{kind}{s}": [1, n, H // s, W // s] for s in (32, 16, 8) for kind, n in (("c", 7), ("b", 4))}, (),
     "rtmdet", ["c8", "c16", "c32", "b8", "b16", "b32"], 7),
    ({"labels": [1, 300], "boxes": [1, 300, 4], "scores": [1, 300]}, ("labels",), "rows",
     ["boxes", "scores", "labels"], 80),
    ({"logits": [1, 300, 80], "pred_boxes": [1, 300, 4]}, (), "detr", ["pred_boxes", "logits"], 80),
    ({"scores": [1, 3000, 21], "boxes": [1, 3000, 4]}, (), "ssd", ["boxes", "scores"], 20),
    ({"conf": [351, 2], "iou": [351, 1], "loc": [351, 14]}, (), "plates", ["loc", "conf", "iou"], 1),
])
def test_a_family_is_recognised_by_its_outputs(
    tmp_path: Path, outputs: dict, whole: tuple, layout: str, order: list, classes: int
) -> None:
    path = graph(tmp_path / "net.onnx", outputs, whole, sizes=layout == "rows")
    card = find(path, "detect")
    assert (card.boxes.layout, card.config["outputs"], len(card.classes)) == (layout, order, classes)
    assert card.input.size_wh == (W, H)
    assert find(path, "detect") == Detector.load(path, decoder=layout).card
    with Detector.load(path, backend="onnxruntime") as detector:                 # and it runs
        assert set(detector(np.zeros((H, W, 3), np.uint8), min_score=0.4).labels.tolist()) <= set(range(classes))


def test_outputs_that_fit_no_family_or_two_are_listed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a model for segment, not for detect"):
        find(graph(tmp_path / "mask.onnx", {"mask": [1, 9, 9, 9]}), "detect")
    with pytest.raises(ModelError, match=r"are mask .*, more .*; they fit no family \(yolo: one .*--decoder NAME"):
        find(graph(tmp_path / "two.onnx", {"mask": [1, 9, 9, 9], "more": [1, 3]}), "detect")
    both = graph(tmp_path / "both.onnx", {"output": [1, "cells", 112]})
    with pytest.raises(ModelError, match=r"are output \(1, 0, 112\); they fit yolox and nanodet\. --decoder NAME"):
        find(both, "detect")
    assert Detector.load(both, decoder="nanodet").card.boxes.layout == "nanodet"
    with pytest.raises(ModelError, match=r"they fit no family"):
        Detector.load(both, decoder="ssd")
    with pytest.raises(ModelError, match=r"one of yolo, yolo_rows, yolox, .*; got 'ssd' for 'gfl-voc'"):
        Detector.load("gfl-voc", decoder="ssd")
    assert set(DECODERS) == {
        "dense", "rows", "yolo", "yolo_rows", "yolox", "picodet", "nanodet", "rtmdet", "ssd", "detr", "plates",
    }
    (option,) = (field.option for field in options(Detect) if field.name == "decoder")
    assert set(DECODERS) - {"dense"} == set(option.help.partition(": ")[2].partition(";")[0].split(", "))


def test_outputs_without_an_axis_for_pictures_run(tmp_path: Path) -> None:
    plate = graph(tmp_path / "plate.onnx", {"loc": [351, 14], "conf": [351, 2], "iou": [351, 1]})
    with Detector.load(plate, precision="fp32") as detector:
        one, other = detector.submit([np.zeros((H, W, 3), np.uint8), np.zeros((2 * H, 2 * W, 3), np.uint8)])()
    # every offset is a tenth of its square, so all corners are one point; the second picture was shrunk to half
    assert (one.scores.tolist(), other.scores.tolist()) == ([1.0], [1.0])
    assert (one.boxes.tolist(), other.boxes.tolist()) == ([[5.0] * 4], [[10.0] * 4])


def twin_deimv2(image: np.ndarray, path: Path) -> Detections:
    h, w = image.shape[:2]
    x = cv2.resize(image, (416, 416))[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
    labels, boxes, scores = onnxruntime.InferenceSession(path).run(
        None, {"images": x, "orig_target_sizes": np.array([[w, h]])}
    )
    return Detections(boxes[0], scores[0], labels[0])


def twin_picodet(image: np.ndarray, path: Path) -> Detections:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    x = cv2.resize(image, (416, 416))[..., ::-1].astype(np.float32) / 255
    x = (x - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    parts = onnxruntime.InferenceSession(path, options).run(None, {"image": x.transpose(2, 0, 1)[None]})
    scores, logits = np.concatenate(parts[:4], 1)[0], np.concatenate(parts[4:], 1)[0]
    grid = [(x, y, s) for s in (8, 16, 32, 64) for y in range(-(-416 // s)) for x in range(-(-416 // s))]
    sides = np.array([image.shape[1], image.shape[0]] * 2) / 416
    rows = []
    for a, c in zip(*np.nonzero(scores >= 0.3), strict=True):
        x, y, s = grid[a]
        left, top, right, bottom = (mean_of(side) * s for side in logits[a].reshape(4, 8))
        box = np.array([(x + 0.5) * s - left, (y + 0.5) * s - top, (x + 0.5) * s + right, (y + 0.5) * s + bottom])
        rows.append((*(box * sides), scores[a, c], c))
    return of_rows(rows)


def twin_yolox(image: np.ndarray, path: Path) -> Detections:
    ratio = 416 / max(image.shape[:2])
    small = cv2.resize(image, (round(image.shape[1] * ratio), round(image.shape[0] * ratio)))
    canvas = np.full((416, 416, 3), 114, np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    table = onnxruntime.InferenceSession(path).run(
        None, {"images": canvas.transpose(2, 0, 1)[None].astype(np.float32)}
    )[0][0]
    grid = [(x, y, s) for s in (8, 16, 32) for y in range(416 // s) for x in range(416 // s)]
    scores = table[:, 4:5] * table[:, 5:]
    rows = []
    for a, c in zip(*np.nonzero(scores >= 0.3), strict=True):
        x, y, s = grid[a]
        cx, cy, w, h = (table[a, 0] + x) * s, (table[a, 1] + y) * s, *(np.exp(table[a, 2:4]) * s)
        box = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
        rows.append((*(box / ratio), scores[a, c], c))
    return of_rows(rows)


def of_rows(rows: list) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 6)
    found = Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))
    return found[nms(found.boxes, found.scores, found.labels, 0.6)]


@pytest.mark.realdata
@pytest.mark.parametrize(("file", "twin"), [
    ("deimv2/deimv2_hgnetv2_femto_coco.onnx", twin_deimv2),
    ("picodet/picodet_s_416_coco.onnx", twin_picodet),
    ("yolox/yolox_nano.onnx", twin_yolox),
])
def test_a_published_file_gives_the_boxes_of_its_own_decoding(
    data: Path, file: str, twin: Callable[[np.ndarray, Path], Detections]
) -> None:
    path = data.parent / "weights" / "teachers" / file
    pictures = sorted((data / "coco_instances" / "images").glob("*.jpg"))[:6]
    seen = 0
    with Detector.load(path, precision="fp32") as detector:
        for picture in pictures:
            image = cv2.imread(str(picture))
            h, w = image.shape[:2]
            expected = twin(image, path)
            expected = expected[expected.scores >= 0.35]
            found = detector(image, min_score=0.3, max_iou=detector.card.boxes.max_iou if "deim" in file else 0.6)
            if not len(expected):
                assert not (found.scores >= 0.36).any()
                continue
            overlap = iou(found.boxes, np.clip(expected.boxes, 0, [w, h, w, h])) * (
                found.labels[:, None] == expected.labels
            )
            mine = overlap.argmax(0)
            np.testing.assert_allclose(found.boxes[mine], np.clip(expected.boxes, 0, [w, h, w, h]), atol=1.0)
            np.testing.assert_allclose(found.scores[mine], expected.scores, atol=0.01)
            seen += len(expected)
    assert seen > 15


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "file", "layout"), [
    ("yolox-nano", "yolox/yolox_nano.onnx", "yolox"), ("deimv2-femto", "deimv2/deimv2_hgnetv2_femto_coco.onnx", "rows"),
])
def test_a_detector_that_was_pulled_is_recognised_when_it_is_here(
    data: Path, name: str, file: str, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = data.parent / "weights/teachers" / file
    monkeypatch.setenv("VISION_WEIGHTS", str(path.parent))
    image = cv2.imread(str(sorted((data / "coco128").rglob("*.jpg"))[0]))
    with Detector.load(name, precision="fp32") as pulled, Detector.load(path, precision="fp32") as opened:
        assert pulled.card.boxes.layout == layout
        assert pulled.names == opened.names
        found, wanted = pulled(image), opened(image)
        assert len(found) == len(wanted) > 0
        np.testing.assert_array_equal(found.boxes, wanted.boxes)
    assert pulled.card.sha256                                     # and verified
    monkeypatch.setenv("VISION_WEIGHTS", str(path.parent.parent))
    with pytest.raises(WeightsError, match=f"Fetch them: vision weights pull {name}"):
        Detector.load(name)
