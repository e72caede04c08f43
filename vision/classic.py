"""The networks that made the field, by name: which module of `vision.nets` has each, and for which pictures.

Plain values, so that a name can be refused before torch is imported. A name that ends in `-32` is the paper's network
in a size for pictures of 32x32 pixels; `resnet20-32` and `densenet40-32` are the papers' own for CIFAR-10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Classic:
    """One network. built: "module:function" in `vision.nets`. side: pixels of its square input. paper: who and when.
    config: arguments of the function beside `classes`. same_as: torchvision's name for the same network, whose
    weights it loads by key; other: torchvision's name for another variant of it."""

    built: str
    side: int
    paper: str
    config: Mapping[str, Any] = field(default_factory=dict)
    same_as: str = ""
    other: str = ""


_VGG, _RESNET = "Simonyan and Zisserman 2015", "He et al. 2016"
_GOOGLENET, _INCEPTION = "Szegedy et al. 2015", "Szegedy et al. 2016"

CLASSIC: dict[str, Classic] = {
    "lenet5-1998": Classic("lenet:LeNet5Published", 32, "LeCun et al. 1998"),
    "lenet5": Classic("lenet:LeNet5", 32, "LeCun et al. 1998, as it is usually built"),
    "alexnet": Classic("alexnet:AlexNet", 224, "Krizhevsky et al. 2012", other="alexnet"),
    "alexnet-32": Classic("alexnet:alexnet_32", 32, "Krizhevsky et al. 2012"),
    **{
        f"vgg{depth}{suffix}": Classic(
            "vgg:VGG", 224, _VGG, {"depth": depth, "norm": bool(suffix)}, f"vgg{depth}{suffix.replace('-', '_')}")
        for suffix in ("", "-bn") for depth in (11, 13, 16, 19)
    },
    "vgg-32": Classic("vgg:vgg_32", 32, _VGG),
    "vgg-bn-32": Classic("vgg:vgg_32", 32, _VGG, {"norm": True}),
    "googlenet": Classic("googlenet:GoogLeNet", 224, _GOOGLENET, other="googlenet"),
    "googlenet-bn": Classic("googlenet:GoogLeNet", 224, _GOOGLENET, {"norm": True}, "googlenet"),
    "googlenet-32": Classic("googlenet:googlenet_32", 32, _GOOGLENET),
    "inception-v3": Classic("inception:InceptionV3", 299, _INCEPTION, {}, "inception_v3"),
    "inception-v3-32": Classic("inception:inception_v3_32", 32, _INCEPTION),
    **{
        f"resnet{depth}": Classic("resnet:ResNet", 224, _RESNET, {"depth": depth}, f"resnet{depth}")
        for depth in (18, 34, 50, 101, 152)
    },
    **{
        f"resnet{depth}-32": Classic("resnet:ResNet32", 32, _RESNET, {"depth": depth})
        for depth in (20, 32, 44, 56)
    },
    "resnet20-wide-32": Classic("resnet:ResNet32", 32, _RESNET, {"depth": 20, "width": 32}),
    "densenet121": Classic("densenet:DenseNet", 224, "Huang et al. 2017", {}, "densenet121"),
    "densenet40-32": Classic("densenet:densenet_32", 32, "Huang et al. 2017"),
}
