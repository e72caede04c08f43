"""First filters and feature maps as contact sheets, and the nearest neighbours in feature space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from vision.errors import ModelError, UsageError
from vision.inspect.heat import untouched
from vision.types import Floats, Image

_GAP = 2                               # pixels between tiles


def filters(net: nn.Module, tile: int = 56) -> Image:
    """The first convolution's filters as pictures, each between its lowest and highest weight: (H,W,3) uint8 BGR.
    Raises ModelError for a network that has none on colours or grey."""
    first = next((layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Conv3d)), None)
    if first is None or first.weight.shape[1] not in (1, 3):
        raise ModelError("this network's first layer is no convolution on colours: it has no filters to show.")
    weights = first.weight.detach().float()
    if weights.ndim == 5:                                # of clips: the middle frame
        weights = weights[:, :, weights.shape[2] // 2]
    low, high = weights.flatten(1).amin(1), weights.flatten(1).amax(1)
    scaled = (weights - low.view(-1, 1, 1, 1)) / (high - low).clamp(min=1e-12).view(-1, 1, 1, 1)
    tiles = (scaled * 255).byte().permute(0, 2, 3, 1).numpy()
    if tiles.shape[3] == 1:
        tiles = tiles.repeat(3, 3)
    return sheet([np.ascontiguousarray(one[..., ::-1]) for one in tiles], tile, cv2.INTER_NEAREST)


def feature_maps(net: nn.Module, x: Tensor, layer: str, most: int = 64, tile: int = 96) -> Image:
    """What a layer gives for a picture x (1,3,h,w): its maps, those with the largest spread first, each between its own
    least and most; of a clip (1,3,T,h,w) those of its middle frame. Raises UsageError for a layer that gives none."""
    given = taken(net, x, layer)
    if not given or given[0].ndim not in (4, 5):
        raise UsageError(f"the layer {layer!r} gives no maps: choose a convolution or a block.")
    maps = given[0][0].float()                           # of a layer that sees frames one by one, those of the first
    if maps.ndim == 4:
        maps = maps[:, maps.shape[1] // 2]
    order = maps.flatten(1).std(1).argsort(descending=True)[:most]
    tiles = []
    for one in maps[order].numpy():
        low, high = float(one.min()), float(one.max())
        grey = ((one - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
        tiles.append(np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS), np.uint8))
    return sheet(tiles, tile, cv2.INTER_NEAREST)


def taken(net: nn.Module, x: Tensor, layer: str) -> list[Tensor]:
    """What a layer gives when the network sees x. Raises UsageError for a name that there is not."""
    from vision.spec import nearest

    modules = dict(net.named_modules())
    if layer not in modules:
        raise UsageError(f"there is no layer {layer!r}. {nearest(layer, list(modules))}")
    kept: list[Any] = []
    hook = modules[layer].register_forward_hook(lambda module, given, output: kept.append(output))
    try:
        with untouched(net), torch.no_grad():
            net(x)
    finally:
        hook.remove()
    return [one for one in kept[-1:] if isinstance(one, Tensor)]


def descriptor(net: nn.Module, x: Tensor) -> Floats:
    """What the last dense layer is given, of length 1: (D,) float32. Raises ModelError where there is none."""
    last = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    if not last:
        raise ModelError("this network has no dense layer: it has no descriptor of a whole picture.")
    kept: list[Tensor] = []
    hook = last[-1].register_forward_pre_hook(lambda module, given: kept.append(given[0]))
    try:
        with untouched(net), torch.no_grad():
            net(x)
    finally:
        hook.remove()
    found = kept[-1].flatten().float().numpy()
    return np.asarray(found / max(float(np.linalg.norm(found)), 1e-12), np.float32)


def nearest_of(wanted: Floats, among: Floats, count: int) -> list[tuple[int, float]]:
    """The rows of `among` (N,D), of length 1 as `wanted` (D,), that are most alike, each with its cosine."""
    likeness = among @ wanted
    return [(int(i), float(likeness[i])) for i in np.argsort(-likeness, kind="stable")[:count]]


def sheet(tiles: Sequence[Image], tile: int, how: int = cv2.INTER_AREA) -> Image:
    """Pictures on a sheet, as square as it goes, each brought to `tile` pixels a side."""
    columns = math.ceil(math.sqrt(len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    canvas = np.full((rows * (tile + _GAP) + _GAP, columns * (tile + _GAP) + _GAP, 3), 255, np.uint8)
    for place, one in enumerate(tiles):
        top, left = (_GAP + (tile + _GAP) * (place // columns), _GAP + (tile + _GAP) * (place % columns))
        canvas[top : top + tile, left : left + tile] = cv2.resize(one, (tile, tile), interpolation=how)
    return canvas


def joined(pictures: Sequence[Image], most: int = 4) -> Image:
    """Pictures of any sizes on a white sheet, at most so many in a row, none resized."""
    columns = min(most, len(pictures))
    width = max(p.shape[1] for p in pictures) + _GAP
    height = max(p.shape[0] for p in pictures) + _GAP
    rows = math.ceil(len(pictures) / columns)
    canvas = np.full((rows * height + _GAP, columns * width + _GAP, 3), 255, np.uint8)
    for place, one in enumerate(pictures):
        top, left = _GAP + height * (place // columns), _GAP + width * (place % columns)
        canvas[top : top + one.shape[0], left : left + one.shape[1]] = one
    return canvas
