"""An anchor-free detector: MobileNetV2, a light path aggregation network, distances as distributions.

Li et al. 2020, "Generalized Focal Loss" (the head and its distributions); Liu et al. 2018, "Path
Aggregation Network"; the separable 5x5 convolutions and the fourth level after Yu et al. 2021, "PicoDet".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.ops import Conv2dNormActivation

STRIDES = (8, 16, 32, 64)
_TAPS = {6: 32, 13: 96, 17: 320}       # blocks of MobileNetV2 and their channels, at strides 8, 16, 32
_PRIOR = 0.01                          # score of every class before training, so that it starts calmly

_conv = partial(Conv2dNormActivation, activation_layer=nn.Hardswish)


def points(size_wh: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Centres (A,2) float32 xy in pixels of the cells of all levels, finest first, row by row, and the
    strides (A,) of theirs."""
    centres, strides = [], []
    for stride in STRIDES:
        x, y = (torch.arange(-(-side // stride)) + 0.5 for side in size_wh)
        centres.append(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2) * stride)
        strides.append(torch.full((len(x) * len(y),), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def _predict(channels: int, outputs: int, bias: float) -> nn.Conv2d:
    layer = nn.Conv2d(channels, outputs, 1)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]
    return layer


def _cells(layers: nn.ModuleList, levels: Sequence[Tensor]) -> Tensor:
    """What each layer says of its level, (B,A,channels), the cells of all levels in a row."""
    maps = [layer(level) for layer, level in zip(layers, levels, strict=True)]
    return torch.cat([x.flatten(2).transpose(1, 2) for x in maps], 1)


class _Separable(nn.Sequential):
    """A 5x5 convolution of each channel by itself, then 1x1 across them."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__(_conv(before, before, 5, stride, groups=before), _conv(before, after, 1))


class Encoder(nn.Module):
    """MobileNetV2 up to its last block, with torchvision's names."""

    def __init__(self) -> None:
        super().__init__()
        self.features = mobilenet_v2(weights=None).features[: max(_TAPS) + 1]

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B,3,H,W) -> maps of 32, 96 and 320 channels at strides 8, 16 and 32."""
        maps = []
        for i, block in enumerate(self.features):
            x = block(x)
            if i in _TAPS:
                maps.append(x)
        return maps


class PathAggregation(nn.Module):
    """Three maps in; four of `channels` at `STRIDES` out, each informed by all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(_conv(before, channels, 1) for before in _TAPS.values())
        self.down_up = nn.ModuleList(_Separable(2 * channels, channels) for _ in range(2))
        self.shrink = nn.ModuleList(_Separable(channels, channels, 2) for _ in range(3))
        self.up_down = nn.ModuleList(_Separable(2 * channels, channels) for _ in range(2))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Top-down from the coarsest map, then bottom-up, then the level above."""
        fine, middle, top = (lateral(x) for lateral, x in zip(self.lateral, maps, strict=True))
        middle = self.down_up[0](torch.cat([middle, F.interpolate(top, scale_factor=2.0)], 1))
        fine = self.down_up[1](torch.cat([fine, F.interpolate(middle, scale_factor=2.0)], 1))
        middle = self.up_down[0](torch.cat([self.shrink[0](fine), middle], 1))
        top = self.up_down[1](torch.cat([self.shrink[1](middle), top], 1))
        return [fine, middle, top, self.shrink[2](top)]


class Gfl(nn.Module):
    """The detector. classes: counted without background. channels: of the pyramid and the heads.
    bins: of a distribution: the distance from a cell's centre to a side is 0 to bins - 1 strides."""

    def __init__(self, classes: int, channels: int = 96, bins: int = 8) -> None:
        super().__init__()
        self.bins = bins
        self.encoder = Encoder()
        self.neck = PathAggregation(channels)
        self.towers = nn.ModuleList(
            nn.Sequential(_Separable(channels, channels), _Separable(channels, channels)) for _ in STRIDES
        )
        rare = log(_PRIOR / (1 - _PRIOR))
        self.classify = nn.ModuleList(_predict(channels, classes, rare) for _ in STRIDES)
        self.place = nn.ModuleList(_predict(channels, 4 * bins, 0.0) for _ in STRIDES)

    def train(self, mode: bool = True) -> Gfl:
        """As usual, but the norms of what is frozen (no gradient is asked for) stand still."""
        super().train(mode)
        for module in self.encoder.modules():
            if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
                module.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B,3,H,W) normalised RGB, H and W multiples of 32 -> logits (B,A,classes), and logits
        (B,A,4,bins) of the distances to left, top, right and bottom, in strides."""
        levels = [tower(level) for tower, level in zip(self.towers, self.neck(self.encoder(x)), strict=True)]
        logits, distances = _cells(self.classify, levels), _cells(self.place, levels)
        return logits, distances.reshape(*distances.shape[:2], 4, self.bins)

    def boxes(self, distances: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """Boxes (B,A,4) xyxy in input pixels from the logits of the distances: their means."""
        centres, strides = (t.to(distances) for t in points(size_wh))        # constants of the graph
        steps = torch.arange(self.bins, dtype=distances.dtype, device=distances.device)
        away = (distances.softmax(-1) * steps).sum(-1) * strides[:, None]
        return torch.cat([centres - away[..., :2], centres + away[..., 2:]], -1)

    def decode(self, outputs: Sequence[Tensor], size_wh: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Boxes (B,A,4) xyxy in input pixels, and scores (B,A,classes) in 0..1 of independent classes."""
        logits, distances = outputs
        return self.boxes(distances, (int(size_wh[0]), int(size_wh[1]))), logits.sigmoid()
