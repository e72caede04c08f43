"""YOLO exports, compared with ultralytics' own predictions on the same random weights."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vision.boxes import iou
from vision.errors import ModelError, WeightsError
from vision.tasks.detect import Detector
from vision.tasks.yolo import _tell_licence
from vision.types import Detections
from vision.view import letterbox

pytestmark = [pytest.mark.slow, pytest.mark.yolo]
EXPORTS = {
    "yolov8n": {}, "yolo11n": {}, "yolo26n": {},
    "yolov8n nms": {"nms": True}, "yolo26n end2end": {"end2end": True}, "yolo11n dynamic": {"dynamic": True},
}


@pytest.fixture(scope="module")
def pictures(photos: dict[str, Path]) -> list[np.ndarray]:
    """Cut-outs of the photographs, so small that both sides resize them with the same interpolation."""
    return [cv2.imread(str(photos["bus"]))[200:900], cv2.imread(str(photos["zidane"]))[:, 200:1100]]


def lively(name: str, pictures: list[np.ndarray]) -> Any:
    """An untrained YOLO that finds something in each of the pictures."""
    import torch
    from ultralytics import YOLO

    torch.manual_seed(0)
    model = YOLO(f"{name}.yaml")
    inputs = np.stack([letterbox(picture, (640, 480)).pixels[..., ::-1] for picture in pictures])
    enliven(model.model, torch.from_numpy(inputs.transpose(0, 3, 1, 2) / np.float32(255)), 0.9999)
    return model


def enliven(net: Any, batch: Any, quantile: float) -> None:
    """Let the batch norms of an untrained YOLO see a batch (B,3,H,W) of RGB in 0..1, and shift its scores so that in
    each picture this quantile of them lies above 0.25."""
    import torch

    head = net.model[-1]
    branches = filter(None, (getattr(head, kind, None) for kind in ("cv3", "one2one_cv3")))
    last = [level[-1] for branch in branches for level in branch]
    with torch.no_grad():
        for norm in (m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)):
            norm.momentum = None                                     # the plain mean of all passes
        for conv in last:
            conv.weight.normal_(std=0.25)
            conv.bias.zero_()
        net.train()
        for _ in range(3):
            net(batch)
        net.eval()
        scores = net(batch)[0][:, 4 : 4 + head.nc].flatten(1)
        logits = scores.clamp(1e-6, 1 - 1e-6).logit().numpy()
        for conv in last:
            conv.bias.fill_(float(np.log(0.25 / 0.75) - np.quantile(logits, quantile, axis=1).min()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pictures: list[np.ndarray]) -> Path:
    """Every export of `EXPORTS`, 480 high and 640 wide, and `yolo11n.pt`."""
    folder = tmp_path_factory.mktemp("yolo")
    for name, options in EXPORTS.items():
        model = lively(name.split()[0], pictures)
        model.save(folder / f"{name}.pt")
        from ultralytics import YOLO

        YOLO(folder / f"{name}.pt").export(
            format="onnx", imgsz=(480, 640), simplify=False, conf=0.25, iou=0.7, **options
        )
    return folder


def theirs(path: Path, picture: np.ndarray) -> Detections:
    from ultralytics import YOLO

    boxes = YOLO(path, task="detect").predict(
        picture, imgsz=(480, 640), conf=0.25, iou=0.7, max_det=300, verbose=False
    )[0].boxes
    return Detections(boxes.xyxy.numpy(), boxes.conf.numpy(), boxes.cls.numpy())


def assert_same(ours: Detections, expected: Detections, pixels: float = 1.0) -> None:
    """Boxes of one side have their twins on the other: class, score, and place. A few at a limit, of
    the score or of the 300 best, may fall on either side of it by a rounding."""
    assert len(expected) >= 5
    assert abs(len(ours) - len(expected)) <= 0.05 * len(expected)
    close = np.abs(ours.boxes[:, None] - expected.boxes[None]).max(axis=2) <= pixels
    close &= np.abs(ours.scores[:, None] - expected.scores[None]) <= 0.005
    close &= ours.labels[:, None] == expected.labels[None]
    assert close.any(axis=0).mean() >= 0.95
    assert close.any(axis=1).mean() >= 0.95


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_gives_the_boxes_that_ultralytics_gives(
    folder: Path, pictures: list[np.ndarray], name: str
) -> None:
    path = folder / f"{name}.onnx"
    detector = Detector.load(path, backend="onnxruntime", precision="fp32")
    for picture in pictures:
        if "dynamic" in name and picture.shape[0] > picture.shape[1]:
            continue                                 # a picture that stands upright: ours turns the input
        assert_same(detector(picture), theirs(path, picture))
    assert detector.name == path.name
    assert len(detector.names) == 80


def test_a_pt_file_gives_the_boxes_that_ultralytics_gives(
    folder: Path, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    path = folder / "yolo11n.pt"
    _tell_licence.cache_clear()                                      # said in another test, perhaps
    with caplog.at_level(logging.WARNING, "vision.yolo"):
        detector = Detector.load(path, backend="onnxruntime", precision="fp32")
        Detector.load(path, backend="onnxruntime", precision="fp32")
    assert [record.message.count("AGPL-3.0") for record in caplog.records] == [1]        # said once
    for picture in pictures:
        from ultralytics import YOLO

        boxes = YOLO(path).predict(picture, imgsz=640, conf=0.25, iou=0.7, verbose=False)[0].boxes
        expected = Detections(boxes.xyxy.numpy(), boxes.conf.numpy(), boxes.cls.numpy())
        assert_same(detector(picture), expected)


def test_a_pt_file_that_is_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics import YOLO

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(WeightsError, match="cannot be exported by ultralytics") as caught:
        Detector.load(tmp_path / "text.pt")
    assert "\n" not in str(caught.value)             # and of a file of the user's, not of our copy
    assert "/yolo/tmp" not in str(caught.value)
    YOLO("yolo11n-cls.yaml").save(tmp_path / "cls.pt")
    with pytest.raises(ModelError, match="is a YOLO model for 'classify', not for boxes or masks"):
        Detector.load(tmp_path / "cls.pt")


def test_suppression_is_ours_and_can_be_changed(folder: Path, pictures: list[np.ndarray]) -> None:
    detector = Detector.load(folder / "yolo11n.onnx", backend="onnxruntime", precision="fp32")
    loose, tight = detector(pictures[1], max_iou=0.9), detector(pictures[1], max_iou=0.2)
    assert len(loose) > len(detector(pictures[1])) > len(tight)
    overlap = iou(tight.boxes, tight.boxes) * (tight.labels[:, None] == tight.labels[None])
    np.fill_diagonal(overlap, 0)
    assert overlap.max() <= 0.2 + 1e-3
