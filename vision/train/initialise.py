"""How weights begin: the ways of the literature by name, for the page that shows why it matters."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Way = Literal["own", "zero", "normal", "xavier", "he", "orthogonal", "lsuv"]
_LAYERS = (nn.Conv2d, nn.Linear)


def initialise(net: nn.Module, way: Way, batch: Tensor | None = None) -> None:
    """Set the weights of all convolutions and dense layers, and their biases to 0.

    way: own (as the network has them), zero, normal (standard deviation 0.01), xavier (Glorot and Bengio 2010), he (He
        et al. 2015), orthogonal (Saxe et al. 2014), lsuv: orthogonal, then each layer scaled until what it gives for
        `batch` has variance 1 (Mishkin and Matas 2016).
    batch: (B,3,H,W) normalised; lsuv needs it.
    """
    if way == "own":
        return
    for layer in net.modules():
        if isinstance(layer, _LAYERS):
            match way:
                case "zero":
                    nn.init.zeros_(layer.weight)
                case "normal":
                    nn.init.normal_(layer.weight, std=0.01)
                case "xavier":
                    nn.init.xavier_normal_(layer.weight)
                case "he":
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                case _:
                    nn.init.orthogonal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    if way == "lsuv":
        assert batch is not None
        _unit_variance(net, batch)


@torch.no_grad()
def _unit_variance(net: nn.Module, batch: Tensor, rounds: int = 5, near: float = 0.05) -> None:
    """Scale each layer, in the order in which the network runs them, as its output comes by."""

    def scaled(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        for _ in range(rounds):
            spread = output.float().std()
            if spread < 1e-8 or abs(spread - 1) < near:
                break
            layer.get_parameter("weight").div_(spread)
            output = output / spread                     # there is no bias yet
        return output

    training = net.training
    net.eval()
    hooks = [layer.register_forward_hook(scaled) for layer in net.modules() if isinstance(layer, _LAYERS)]
    net(batch)
    for hook in hooks:
        hook.remove()
    net.train(training)
