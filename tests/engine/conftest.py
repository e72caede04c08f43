"""A tiny network with weights on disk, and a cache of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vision.nets import NETS
from vision.zoo import Card

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class Tiny(nn.Module):
    """Scores (B,5), and one box a cell (B,A,4) in pixels."""

    def __init__(self, traceable: bool = True) -> None:
        super().__init__()
        self.traceable = traceable
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.boxes = nn.Conv2d(16, 4, 3, 8, 1)
        self.scores = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        return self.scores(x.mean((2, 3))), self.boxes(x)

    def decode(self, outputs: tuple[Tensor, Tensor], size_wh: tuple[int, int]) -> tuple[Tensor, Tensor]:
        scores, cells = outputs
        span = torch.tensor([size_wh[0], size_wh[1]] * 2, dtype=torch.float32)
        return scores.softmax(1), cells.flatten(2).transpose(1, 2).sigmoid() * span


class TinyClip(nn.Module):
    """The mean of a clip's first frames minus that of its last: (B,3)."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv3d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mix(x)                                          # (B,3,T,H,W)
        half = x.shape[2] // 2
        return x[:, :, :half].mean((2, 3, 4)) - x[:, :, half:].mean((2, 3, 4))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are cached for the session, away from the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def tiny_nets() -> Iterator[None]:
    module = ModuleType("vision.nets.tiny_for_tests")
    vars(module).update(Tiny=Tiny, TinyClip=TinyClip)
    sys.modules[module.__name__] = module
    NETS.update(tiny="tiny_for_tests:Tiny", tiny_clip="tiny_for_tests:TinyClip")
    yield
    del NETS["tiny"], NETS["tiny_clip"], sys.modules[module.__name__]


@pytest.fixture(scope="session")
def make_card(tiny_nets: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Card]:
    """A card for `net`, with random weights that are always the same ones, stored in float16."""
    folder = tmp_path_factory.mktemp("weights")

    def make(net: str = "tiny", **changes: object) -> Card:
        path = folder / f"{net}.safetensors"
        if not path.exists():
            torch.manual_seed(0)
            tensors = (Tiny if net == "tiny" else TinyClip)().state_dict()
            save_file({k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}, path)
        values: dict[str, object] = {
            "name": net, "task": "test", "net": net, "file": str(path), "sha256": "", "licence": "ours",
            "source": "random", "size_wh": (64, 48), "resize": "stretch", "names": (), "mean": MEAN, "std": STD,
        }
        return Card(**{**values, **changes})                     # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def card(make_card: Callable[..., Card]) -> Card:
    return make_card()


def by_hand(card: Card, batch: np.ndarray) -> tuple[np.ndarray, ...]:
    """The tiny network's outputs, normalised with NumPy and run with no code of the engine's."""
    from safetensors.numpy import load_file

    net = Tiny().eval()
    net.load_state_dict({k: torch.from_numpy(v).to(net.state_dict()[k].dtype)
                         for k, v in load_file(card.file).items()})
    rgb = (batch[..., ::-1].astype(np.float32) / 255 - np.float32(card.mean)) / np.float32(card.std)
    x = torch.from_numpy(np.ascontiguousarray(rgb.transpose(0, 3, 1, 2)))
    with torch.no_grad():
        outputs = net.decode(net(x), (batch.shape[2], batch.shape[1]))
    return tuple(o.numpy() for o in outputs)


@pytest.fixture(scope="session")
def pictures(photos: dict[str, Path]) -> np.ndarray:
    """(6,48,64,3) uint8: pieces of the two photographs."""
    whole = [cv2.resize(cv2.imread(str(path)), (192, 96)) for path in photos.values()]
    return np.stack([image[:48, x : x + 64] for image in whole for x in (0, 64, 128)])
