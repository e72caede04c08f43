"""A convolution whose weights are stored as bytes: a quarter of float32's size, and run in floats."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ByteConv2d(nn.Module):
    """A convolution with weights `weight * scale + low`, each channel of the output with its own two numbers.

    before, after: channels. side: of the kernel. stride, padding, groups: as torch's. A graph that is made of it
    holds the weights as floats, so that they are unpacked once and not with each picture.
    """

    weight: Tensor
    scale: Tensor
    low: Tensor
    bias: Tensor

    def __init__(
        self, before: int, after: int, side: int, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> None:
        super().__init__()
        self.stride, self.padding, self.groups = stride, padding, groups
        self.register_buffer("weight", torch.zeros(after, before // groups, side, side, dtype=torch.uint8))
        for name in ("scale", "low", "bias"):
            self.register_buffer(name, torch.zeros(after))

    @torch.no_grad()
    def take(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Store these float weights (after, before/groups, side, side), to a 255th of each channel's range."""
        low, high = weight.amin((1, 2, 3)), weight.amax((1, 2, 3))
        self.low.copy_(low)
        self.scale.copy_((high - low).clamp_min(1e-12) / 255)
        self.weight.copy_(((weight - _each(low)) / _each(self.scale)).round())
        if bias is not None:
            self.bias.copy_(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B,before,H,W) -> (B,after,h,w)."""
        weight = self.weight.to(self.scale.dtype) * _each(self.scale) + _each(self.low)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, groups=self.groups)


def _each(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
