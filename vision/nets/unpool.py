"""Max-pooling that remembers where each maximum lay, and the way back (SegNet).

Torch has both as one operation each. No other back end is fast at them, or has them at all, so an
exported graph says the same with slices and comparisons: of each 2x2 window, which corner it was: the
paper's two bits.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """2x2 max-pooling of (B,C,H,W), rounded up: the maxima (B,C,h,w), and their places, which `unpool`
    understands; of equals the first in reading order."""
    if not torch.onnx.is_in_onnx_export():
        return F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
    x = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), value=float("-inf"))
    corners = [x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
    best = F.max_pool2d(x, 2)
    places = torch.full_like(best, 3.0)
    for k in (2, 1, 0):
        places = torch.where(corners[k] == best, float(k), places)
    return best, places


def unpool(x: Tensor, places: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """The values (B,C,h,w) at the places that `pool` of a map of `size_hw` found, in a map of that
    size, (B,C,H,W), that is zero elsewhere."""
    if not torch.onnx.is_in_onnx_export():
        return F.max_unpool2d(x, places, [2, 2], output_size=(*x.shape[:2], *size_hw))
    corners = torch.stack([torch.where(places == k, x, 0.0) for k in range(4)], 2)   # (B,C,4,h,w)
    return F.pixel_shuffle(corners.flatten(1, 2), 2)[..., : size_hw[0], : size_hw[1]]
