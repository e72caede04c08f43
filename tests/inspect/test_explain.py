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

from vision.card import Card, Clip, Input
from vision.cli.explain import explain
from vision.errors import ModelError, UsageError
from vision.inspect import explain as module
from vision.inspect.explain import Explainer
from vision.inspect.heat import grad_cam, last_map, occlusion, overlay
from vision.inspect.sheets import descriptor, feature_maps, filters, joined, nearest_of
from vision.io import read
from vision.nets.deploy import Normalise
from vision.sinks.film import VideoWriter


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


def opens(net: nn.Module, task: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, **more: Any) -> None:
    """Whatever model is asked for is this one. more: of its card."""
    taken = Input((32, 32), "stretch", mean=(0.0,) * 3, std=(1.0,) * 3)
    card = Card(**{"name": "x", "task": task, "file": "", "licence": "", "source": "", "names": names, "input": taken}
                | more)
    deploy = SimpleNamespace(net=net, normalise=Normalise(card.input.mean, card.input.std))
    monkeypatch.setattr(module, "module_of", lambda model: (card, deploy, False))


def explainer(
    net: nn.Module, task: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, **more: Any,
) -> Explainer:
    opens(net, task, names, monkeypatch)
    return Explainer("x", **more)


def write_film(path: Path, frames: list[np.ndarray], rate: float = 10) -> None:
    with VideoWriter(path) as film:
        for number, frame in enumerate(frames):
            film.write(frame, number / rate)


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


class Parts(nn.Module):
    """Layers that give no map, that never run, and whose map no score depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
        self.never, self.aside = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
        self.pair = Pair()

    def forward(self, x: Tensor) -> Tensor:
        self.aside(x)
        return self.fc(self.pair(self.conv(x))[0].mean((2, 3)))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, -x


@pytest.mark.parametrize(("layer", "how", "said"), [
    ("pair", "maps", "the layer 'pair' gives no maps: choose a convolution or a block."),
    ("never", "maps", "the layer 'never' gives no maps: choose a convolution or a block."),
    ("never", "grad-cam", "the layer 'never' has no say in this score: choose another convolution or block."),
    ("aside", "grad-cam", "the layer 'aside' has no say in this score: choose another convolution or block."),
])
def test_a_layer_that_says_nothing_is_told(
    layer: str, how: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens(Parts(), "classify", ("a", "b"), monkeypatch)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(UsageError) as caught:
        explain(str(tmp_path / "a.png"), tmp_path / "out.png", "x", None, how, layer)
    assert str(caught.value) == said
    assert not (tmp_path / "out.png").exists()


def test_of_a_head_on_several_levels_the_one_that_scored_counts() -> None:
    class Levels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Conv2d(1, 1, 1, bias=False)
            nn.init.ones_(self.head.weight)

        def forward(self, x: Tensor) -> list[Tensor]:
            return [self.head(x), self.head(nn.functional.avg_pool2d(x, 4))]

    x = torch.rand(1, 1, 8, 8)
    x[0, 0, 5, 2] = 2
    heat = grad_cam(Levels(), x, lambda maps: maps[0][0, 0, 5, 2], "head", local=True)
    assert heat.map.shape == (8, 8)
    assert np.argwhere(heat.map).tolist() == [[5, 2]]


def test_neighbours_of_nothing_and_of_clips_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"nothing")
    write_film(tmp_path / "film.mp4", [np.zeros((32, 32, 3), np.uint8)] * 4)
    opens(Pooled(), "classify", ("a",) * 4, monkeypatch)
    with pytest.raises(UsageError, match=r"pictures' has no picture that can be read\."):
        explain(str(tmp_path / "film.mp4"), tmp_path / "out.png", neighbours=folder)
    opens(Streams(), "action", ("a", "b"), monkeypatch, clip=Clip(3, 5.0, per_frame=True, channels="two-stream"))
    with pytest.raises(UsageError, match="'x' sees 3 frames at once: it has no neighbours among pictures"):
        explain(str(tmp_path / "film.mp4"), tmp_path / "out.png", neighbours=folder)
    explain(str(tmp_path / "film.mp4"), tmp_path / "out.png", how="maps", layer="conv")
    assert cv2.imread(str(tmp_path / "out.png")).shape == (2 * 98 + 2, 2 * 98 + 2, 3)


class Streams(nn.Module):
    """Of (1,3,2,h,w), colour and motion."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
        self.given: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(x.detach())
        return self.fc(self.conv(x[0].transpose(0, 1)).mean((2, 3))).mean(0)[None]


def test_frames_of_a_clip_are_as_far_apart_as_the_network_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_film(tmp_path / "film.mp4", [np.full((32, 32, 3), 25 * n, np.uint8) for n in range(9)], rate=20)
    net = Streams()
    opens(net, "action", ("a", "b"), monkeypatch, clip=Clip(3, 5.0, per_frame=True, channels="two-stream"))

    def greys() -> list[int]:
        """The numbers of the three frames whose motion was seen last."""
        return [round(float(one) * 255 / 25) for one in net.given[-1][0, :, 1].mean((1, 2))]

    explain(str(tmp_path / "film.mp4"), tmp_path / "out.png", layer="conv")
    assert greys() == [0, 4, 8]
    explain(str(tmp_path / "film.mp4"), tmp_path / "out.mp4", layer="conv", max_frames=7)
    assert greys() == [0, 2, 6]                           # the first stands for what was before it


def test_a_detector_s_picture_is_the_one_that_is_detected_on(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Input((64, 32), "letterbox", enlarge=False, mean=(0.0,) * 3, std=(1.0,) * 3)
    opens(Finds(), "detect", ("red",), monkeypatch, input=taken)
    one = Explainer("x")
    assert one.view(np.zeros((300, 100, 3), np.uint8)).shape == (64, 32, 3)          # upright
    assert one.view(np.zeros((20, 30, 3), np.uint8)).shape == (32, 32, 3)            # not enlarged


class Bright(nn.Module):
    """A segmenter to whom bright places are of class 1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1))
            self.conv.bias.copy_(torch.tensor([0.5, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def test_a_film_goes_on_where_a_frame_has_nothing_of_the_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens(Bright(), "segment", ("dark", "bright"), monkeypatch)
    source, target = tmp_path / "film.mp4", tmp_path / "out.mp4"
    write_film(source, [np.full((32, 32, 3), value, np.uint8) for value in (255, 255, 0, 0)])
    explain(str(source), target, of="bright", layer="conv")
    frames = [frame.image for frame in read(target)]
    assert len(frames) == 4
    assert frames[1][24:, :].mean() > 100
    assert frames[3].max() < 8                                       # as it is, with nothing over it
    dark = tmp_path / "dark.png"
    cv2.imwrite(str(dark), np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(UsageError, match="'x' finds no 'bright' here that could be explained"):
        explain(str(dark), tmp_path / "out.png", of="bright", layer="conv")
    for how, beside, said in (("maps", None, "--how maps"), ("filters", None, "--how filters"),
                              ("grad-cam", tmp_path, "--neighbours")):
        with pytest.raises(UsageError, match=f"^{said} gives one picture, no film: name a picture with -o"):
            explain(str(source), target, how=how, neighbours=beside)


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
