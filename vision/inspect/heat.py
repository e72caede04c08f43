"""What in a picture made a network decide: Grad-CAM and occlusion. Nothing learns, and no weight changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from vision.errors import ModelError, UsageError
from vision.types import Floats, Image

Target = Callable[[Any], Tensor]                         # of a network's outputs, the number to explain


@dataclass(frozen=True)
class Heat:
    """How much each place spoke for the target: (h,w) float32 in 0..1 in pixels of the network's input, or (T,h,w) of a
    clip; value: of the target. layer: where it was looked at; empty for occlusion."""

    map: Floats
    value: float
    layer: str = ""


@contextmanager
def untouched(net: nn.Module) -> Iterator[nn.Module]:
    """The network in evaluation mode, whose parameters want no gradient; afterwards it is as it was."""
    training = {module: module.training for module in net.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in net.parameters()}
    net.eval().requires_grad_(False)
    try:
        yield net
    finally:
        for module, mode in training.items():
            module.training = mode
        for parameter, wants in wanted.items():
            parameter.requires_grad_(wants)


def last_map(net: nn.Module, x: Tensor, inside: tuple[str, ...] = ("",)) -> str:
    """The name of the last layer that gives a map of more than one place, (B,C,h,w) or (B,C,T,h,w): of the deepest
    features. inside: beginnings of the names that count. Raises ModelError where there is none."""
    found: list[str] = []

    def seen(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim in (4, 5) and output.shape[-1] * output.shape[-2] > 1:
                found.append(name)

        return hook

    hooks = [module.register_forward_hook(seen(name)) for name, module in net.named_modules()
             if name and name.startswith(inside)]
    try:
        with torch.no_grad():
            net(x)
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise ModelError("this network has no layer with a map of places: name one with --layer.")
    return found[-1]


def grad_cam(net: nn.Module, x: Tensor, target: Target, layer: str = "", local: bool = False) -> Heat:
    """Grad-CAM (Selvaraju et al. 2017): a layer's maps, weighed by the mean of the target's gradient in each, and of
    that what speaks for it.

    x: (1,3,h,w) normalised, or a clip (1,3,T,h,w). target: of the network's outputs. layer: its name; the last one that
    gives a map unless said. local: each place is weighed by its own gradient (Draelos and Carin 2020), as one box of
    many asks for. Raises UsageError for another name, and for a layer without maps or without a say in the target.
    """
    with untouched(net):
        layer = layer or last_map(net, x)
        modules = dict(net.named_modules())
        if layer not in modules:
            from vision.spec import nearest

            raise UsageError(f"there is no layer {layer!r}. {nearest(layer, list(modules))}")
        kept: list[Tensor] = []

        def keep(module: nn.Module, given: Any, output: Any) -> Any:
            if not isinstance(output, Tensor) or output.ndim not in (4, 5):
                raise UsageError(f"the layer {layer!r} gives no map of places: choose a convolution or a block.")
            kept.append(output)
            return output

        hook = modules[layer].register_forward_hook(keep)
        try:
            with torch.enable_grad():
                value = target(net(x.clone().requires_grad_(True)))
                moved = [one for one in kept if one.requires_grad]
                slopes = torch.autograd.grad(value, moved, allow_unused=True) if moved else ()
        finally:
            hook.remove()
    told = [(one.detach(), slope) for one, slope in zip(moved, slopes, strict=True) if slope is not None]
    if not told:
        raise UsageError(f"the layer {layer!r} has no say in this score: choose another convolution or block.")
    maps, slope = told[-1]                               # a head runs on several levels: the one that has a say
    if maps.ndim == 5 or len(maps) > 1:                  # of a clip: (C,T,h,w), a frame a row where it went in so
        maps, slope = (one[0] if one.ndim == 5 else one.transpose(0, 1) for one in (maps, slope))
    else:
        maps, slope = maps[0], slope[0]
    weights = slope if local else slope.flatten(1).mean(1).view(-1, *[1] * (maps.ndim - 1))
    heat = (weights * maps).sum(0).clamp(min=0).float().numpy()
    return Heat(_spread(heat, (x.shape[-1], x.shape[-2])), float(value.detach()), layer)


def occlusion(net: nn.Module, x: Tensor, target: Target, patch: int = 0, batch: int = 16) -> Heat:
    """How much the target falls where a grey square covers the picture (Zeiler and Fergus 2014).

    x: (1,3,h,w), or a clip (1,3,T,h,w), normalised, grey being 0. patch: the square's side in pixels, moved by half of
    it; an eighth of the picture's shorter side unless given.
    """
    height, width = x.shape[-2:]
    patch = patch or max(2, min(height, width) // 8)
    step = max(1, patch // 2)
    tops, lefts = (range(0, side - patch + step, step) for side in (height, width))
    places = [(top, left) for top in tops for left in lefts]
    falls = np.zeros((height, width), np.float32)
    count = np.zeros_like(falls)
    with untouched(net), torch.no_grad():
        value = float(target(net(x)))
        for first in range(0, len(places), batch):
            some = places[first : first + batch]
            covered = x.repeat(len(some), *[1] * (x.ndim - 1))
            for row, (top, left) in enumerate(some):
                covered[row, ..., top : top + patch, left : left + patch] = 0
            outputs = net(covered)
            for row, (top, left) in enumerate(some):
                fall = value - float(target(_row(outputs, row)))
                falls[top : top + patch, left : left + patch] += fall
                count[top : top + patch, left : left + patch] += 1
    return Heat(_scaled(np.maximum(falls / np.maximum(count, 1), 0)), value)


def _row(outputs: Any, row: int) -> Any:
    """One picture's outputs of a batch."""
    if isinstance(outputs, Tensor):
        return outputs[row : row + 1]
    if isinstance(outputs, dict):
        return {name: _row(one, row) for name, one in outputs.items()}
    return type(outputs)(_row(one, row) for one in outputs)


def _spread(heat: Floats, size_wh: tuple[int, int]) -> Floats:
    frames = heat if heat.ndim == 3 else heat[None]
    large = np.stack([cv2.resize(one, size_wh, interpolation=cv2.INTER_LINEAR) for one in frames])
    return _scaled(large if heat.ndim == 3 else large[0])


def _scaled(heat: Floats) -> Floats:
    most = float(heat.max())
    return np.asarray(heat / most if most > 0 else heat, np.float32)


def overlay(image: Image, heat: Floats, strength: float = 0.5) -> Image:
    """A picture (H,W,3) uint8 BGR under its heat (H,W) in 0..1: cold is blue, hot is red."""
    if heat.shape != image.shape[:2]:
        heat = np.asarray(cv2.resize(heat, (image.shape[1], image.shape[0])), np.float32)
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    share = (strength * (0.35 + 0.65 * heat))[..., None]
    return np.asarray(image * (1 - share) + colours * share, np.uint8)
