"""`vision explain`: heat against its formula, weights that stay, sheets, neighbours, bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vision.card import Card, Input
from vision.cli.explain import explain
from vision.errors import ModelError, UsageError
from vision.inspect import explain as module
from vision.inspect.explain import Explainer
from vision.inspect.heat import grad_cam, last_map, occlusion, overlay
from vision.inspect.sheets import descriptor, feature_maps, filters, joined, nearest_of
from vision.nets.deploy import Normalise


class Pooled(nn.Module):
    """A convolution, a mean over places, a dense layer: what CAM was made for."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).relu().mean((2, 3)))


class Finds(nn.Module):
    """A detector whose place (y, x) scores how red it is there: boxes (B,A,4), scores (B,A,1)."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 1, 8, stride=8, bias=False))
        with torch.no_grad():
            self.backbone[0].weight.fill_(1 / 64)

    def forward(self, x: Tensor) -> Tensor:
        return self.backbone(x)

    def decode(self, maps: Tensor, size_wh: tuple[int, int]) -> tuple[Tensor, Tensor]:
        left, top = torch.meshgrid(torch.arange(maps.shape[3]), torch.arange(maps.shape[2]), indexing="xy")
        corner = torch.stack([left, top], -1).reshape(1, -1, 2).float() * 8
        return torch.cat([corner, corner + 8], -1), maps.flatten(1)[..., None].sigmoid()


def explainer(
    net: nn.Module, task: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, **more: Any,
) -> Explainer:
    card = Card(name="x", task=task, file="", licence="", source="", names=names,
                input=Input((32, 32), "stretch", mean=(0.0,) * 3, std=(1.0,) * 3))
    deploy = SimpleNamespace(net=net, normalise=Normalise(card.input.mean, card.input.std))
    monkeypatch.setattr(module, "module_of", lambda model: (card, deploy, False))
    return Explainer("x", **more)


def test_grad_cam_of_a_mean_over_places_is_cam_and_nothing_changes() -> None:
    torch.manual_seed(0)
    net, x = Pooled().train(), torch.randn(1, 3, 10, 12)
    net.conv.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    heat = grad_cam(net, x, lambda logits: logits[0, 2], "conv")
    with torch.no_grad():
        maps = net.conv(x)[0]
        slope = (maps > 0).float() * net.fc.weight[2].view(-1, 1, 1)
        weights = slope.mean((1, 2), keepdim=True)
        wanted = (weights * maps).sum(0).clamp(min=0)
    np.testing.assert_allclose(heat.map, wanted / wanted.max(), atol=1e-5)
    assert heat.value == pytest.approx(net.eval()(x)[0, 2].item(), abs=1e-5)
    net.train()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.conv.training
    assert (net.conv.weight.requires_grad, net.fc.weight.requires_grad) == (False, True)
    assert net.fc.weight.grad is None
    assert last_map(net, x) == "conv"


def test_occlusion_finds_the_place_that_is_looked_at() -> None:
    class Corner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :, 20:28, 4:12].mean((1, 2, 3))[:, None]

    heat = occlusion(Corner(), torch.ones(1, 3, 32, 32), lambda outputs: outputs[0, 0], patch=8)
    assert heat.value == pytest.approx(1)
    y, x = np.unravel_index(heat.map.argmax(), heat.map.shape)
    assert 20 <= y < 28
    assert 4 <= x < 12
    assert heat.map[:12, 20:].max() == 0


def test_occlusion_of_a_clip_covers_all_of_its_frames() -> None:
    class Later(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :, 1:, 4:12, 20:28].mean((1, 2, 3, 4))[:, None]

    heat = occlusion(Later(), torch.ones(1, 3, 3, 32, 32), lambda outputs: outputs[0, 0], patch=8)
    y, x = np.unravel_index(heat.map.argmax(), heat.map.shape)
    assert heat.map.shape == (32, 32)
    assert (4 <= y < 12, 20 <= x < 28) == (True, True)


def test_each_box_has_its_own_heat(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[0:8, 8:16] = 255
    image[16:24, 24:32] = 200
    found = explainer(Finds(), "detect", ("thing",), monkeypatch)(image)
    boxes = [one.box.tolist() for one in found[:2] if one.box is not None]
    assert boxes == [[8, 0, 16, 8], [24, 16, 32, 24]]
    for one, (left, top, right, bottom) in zip(found, [(8, 0, 16, 8), (24, 16, 32, 24)], strict=False):
        inside = one.heat.map[top:bottom, left:right].sum() / one.heat.map.sum()
        assert inside > 0.4
        assert one.heat.map[top + 4, left + 4] > 0.9
    assert found[0].drawn[0].shape == (32, 32, 3)


def test_a_class_by_name_and_the_surest(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    one = explainer(Pooled(), "classify", ("a", "b", "c", "d"), monkeypatch)
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    with torch.no_grad():
        shares = one.net(one.inputs(one.view(image))).softmax(1)[0]
    assert one(image)[0].said == f"{'abcd'[int(shares.argmax())]} {float(shares.max()):.2f}"
    assert one(image, "b")[0].said == f"b {float(shares[1]):.2f}"
    several = explainer(Pooled(), "classify", ("a", "b", "c", "d"), monkeypatch)
    several.card = replace(several.card, config={"multilabel": True})       # each class by itself, as in use
    with torch.no_grad():
        alone = float(several.net(several.inputs(several.view(image)))[0, 1].sigmoid())
    assert several(image, "b")[0].said == f"b {alone:.2f}"
    with pytest.raises(UsageError, match="has no class 'e'"):
        one(image, "e")
    with pytest.raises(UsageError, match=r"there is no layer 'conf'\. Nearest: conv"):
        explainer(Pooled(), "classify", ("a", "b", "c", "d"), monkeypatch, layer="conf")(image)
    with pytest.raises(UsageError, match="gives no map of places"):
        explainer(Pooled(), "classify", ("a", "b", "c", "d"), monkeypatch, layer="fc")(image)
    with pytest.raises(ModelError, match="is for pose"):
        explainer(Pooled(), "pose", (), monkeypatch)


def test_frames_of_a_clip_have_a_heat_each() -> None:
    class Clips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv3d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x)[:, :, 3].mean((2, 3))    # the fourth frame alone

    net = Clips()
    with torch.no_grad():
        net.conv.weight.fill_(1.0)
    heat = grad_cam(net, torch.rand(1, 3, 6, 8, 8), lambda logits: logits[0, 0], "conv", local=True)
    assert heat.map.shape == (6, 8, 8)
    assert heat.map.sum(axis=(1, 2)).nonzero()[0].tolist() == [3]


def test_sheets_and_neighbours() -> None:
    net = Pooled()
    with torch.no_grad():
        net.conv.weight.zero_()
        net.conv.weight[0, 0] = torch.arange(9.0).view(3, 3)          # red
    tile = filters(net, 30)[2:32, 2:32]
    assert tile[..., :2].max() == 0
    assert (tile[5, 5, 2], tile[25, 25, 2], tile[15, 15, 2]) == (0, 255, 127)
    assert feature_maps(net, torch.rand(1, 3, 8, 8), "conv", tile=20).shape == (2 * 22 + 2, 3 * 22 + 2, 3)
    found = descriptor(net, torch.rand(1, 3, 8, 8))
    assert np.linalg.norm(found) == pytest.approx(1)
    among = np.eye(4, dtype=np.float32)
    assert nearest_of(np.float32([0.6, 0.8, 0, 0]), among, 2) == [(1, pytest.approx(0.8)), (0, pytest.approx(0.6))]
    assert joined([np.zeros((5, 7, 3), np.uint8)] * 3, most=2).shape == (2 * 7 + 2, 2 * 9 + 2, 3)
    cold = overlay(np.full((4, 4, 3), 100, np.uint8), np.zeros((4, 4), np.float32))
    hot = overlay(np.full((4, 4, 3), 100, np.uint8), np.ones((4, 4), np.float32))
    assert hot[0, 0, 2] > cold[0, 0, 2]


@pytest.mark.realdata
def test_the_shipped_detector_s_heat_lies_in_its_box(data: Path) -> None:
    import json

    labels = json.loads((data / "voc2007" / "val.json").read_text())
    first = labels["images"][0]["file_name"]
    path = next((data / "voc2007" / "images").rglob(Path(first).name))
    one = Explainer("gfl-voc")
    before = {name: value.clone() for name, value in one.net.state_dict().items()}
    found = one(cv2.imread(str(path)))
    assert found
    for each in found[:2]:
        assert each.box is not None
        left, top, right, bottom = each.box.round().astype(int).clip(0)
        assert each.heat.map[top:bottom, left:right].sum() > 0.5 * each.heat.map.sum()
    assert all(torch.equal(value, before[name]) for name, value in one.net.state_dict().items())


def test_what_an_output_cannot_be_is_said_before_a_network_is_loaded(tmp_path: Path) -> None:
    for name in ("out.mkv", "out.txt"):
        with pytest.raises(UsageError, match=r"is no kind of picture.* a film is written as \.mp4, \.m4v or \.mov"):
            explain(str(tmp_path / "missing.png"), tmp_path / name)
