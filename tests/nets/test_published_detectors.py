"""Our wrappers and cards against torchvision's whole models, both with the same random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import batched_nms

from vision.card import Card
from vision.engine import load
from vision.nets import build
from vision.tasks.detect import Detector
from vision.zoo import CARDS

SIDE = 128
PUBLISHED = [card for card in CARDS.values() if card.net in ("single_shot", "pyramidal", "two_stage")]


def torchvisions(card: Card, **options: Any) -> Any:
    """The whole model, random weights, without its own normalisation and (almost) its own resizing."""
    torch.manual_seed(0)
    fixed = card.input.fixed
    size = {} if fixed else {"min_size": SIDE, "max_size": SIDE}
    net = get_model(
        card.config["arch"], weights=None, weights_backbone=None, num_classes=91,
        image_mean=[0, 0, 0], image_std=[1, 1, 1], **size, **options,
    )
    return net.eval()


@pytest.mark.parametrize("card", PUBLISHED, ids=[card.name for card in PUBLISHED])
def test_the_published_weights_would_load_strictly(card: Card) -> None:
    with torch.device("meta"):
        theirs = get_model(card.config["arch"], weights=None, weights_backbone=None).state_dict()
        ours = build(card.net, **card.config).state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {n: t.shape for n, t in theirs.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ssd300-vgg16", "retinanet-resnet50", "fcos-resnet50", "fasterrcnn-resnet50"]
)
def test_boxes_scores_and_labels_are_torchvisions(name: str) -> None:
    card = CARDS[name]
    threshold = {"box_score_thresh": 0.0} if card.net == "two_stage" else {"score_thresh": 0.0}
    theirs = torchvisions(card, **threshold)
    ours = build(card.net, **{**card.config, "eps": 1e-5} if "eps" in card.config else card.config).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    side = card.input.size_wh[0] if card.input.fixed else SIDE
    pictures = torch.rand(2, 3, side, side)
    with torch.inference_mode():
        expected, found = theirs(list(pictures)), ours(pictures)
        if card.net == "single_shot":                # it hands out raw outputs, to be trained by
            found = ours.decode(found, (side, side))
    for i in range(2):
        boxes, scores = found[0][i].clamp(0, side), found[1][i]
        if card.net == "single_shot":
            anchors, labels = torch.where(scores >= expected[i]["scores"][:20].min())
            boxes, scores = boxes[anchors], scores[anchors, labels]
        else:
            labels = found[2][i]
        keep = batched_nms(boxes, scores, labels, min(card.boxes.max_iou, 0.999))[:20]
        torch.testing.assert_close(scores[keep], expected[i]["scores"][:20], atol=1e-5, rtol=0)
        if scores[keep].diff().abs().min() > 1e-5:                     # no ties: the order is certain
            torch.testing.assert_close(boxes[keep], expected[i]["boxes"][:20], atol=1e-2, rtol=1e-4)
            assert (labels[keep] + 1).tolist() == expected[i]["labels"][:20].tolist()


@pytest.mark.slow
def test_two_stages_fall_to_torch_and_work_with_few_boxes_and_with_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    card = CARDS["fasterrcnn-mobilenet-v3"]
    net = torchvisions(card)
    with torch.no_grad():                                       # a head that is sure of what it says
        net.roi_heads.box_predictor.cls_score.weight.normal_(std=2.0)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    card = replace(card, file=str(tmp_path / "net.safetensors"), sha256="",
                   input=replace(card.input, size_wh=(SIDE, SIDE - 32)))
    detector = Detector(load(card, device="cpu", precision="fp32"), card)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (SIDE - 32, SIDE, 3), dtype=np.uint8)
    counts = [len(detector(picture, min_score=score)) for score in (0.05, 0.5, 1.0)]
    assert 100 >= counts[0] > counts[1] >= counts[2] == 0
    assert detector.engine.label.startswith("torch")
    two = detector.batch([picture, np.zeros_like(picture)], min_score=0.05)
    assert len(two[0]) == counts[0]


def without_offsets(net: Any) -> Any:
    """The network with random weights, whose boxes are its anchors, and two stages sure of what they say."""
    for name, parameter in net.named_parameters():
        if "bbox_pred" in name or "bbox_reg" in name:
            torch.nn.init.zeros_(parameter)
        elif name.endswith("cls_score.weight"):
            torch.nn.init.normal_(parameter, std=2.0)
    return net.eval()


@pytest.mark.parametrize(("net", "arch"), [
    ("single_shot", "ssdlite320_mobilenet_v3_large"), ("pyramidal", "retinanet_resnet50_fpn"),
    ("two_stage", "fasterrcnn_mobilenet_v3_large_fpn"),
])
def test_boxes_are_exact_where_the_layers_are_not(net: str, arch: str) -> None:
    torch.manual_seed(0)
    ours = without_offsets(build(net, arch=arch))
    picture = torch.rand(1, 3, 320, 320)
    with torch.inference_mode():
        with torch.autocast("cpu", torch.bfloat16):
            found = ours(picture)
        expected = ours(picture)
        if net == "single_shot":
            assert torch.equal(found[2], expected[2])
            return
        maker = ours.anchor_generator if net == "pyramidal" else ours.rpn.anchor_generator
        anchors = maker(ImageList(picture, [(320, 320)]), list(ours.backbone(picture).values()))[0]
    within = anchors.clamp(0, 320) if net == "two_stage" else anchors
    assert {tuple(box) for box in found[0][0].tolist()} <= {tuple(box) for box in within.tolist()}


def test_late_classes_of_large_pictures_are_suppressed_in_half_precision() -> None:
    """Two boxes of one object, of the class 81 on 1333 pixels."""
    heads = build("two_stage", arch="fasterrcnn_mobilenet_v3_large_fpn").eval().roi_heads
    proposals = torch.tensor([[1100.25, 100.0, 1160.5, 190.0], [1101.25, 101.0, 1160.5, 190.0]])
    logits = torch.zeros(2, 91).index_fill(1, torch.tensor(81), 12.0)
    logits[1, 81] = 11
    offsets = torch.zeros(2, 364, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        boxes, _, labels = heads.postprocess_detections(logits.bfloat16(), offsets, [proposals], [(1333, 1333)])
    assert labels[0].tolist() == [81]
    assert boxes[0].tolist() == [[1100.25, 100.0, 1160.5, 190.0]]
