"""What a box alone says about its mask: Tian et al. 2021, "BoxInst: High-Performance Instance Segmentation with Box
Annotations"."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

REACH = 1.5                            # sides of the grid at which such a mask is learnt, in those of its box
_APART = 2                             # points between the two of a pair
_STEPS = ((0, _APART), (_APART, 0), (_APART, _APART), (_APART, -_APART))      # down and right, to each second neighbour
_LIKE = 0.3                            # from this similarity on two colours are of one object, or of none
_FADES = 2.0                           # Lab's distance over which similarity falls to 1 / e
_SHRUNK = 4                            # the picture, so that a colour is of an area


def lab(picture: Tensor) -> Tensor:
    """(3,h,w) float32 CIE L*a*b* of a picture (3,H,W) uint8 RGB, four times smaller."""
    small = F.avg_pool2d(picture[None].float(), _SHRUNK)[0].permute(1, 2, 0).cpu().numpy()
    return torch.from_numpy(cv2.cvtColor(np.ascontiguousarray(small / 255), cv2.COLOR_RGB2Lab)).permute(2, 0, 1).to(
        picture.device)


def colours(of: Tensor, at: Tensor) -> Tensor:
    """(N,3,g,g): the colours (3,h,w) of `lab` at points (N,g,g,2) of the picture, the nearest where a point is beyond
    it."""
    size = torch.tensor([of.shape[2], of.shape[1]], device=of.device) * _SHRUNK
    seen = F.grid_sample(of.expand(len(at), -1, -1, -1), at / size * 2 - 1, padding_mode="border", align_corners=False)
    return torch.as_tensor(seen)


def inside(at: Tensor, boxes: Tensor) -> Tensor:
    """(N,g,g) bool: the points (N,g,g,2) that lie in their boxes (N,4) xyxy."""
    low, high = boxes[:, None, None, :2], boxes[:, None, None, 2:]
    return ((at >= low) & (at < high)).all(-1)


def projection(probs: Tensor, within: Tensor) -> Tensor:
    """(N,) in 0..2: how far the highest probabilities of each row and each column are from the box's sides, 1 minus
    Dice along each axis. probs (N,g,g) in 0..1; within (N,g,g) bool, of `inside`."""
    return torch.as_tensor(sum(_dice(probs.amax(axis), within.any(axis).float()) for axis in (1, 2)))


def _dice(a: Tensor, b: Tensor) -> Tensor:
    return 1 - 2 * (a * b).sum(1) / ((a**2).sum(1) + (b**2).sum(1)).clamp(min=1e-5)


def alike(seen: Tensor, within: Tensor) -> Tensor:
    """(4,N,g,g) bool: the points whose partner two points to the right, below, or below to either side has much the
    same colour, one of the two at least in the box. seen (N,3,g,g); within (N,g,g)."""
    there = torch.ones_like(within)
    return torch.stack([
        there & _moved(there, step) & (within | _moved(within, step))
        & (torch.exp(-(seen - _moved(seen, step)).norm(dim=1) / _FADES) >= _LIKE)
        for step in _STEPS
    ])


def affinity(logits: Tensor, pairs: Tensor) -> Tensor:
    """The mean over the pairs of `alike` of minus the log of the probability that both are on or both off; 0 without
    a pair. logits (N,g,g)."""
    on, off = F.logsigmoid(logits), F.logsigmoid(-logits)
    both = [torch.logaddexp(on + _moved(on, step), off + _moved(off, step)) for step in _STEPS]
    return -(torch.stack(both) * pairs).sum() / pairs.sum().clamp(min=1)


def _moved(x: Tensor, step: tuple[int, int]) -> Tensor:
    """(...,g,g): of each point what its partner has; 0 where that one is off the grid."""
    down, right = step
    cut = x[..., down:, max(right, 0): x.shape[-1] + min(right, 0)]
    return F.pad(cut, (max(-right, 0), max(right, 0), 0, down))
