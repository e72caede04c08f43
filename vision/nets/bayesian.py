"""Bayesian SegNet's uncertainty (Kendall, Badrinarayanan & Cipolla, BMVC 2017), for any network that
has dropout: several passes with it left on, their mean, and how much they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from vision.errors import ModelError
from vision.nets import build

_DROPOUT = (nn.Dropout, nn.Dropout2d)


class Bayesian(nn.Module):
    """A segmentation network run `passes` times on each picture, dropout on.

    of, config: the network, as a card names it; its weights load under their own names. Raises
    ModelError where it has no dropout.
    """

    def __init__(self, of: str, config: Mapping[str, Any], passes: int = 16) -> None:
        super().__init__()
        self.net = build(of, **config)
        self.passes = passes
        if not any(isinstance(layer, _DROPOUT) and layer.p > 0 for layer in self.net.modules()):
            raise ModelError(f"{of!r} was built without dropout, so every pass would be the same.")

    def train(self, mode: bool = True) -> Self:
        """Dropout stays on whatever the mode."""
        super().train(mode)
        for layer in self.net.modules():
            if isinstance(layer, _DROPOUT):
                layer.train()
        return self

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Weights of the network itself."""
        return self.net.load_state_dict(state_dict, strict, assign)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B,3,H,W) -> the mean of the probabilities (B,C,H,W), and their variance over the passes,
        its mean over the classes (B,H,W)."""
        total, squares = torch.zeros(()), torch.zeros(())
        for _ in range(self.passes):
            probs = self.net(x).float().softmax(1)
            total, squares = total + probs, squares + probs.square()
        mean = total / self.passes
        return mean, (squares / self.passes - mean.square()).clamp(min=0).mean(1)

    def decode(self, outputs: tuple[Tensor, Tensor], size_wh: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The class map (B,H,W) uint8 and the variance (B,H,W)."""
        mean, variance = outputs
        return mean.argmax(1).byte(), variance
