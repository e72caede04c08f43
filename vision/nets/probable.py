"""A segmentation network that hands out its probabilities, for ensembles, whose mean decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vision.nets import build


class Probable(nn.Module):
    """of, config: the network, as a card names it; its weights load under their own names."""

    def __init__(self, of: str, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.net = build(of, **config)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Weights of the network itself."""
        return self.net.load_state_dict(state_dict, strict, assign)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,H,W) -> probabilities (B,C,H,W), which sum to 1 in each pixel."""
        probabilities: Tensor = self.net(x).float().softmax(1)
        return probabilities
