"""ImageNet classifiers as torchvision and timm publish them, with a softmax in the graph."""

from __future__ import annotations

import timm
import torchvision
from torch import Tensor, nn


def _probabilities(logits: Tensor, size_wh: tuple[int, int]) -> Tensor:
    return logits.softmax(dim=-1)                        # (B, classes)


def _with_softmax(net: nn.Module) -> nn.Module:
    """The network with `decode` set on it: a wrapper would rename the published weights' keys."""
    net.decode = _probabilities  # type: ignore[assignment]
    return net


def torchvision_classifier(arch: str, classes: int = 1000) -> nn.Module:
    """A classifier of torchvision, `arch` as `torchvision.models.list_models()` names it."""
    return _with_softmax(torchvision.models.get_model(arch, weights=None, num_classes=classes))


def timm_classifier(arch: str, classes: int = 1000) -> nn.Module:
    """A classifier of timm, `arch` as `timm.list_models()` names it."""
    return _with_softmax(timm.create_model(arch, pretrained=False, num_classes=classes))
