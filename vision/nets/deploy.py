"""The graph that a back end runs: normalisation, the network, and its decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """uint8 RGB pictures (B,3,H,W), or clips (B,3,T,H,W), as float32: minus mean, over std, of RGB in 0..1."""

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        deviation = torch.tensor(list(std))
        scale = 1.0 / (255.0 * deviation)                  # of RGB bytes: one multiply-add normalises
        shift = -torch.tensor(list(mean)) / deviation
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, rgb: Tensor) -> Tensor:
        per_channel = (3, *[1] * (rgb.ndim - 2))
        return rgb.to(self.scale.dtype) * self.scale.view(per_channel) + self.shift.view(per_channel)


def decoded(net: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """The outputs of `net` for normalised x, (B,3,H,W) or (B,3,T,H,W); decoded, where it has `decode`."""
    outputs = net(x)
    decode = getattr(net, "decode", None)
    if decode is not None:
        with torch.autocast(x.device.type, enabled=False):         # boxes in pixels need float32
            outputs = decode(_float32(outputs), (x.shape[-1], x.shape[-2]))
    return outputs if isinstance(outputs, tuple) else (outputs,)


class Deploy(nn.Module):
    """uint8 BGR pictures (B,H,W,3), or clips (B,T,H,W,3), in; decoded results out.

    net: a network with `forward(x)`, x float32 RGB (B,3,H,W) or (B,3,T,H,W), normalised by mean and
    std; where it has `decode(outputs, size_wh)`, that turns the outputs into what the task needs.
    """

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.net = net
        self.normalise = Normalise(mean, std)

    def forward(self, batch: Tensor) -> tuple[Tensor, ...]:
        rgb = batch.permute(0, batch.ndim - 1, *range(1, batch.ndim - 1)).flip(1)     # (B,3,[T,]H,W)
        return decoded(self.net, self.normalise(rgb))


def _float32(outputs: Any) -> Any:
    if isinstance(outputs, Tensor):
        return outputs.float() if outputs.is_floating_point() else outputs
    if isinstance(outputs, dict):
        return {name: _float32(o) for name, o in outputs.items()}
    return type(outputs)(_float32(o) for o in outputs)
