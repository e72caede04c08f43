"""Fewer channels: those that matter least go, with all that depends on them, until so much work is left.

Fang et al. 2023, "DepGraph: Towards Any Structural Pruning" finds what hangs together (torch-pruning, of the extra
`compress`); Li et al. 2017, "Pruning Filters for Efficient ConvNets" says what matters: channels with small weights do
not, and layers inside a block rather than what is added to other blocks. What is left is a smaller network of the same
kind, whose widths are on its card.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vision.card import Card
from vision.engine.base import CannotRun
from vision.errors import MissingExtra
from vision.nets import build
from vision.nets.narrow import widths
from vision.train.fit import save_weights

ROUND = 8                                # channels are a multiple of this, which processors like
_STEPS = 24                              # from all channels to the least


@dataclass(frozen=True)
class Pruned:
    """What was left. card: with the widths. before, after: multiply-adds for one picture."""

    card: Card
    before: float
    after: float


def prune(net: nn.Module, card: Card, share: float, last: nn.Module) -> Pruned:
    """Take channels out of a network, in place, until `share` of its multiply-adds is gone.

    net: of the card, in evaluation mode, with weights. share: 0..1. last: the layer whose outputs stay as they are.

    Raises MissingExtra, and CannotRun where the network cannot be made so small, or is not what its card builds then.
    """
    try:
        import torch_pruning as tp
    except ImportError as error:
        raise MissingExtra("torch-pruning", "compress", "pruning") from error
    width, height = card.input.size_wh
    example = torch.zeros(1, 3, height, width)
    for parameter in net.parameters():
        parameter.requires_grad_()
    try:
        pruner: Any = tp.pruner.BasePruner(
            net, example, tp.importance.GroupMagnitudeImportance(p=2), pruning_ratio=0.95,
            iterative_steps=_STEPS, round_to=ROUND, ignored_layers=[last, *_coupled(tp, net, example)],
        )
        before = work = float(tp.utils.count_ops_and_params(net, example)[0])
        for _ in range(_STEPS):
            pruner.step()
            work = float(tp.utils.count_ops_and_params(net, example)[0])
            if work <= (1 - share) * before:
                break
    except (RuntimeError, ValueError, AttributeError, TypeError, KeyError) as error:
        why = " ".join(str(error).split())[:200]
        raise CannotRun(f"{card.name!r} cannot be pruned: channels of it cannot be told apart ({why})") from error
    if work > (1 - share) * before:
        raise CannotRun(f"{card.name!r} keeps {work / before:.2f} of its work, whatever is taken: ask for less than "
                        f"--prune {1 - work / before:.2f}")
    config = {key: value for key, value in card.config.items() if key != "widths"}
    narrower = {**config, "widths": widths(net, build(card.net, **config))}
    _check(net, build(card.net, **narrower), example, card.name)
    return Pruned(replace(card, config=narrower), before, work)


def _coupled(tp: Any, net: nn.Module, example: Tensor) -> list[nn.Module]:
    """Layers whose outputs are added to those of others. They keep their channels: each block would miss them."""
    graph: Any = tp.DependencyGraph().build_dependency(net, example_inputs=example)
    found: list[nn.Module] = []
    for group in graph.get_all_groups(root_module_types=[nn.Conv2d, nn.Linear]):
        makers = {dep.target.module for dep, _ in group if graph.is_out_channel_pruning_fn(dep.handler)}
        layers = [one for one in makers if isinstance(one, nn.Conv2d | nn.Linear) and getattr(one, "groups", 1) == 1]
        found += layers if len(layers) > 1 else []
    return found


def _check(net: nn.Module, again: nn.Module, example: Tensor, name: str) -> None:
    """Raise CannotRun where what the card builds is another network."""
    try:
        again.load_state_dict(net.state_dict())
        with torch.no_grad():
            picture = torch.rand_like(example)
            first, second = _first(net.eval()(picture)), _first(again.eval()(picture))
        same = torch.allclose(first, second, atol=1e-4, rtol=1e-3)
    except RuntimeError:
        same = False
    if not same:
        raise CannotRun(f"{name!r} cannot be pruned: no card describes what is left of it")


def _first(outputs: Any) -> Tensor:
    while not isinstance(outputs, Tensor):
        outputs = next(iter(outputs.values())) if isinstance(outputs, dict) else outputs[0]
    return outputs


def keep(path: Path, net: nn.Module, made: Pruned) -> Card:
    """Write a network that was pruned, with its card, which comes back."""
    card = replace(made.card, file=str(path.absolute()), sha256="", url=None, int8=None, figures={}, measured_on="")
    save_weights(path, net, card, {"widths": json.dumps(made.card.config["widths"])})
    return card
