"""The graph that a back end runs: normalisation, the network, and its decoding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Deploy(nn.Module):
    """uint8 BGR pictures (B,H,W,3), or clips (B,T,H,W,3), in; decoded results out.

    net: a network with `forward(x)`, x float32 RGB (B,3,H,W) or (B,3,T,H,W), normalised by mean and
    std; where it has `decode(outputs, size_wh)`, that turns the outputs into what the task needs.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.net = net
        # of BGR bytes, the order that comes in: 0..255, so that one multiply-add normalises
        scale = 1.0 / (255.0 * torch.tensor(list(std)).flip(0))
        shift = -torch.tensor(list(mean)).flip(0) / torch.tensor(list(std)).flip(0)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, batch: Tensor) -> tuple[Tensor, ...]:
        size_wh = (batch.shape[-2], batch.shape[-3])
        x = (batch.to(self.scale.dtype) * self.scale + self.shift).flip(-1)      # ..., RGB
        x = x.permute(0, x.ndim - 1, *range(1, x.ndim - 1))                      # (B,3,[T,]H,W)
        outputs = self.net(x)
        decode = getattr(self.net, "decode", None)
        outputs = decode(outputs, size_wh) if decode is not None else outputs
        return outputs if isinstance(outputs, tuple) else (outputs,)
