"""A tiny network, and what it gives when it is run with no code of the engine's."""

from __future__ import annotations

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from vision.card import Card

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


def by_hand(card: Card, batch: np.ndarray) -> tuple[np.ndarray, ...]:
    """The tiny network's outputs, normalised with NumPy and run with no code of the engine's."""
    net = Tiny().eval()
    net.load_state_dict({k: torch.from_numpy(v).to(net.state_dict()[k].dtype)
                         for k, v in load_file(card.file).items()})
    rgb = (batch[..., ::-1].astype(np.float32) / 255 - np.float32(card.input.mean)) / np.float32(card.input.std)
    x = torch.from_numpy(np.ascontiguousarray(rgb.transpose(0, 3, 1, 2)))
    with torch.no_grad():
        outputs = net.decode(net(x), (batch.shape[2], batch.shape[1]))
    return tuple(o.numpy() for o in outputs)
