"""What is left of a network is made to say what the whole one said, layer by layer, without training.

He, Zhang and Sun 2017, "Channel Pruning for Accelerating Very Deep Neural Networks": a layer that lost inputs and kept
its outputs gets the weights that bring these nearest to what they were, by least squares, on some pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_PLACES = 64                             # of each picture's output, which are looked at
_RIDGE = 1e-4                            # of the mean square of inputs


class _SeenError(Exception):
    """The layer was reached: what lies behind it is not of interest."""


@torch.no_grad()
def refit(net: nn.Module, whole: nn.Module, pictures: Sequence[Tensor]) -> list[str]:
    """Give new weights to the layers of a pruned network that have fewer inputs and as many outputs as in `whole`.

    Both are in evaluation mode. pictures: batches (B,3,H,W), normalised. Returns the names of the layers.
    """
    theirs = dict(whole.named_modules())
    names = [name for name, layer in net.named_modules() if _lost_inputs(layer, theirs[name])]
    norms = _norms(net)
    for name in names:
        layer: Any = net.get_submodule(name)
        inputs, outputs = _pairs(net, whole, name, pictures)
        means = inputs.mean(0), outputs.mean(0)
        inputs, outputs = inputs - means[0], outputs - means[1]
        square = inputs.T @ inputs
        square.diagonal().add_(_RIDGE * square.diagonal().mean())
        weights = torch.linalg.solve(square, inputs.T @ outputs).T
        shift = means[1] - weights @ means[0]                # what the outputs are without inputs
        layer.weight.copy_(weights.reshape(layer.weight.shape))
        if layer.bias is not None:
            layer.bias.copy_(shift)
        elif name in norms:
            norms[name].running_mean.sub_(shift)
    return names


def _lost_inputs(layer: nn.Module, other: nn.Module) -> bool:
    match layer, other:
        case nn.Conv2d(), nn.Conv2d():
            return layer.groups == other.groups == 1 and layer.out_channels == other.out_channels and (
                layer.in_channels < other.in_channels)
        case nn.Linear(), nn.Linear():
            return layer.out_features == other.out_features and layer.in_features < other.in_features
    return False


def _norms(net: nn.Module) -> dict[str, Any]:
    """By the name of a convolution the batch normalisation that is defined right after it, of as many channels."""
    modules = [(name, one) for name, one in net.named_modules() if not list(one.children())]
    return {name: after for (name, one), (_, after) in pairwise(modules)
            if isinstance(one, nn.Conv2d) and isinstance(after, nn.BatchNorm2d)
            and after.num_features == one.out_channels}


def _pairs(net: nn.Module, whole: nn.Module, name: str, pictures: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """What a layer is handed in the pruned network (N,D), and what it says in the whole one (N,O), place by place."""
    random, rows = torch.Generator().manual_seed(0), []
    for batch in pictures:
        mine, wanted = _reach(net, name, batch, True), _reach(whole, name, batch, False)
        layer: Any = net.get_submodule(name)
        if wanted.ndim == 4:
            mine = F.unfold(mine, layer.kernel_size, layer.dilation, layer.padding, layer.stride)     # (B,D,L)
            wanted = wanted.flatten(2)
            places = torch.randperm(mine.shape[2], generator=random)[:_PLACES]
            mine, wanted = (one[:, :, places].transpose(1, 2).flatten(0, 1) for one in (mine, wanted))
        rows.append((mine.double(), wanted.double()))
    inputs, outputs = (torch.cat(part) for part in zip(*rows, strict=True))
    return inputs, outputs


def _reach(net: nn.Module, name: str, batch: Tensor, inputs: bool) -> Tensor:
    """Run a network up to a layer: what that is handed, or what it says."""
    seen: list[Tensor] = []

    def look(layer: nn.Module, given: Any, output: Tensor) -> None:
        seen.append(given[0] if inputs else output)
        raise _SeenError

    hook = net.get_submodule(name).register_forward_hook(look)
    with suppress(_SeenError):
        net(batch)
    hook.remove()
    return seen[0]
