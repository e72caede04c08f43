"""A network with fewer channels than its paper's, as pruning leaves it: the widths are on its card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from vision.errors import ModelError

Widths = dict[str, list[int]]          # name of a layer -> what `sizes` says of it, 0: as it is built


def sizes(layer: nn.Module) -> list[int]:
    """Of a layer that has channels: of a convolution out, in and groups, of a linear layer out and in, of batch
    normalisation how many; of another one nothing."""
    match layer:
        case _ConvNd():
            return [layer.out_channels, layer.in_channels, layer.groups]
        case nn.Linear():
            return [layer.out_features, layer.in_features]
        case _BatchNorm():
            return [layer.num_features]
    return []


def widths(net: nn.Module, built: nn.Module) -> Widths:
    """What is narrower in `net` than in `built`, which is the same network as it is built."""
    before = dict(built.named_modules())
    found = {}
    for name, layer in net.named_modules():
        now, was = sizes(layer), sizes(before[name])
        if now != was:
            found[name] = [a if a != b else 0 for a, b in zip(now, was, strict=True)]
    return found


def narrow(net: nn.Module, wanted: Mapping[str, Any]) -> None:
    """Give the layers of a network, just built, the widths of a card. Raises ModelError for what they cannot have."""
    if not isinstance(wanted, Mapping):
        raise ModelError(f"the card's widths are a layer's name each, with its numbers; got {str(wanted)[:40]!r}")
    layers = dict(net.named_modules())
    for name, asked in wanted.items():
        has = sizes(layers[name]) if name in layers else []
        if not has or not isinstance(asked, list | tuple) or len(asked) != len(has) or not all(
            isinstance(a, int) and 0 <= a <= b for a, b in zip(asked, has, strict=True)
        ):
            raise ModelError(f"the card's widths give {str(name)[:80]!r} {str(asked)[:40]}, and the network has "
                             f"{has or 'no such layer'}: it is of another network.")
        _resize(layers[name], [a or b for a, b in zip(asked, has, strict=True)], name)


def _resize(layer: Any, now: list[int], name: str) -> None:
    match layer:
        case _ConvNd():
            layer.out_channels, layer.in_channels, layer.groups = now
            if layer.out_channels % layer.groups or layer.in_channels % layer.groups:
                raise ModelError(f"the card's widths give {name!r} {now}: its groups do not divide its channels.")
            kernel = layer.weight.shape[2:]
            first, second = layer.out_channels, layer.in_channels // layer.groups
            if layer.transposed:
                first, second = layer.in_channels, layer.out_channels // layer.groups
            layer.weight = nn.Parameter(torch.zeros(first, second, *kernel))
            if layer.bias is not None:
                layer.bias = nn.Parameter(torch.zeros(layer.out_channels))
        case nn.Linear():
            layer.out_features, layer.in_features = now
            layer.weight = nn.Parameter(torch.zeros(*now))
            if layer.bias is not None:
                layer.bias = nn.Parameter(torch.zeros(now[0]))
        case _:
            (layer.num_features,) = now
            for part in ("weight", "bias"):
                if getattr(layer, part) is not None:
                    setattr(layer, part, nn.Parameter(torch.ones(*now)))
            for part in ("running_mean", "running_var"):
                if getattr(layer, part) is not None:
                    setattr(layer, part, torch.ones(*now))
