"""Classifiers by name - the classic papers', torchvision's and timm's - with their probabilities in the graph."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torchvision
from torch import Tensor, nn

from vision.classic import CLASSIC
from vision.errors import ModelError


def _probabilities(logits: Tensor, size_wh: tuple[int, int]) -> Tensor:
    return logits.softmax(dim=-1)                        # (B, classes)


def _each(logits: Tensor, size_wh: tuple[int, int]) -> Tensor:
    return logits.sigmoid()                              # (B, classes); any number of them may be there


def _decoded(net: nn.Module, multilabel: bool) -> nn.Module:
    """The network with `decode` set on it: a wrapper would rename the published weights' keys."""
    net.decode = _each if multilabel else _probabilities  # type: ignore[assignment]
    return net


def classic(arch: str, classes: int = 1000, multilabel: bool = False) -> nn.Module:
    """A network of `vision.classic.CLASSIC`. multilabel: a sigmoid a class in place of a softmax over all."""
    if arch not in CLASSIC:
        raise ModelError(f"no classic network {arch!r}. There are: {', '.join(CLASSIC)}")
    module, function = CLASSIC[arch].built.split(":")
    builder: Callable[..., nn.Module] = getattr(import_module(f"vision.nets.{module}"), function)
    return _decoded(builder(classes=classes, **CLASSIC[arch].config), multilabel)


def torchvision_classifier(arch: str, classes: int = 1000, multilabel: bool = False) -> nn.Module:
    """A classifier of torchvision, `arch` as `torchvision.models.list_models()` names it."""
    options = {"init_weights": True} if arch in ("googlenet", "inception_v3") else {}
    return _decoded(torchvision.models.get_model(arch, weights=None, num_classes=classes, **options), multilabel)


def timm_classifier(arch: str, classes: int = 1000, multilabel: bool = False) -> nn.Module:
    """A classifier of timm, `arch` as `timm.list_models()` names it."""
    import timm

    return _decoded(timm.create_model(arch, pretrained=False, num_classes=classes), multilabel)
