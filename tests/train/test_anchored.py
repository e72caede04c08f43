"""SSD's matching and loss against torchvision's own; what is trained with anchors, from end to end."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torchvision.models import vgg
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

pytest.importorskip("lightning", reason="training needs the extra 'train'")


from tests.train.labelled import Pictures, Thing, picture, write_coco
from vision.card import Boxes
from vision.engine.program import state_dict
from vision.nets import build
from vision.tasks.detect import Detector, input_view
from vision.train.anchored import matched, multibox
from vision.train.detect import DetectSettings
from vision.train.detection import start
from vision.train.optim import optimiser
from vision.train.recipe import Trained
from vision.train.settings import Settings
from vision.train.start import load_encoder
from vision.train.training import Training
from vision.weights import resolve
from vision.zoo import CARDS

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def boxes(n: int, seed: int, low: float = 8, high: float = 60) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=random) * 80
    return torch.cat([corner, corner + low + torch.rand(n, 2, generator=random) * (high - low)], 1)


def padded(*rows: Tensor, value: float) -> Tensor:
    most = max(len(r) for r in rows)
    return torch.stack([
        torch.cat([r, torch.full((most - len(r), *r.shape[1:]), value, dtype=r.dtype)]) for r in rows
    ])


@pytest.mark.parametrize("seed", range(20))
def test_matching_is_that_of_the_paper(seed: int) -> None:
    prior, objects = boxes(60, seed), boxes(4, seed + 100)
    overlap = box_iou(objects, prior)
    expected = []
    for a in range(60):
        best = max(range(4), key=lambda m: overlap[m, a])
        expected.append(best if overlap[best, a] >= 0.5 else -1)
    for m in range(4):                                   # none goes without: its best anchor is its own
        expected[int(overlap[m].argmax())] = m
    labels = torch.tensor([0, 3, 1, 2, -1, -1])
    found = matched(prior, torch.cat([objects, torch.zeros(2, 4)]), labels)
    assert found.tolist() == expected
    assert set(range(4)) <= set(found.tolist()) or len({int(overlap[m].argmax()) for m in range(4)}) < 4


def test_the_loss_is_torchvisions() -> None:
    prior, coder = boxes(200, 1), BoxCoder((10.0, 10.0, 5.0, 5.0))
    objects = [boxes(5, 2), boxes(0, 3), boxes(2, 4)]
    labels = [torch.tensor(k, dtype=torch.int64) for k in ([0, 1, 1, 2, 0], [], [2, 1])]
    torch.manual_seed(0)
    offsets, logits = torch.randn(3, 200, 4), torch.randn(3, 200, 4)
    owners = [matched(prior, o, k) for o, k in zip(objects, labels, strict=True)]
    theirs = SSD.compute_loss(
        SimpleNamespace(box_coder=coder, neg_to_pos_ratio=3),
        [{"boxes": o, "labels": k + 1} for o, k in zip(objects, labels, strict=True)],
        {"bbox_regression": offsets, "cls_logits": logits}, [prior] * 3, owners,
    )
    ours = multibox(offsets, logits, prior, padded(*objects, value=0.0), padded(*labels, value=-1))
    torch.testing.assert_close(ours["location"], theirs["bbox_regression"])
    torch.testing.assert_close(ours["confidence"], theirs["classification"])
    assert ours["location"] > 0.1


def test_three_hard_negatives_for_each_positive_and_none_without_objects() -> None:
    prior = torch.tensor([[0.0, 0, 10, 10]] + [[50.0 + i, 50, 60 + i, 60] for i in range(9)])
    logits = torch.zeros(1, 10, 2)
    logits[0, 1:, 1] = torch.arange(9.0)                 # the later, the surer that background is an object
    objects, labels = torch.tensor([[[0.0, 0, 10, 10]]]), torch.tensor([[0]])
    loss = multibox(torch.zeros(1, 10, 4), logits, prior, objects, labels)
    entropy = -logits[0].log_softmax(1)
    assert loss["confidence"].item() == pytest.approx(float(entropy[0, 1] + entropy[7:, 0].sum()), rel=1e-5)
    assert loss["location"].item() == 0
    empty = multibox(torch.zeros(1, 10, 4), logits, prior, objects, torch.tensor([[-1]]))
    assert (empty["location"].item(), empty["confidence"].item()) == (0, 0)


def squares(n: int, seed: int) -> Pictures:
    """Pictures of 128x128 with one or two blocks of 30 to 70 pixels: cats stand, dogs lie."""
    random = np.random.default_rng(seed)
    pictures = {}
    for i in range(n):
        things = []
        for left in random.permutation([0, 64])[: int(random.integers(1, 3))].tolist():
            label, long = int(random.integers(2)), int(random.integers(40, 60))
            width, height = (long // 2, long) if label == 0 else (long, long // 2)
            top = int(random.integers(0, 128 - height))
            things.append(Thing(label, (left + 2, top, left + 2 + width, top + height)))
        pictures[f"{seed}-{i}"] = ((128, 128), tuple(things))
    return pictures


def trained(
    model: str, options: dict[str, Any] | None, folder: Path, side: int, n: int, encoder: Path | str = "none",
    **settings: Any,
) -> Trained:
    data = write_coco(folder / "data", {"train": squares(n, 0), "val": squares(4, 1)})
    chosen = DetectSettings(**{
        "model": model, "size": (side, side), "crop": (side, side), "scale": (0.9, 1.2), "mosaic": 0.0, "ema": 0.0,
        "clip": 0.0, "options": options or {}, "encoder_weights": str(encoder), "epochs": 2, "batch": 4, "lr": 1e-3,
        "weight_decay": 0.01, "warmup": 0.0, "seed": 3, **settings,
    })
    return Training("detect", data, folder / "run", chosen).run()


def losses(folder: Path, *terms: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "run" / "curve.jsonl").read_text().splitlines()]
    return [sum(line[f"train/{term}"] for term in terms) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "options", "side", "terms", "output"), [
    ("ssdlite", None, 128, ("location", "confidence"), "dense"),
    ("single_shot", {"arch": "ssdlite320_mobilenet_v3_large"}, 128, ("location", "confidence"), "dense"),
    ("single_shot", {"arch": "ssd300_vgg16"}, 300, ("location", "confidence"), "dense"),
    ("single_shot", {"arch": "ssd300_mobilenet_v2"}, 300, ("location", "confidence"), "dense"),
    ("faster_rcnn", {"encoder": "tu-mobilenetv3_small_050", "channels": 64, "sampled": 128}, 96,
     ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"), "rows"),
], ids=["ssdlite", "ssdlite320", "ssd300", "ssd300_mobilenet", "faster_rcnn"])
def test_two_epochs_lower_the_loss_and_leave_a_model_that_opens(
    model: str, options: dict[str, Any] | None, side: int, terms: tuple[str, ...], output: str, tmp_path: Path
) -> None:
    n = {300: 4, 96: 8}.get(side, 16)
    run = trained(model, options, tmp_path, side, n, batch=2 if side == 300 else 4)
    first, last = losses(tmp_path, *terms)
    assert last < 0.9 * first
    detector = Detector.load(run.weights, device="cpu")
    assert (detector.names, detector.card.boxes.layout) == (("cat", "dog", "mouse"), output)
    image = picture((128, 128), squares(2, 1)["1-0"][1])
    found = detector(image, min_score=0.0, max_detections=20)
    scores = detector.engine(input_view(image, detector.card.input).pixels[None])[1]
    assert len(found) == (20 if output == "dense" else min(20, np.count_nonzero(scores > 0)))      # 0: a row to spare
    assert len(found) > 0
    assert found.boxes.min() >= 0
    assert found.boxes.max() <= 128


@pytest.mark.slow
def test_ssdlite_learns_to_find_what_it_was_shown(tmp_path: Path) -> None:
    start = resolve(CARDS["mobilenet-v2"])
    run = trained("ssdlite", None, tmp_path, 128, 32, start, epochs=15, batch=8, lr=2e-3)
    assert run.figures["ap50"] > 0.7


def test_faster_rcnn_starts_from_imagenets_mobilenet() -> None:
    path = resolve(CARDS["mobilenet-v2"])
    theirs = state_dict(path)
    settings = DetectSettings(model="faster_rcnn", size=(128, 128))
    net, card = start(settings, ("cat",))
    assert torch.equal(net.backbone.body.features[0][0].weight, theirs["features.0.0.weight"])
    assert card.boxes == Boxes("rows", 1.0)
    net, card = start(replace(settings, model="ssdlite"), ("cat",))
    assert torch.equal(net.backbone.s32.state_dict()["18.0.weight"], theirs["features.18.0.weight"])
    assert card.boxes == Boxes("dense", 0.5)
    net, _ = start(replace(settings, model="single_shot", options={"arch": "ssd300_mobilenet_v2"}), ("cat",))
    assert torch.equal(net.backbone.features[0][0].weight, theirs["features.0.0.weight"])


def test_ssd300_on_mobilenet_has_the_papers_maps_and_boxes() -> None:
    net = build("single_shot", classes=20, arch="ssd300_mobilenet_v2").eval()
    x = torch.zeros(1, 3, 300, 300)
    assert [tuple(one.shape[2:]) for one in net.backbone(x).values()] == [(n, n) for n in (38, 19, 10, 5, 3, 1)]
    offsets, logits, prior = net(x)
    assert (offsets.shape, logits.shape, prior.shape) == ((1, 8732, 4), (1, 8732, 21), (8732, 4))      # section 3.1
    theirs = build("single_shot", classes=20).eval()(x)[2]
    assert torch.equal(prior, theirs)                                      # torchvision's SSD300, box by box


def test_a_lighter_faster_rcnn_has_so_many_channels_and_learns_from_so_many_proposals() -> None:
    net = build("faster_rcnn", classes=2, channels=64, sampled=32).train()
    maps = net.backbone(torch.zeros(1, 3, 64, 64))
    assert [tuple(one.shape[1:]) for one in maps.values()] == [(64, side, side) for side in (16, 8, 4, 2, 1)]
    seen = []
    net.roi_heads.box_head.register_forward_hook(lambda *args: seen.append(len(args[2])))
    object_ = {"boxes": torch.tensor([[10.0, 10, 40, 50]]), "labels": torch.tensor([1])}
    assert net.losses(torch.rand(1, 3, 64, 64), [object_])["loss_classifier"] > 0
    assert 0 < seen[0] <= 32


@pytest.mark.parametrize(("model", "options", "slow"), [
    ("ssdlite", {}, "backbone.s8.0.0.weight"),
    ("single_shot", {"arch": "ssd300_vgg16"}, "backbone.extra.0.1.weight"),              # VGG's conv5
    ("single_shot", {"arch": "ssdlite320_mobilenet_v3_large"}, "backbone.features.0.0.0.weight"),
    ("single_shot", {"arch": "ssd300_mobilenet_v2"}, "backbone.features.17.conv.2.weight"),
    ("faster_rcnn", {"encoder": "tu-mobilenetv3_small_050"}, "backbone.body.model.conv_stem.weight"),
], ids=["ssdlite", "ssd300", "ssdlite320", "ssd300_mobilenet", "faster_rcnn"])
def test_an_encoder_learns_at_its_own_rate(model: str, options: dict[str, Any], slow: str) -> None:
    net = build(model, classes=2, **options)
    name_of = {parameter: name for name, parameter in net.named_parameters()}
    rate_of = {
        name_of[parameter]: group["lr"]
        for group in optimiser(net, Settings(lr=0.1, backbone_lr=0.5)).param_groups
        for parameter in group["params"]
    }
    assert rate_of.keys() == set(name_of.values())
    of_encoder = {name_of[parameter] for parameter in net.encoder.parameters()}
    assert slow in of_encoder
    assert not any(name.startswith(("head.", "roi_heads.", "rpn.")) for name in of_encoder)
    assert {name for name, rate in rate_of.items() if rate == 0.05} == of_encoder
    assert {rate for name, rate in rate_of.items() if name not in of_encoder} == {0.1}


def test_an_encoder_without_weights_learns_as_fast_as_the_rest(tmp_path: Path) -> None:
    for name, weights, rate in (("new", "none", 1.0), ("tuned", resolve(CARDS["mobilenet-v2"]), 0.3)):
        run = trained("ssdlite", None, tmp_path / name, 64, 4, weights, epochs=1, backbone_lr=0.3)
        with safe_open(run.weights, "numpy") as file:
            assert json.loads(file.metadata()["training"])["settings"]["backbone_lr"] == rate


def test_ssd300_takes_all_of_vggs_convolutions(tmp_path: Path) -> None:
    theirs = vgg.make_layers(vgg.cfgs["D"], batch_norm=False)
    torch.save(nn.ModuleDict({"features": theirs}).state_dict(), tmp_path / "vgg16.pth")
    net = build("single_shot", classes=2)                        # ssd300_vgg16, as the command names it
    load_encoder(net.encoder, tmp_path / "vgg16.pth")
    mine = [m for m in net.encoder.modules() if isinstance(m, nn.Conv2d)]
    of_vgg = [m for m in theirs if isinstance(m, nn.Conv2d)]
    assert len(mine) == len(of_vgg) == 13
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(mine, of_vgg, strict=True))
