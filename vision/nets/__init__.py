"""Networks, one file each, named after the paper. They know nothing but torch.

A network has `forward(x)` on normalised float RGB and, where a task needs less than its raw
outputs, `decode(outputs, size_wh)`; `traceable = False` says that its steps depend on what it sees, so that
only torch runs it. `NETS` maps a card's `net` to the function that builds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import nn

from vision.errors import ModelError

_LARGEST = 1 << 16                       # of a whole number that a card gives a network, such as its classes
# name -> "module:function"; imported when it is built, so that a card costs nothing
NETS: dict[str, str] = {
    "smp": "smp:Smp",
    "probable": "probable:Probable",
    "bayesian": "bayesian:Bayesian",
    "torchvision_segmenter": "published_segmenters:TorchvisionSegmenter",
    "fcn32s": "fcn:fcn32s",
    "fcn16s": "fcn:fcn16s",
    "fcn8s": "fcn:fcn8s",
    "segnet": "segnet:segnet",
    "segnet-basic": "segnet:SegNetBasic",
    "fcn-basic": "segnet:FCNBasic",
    "ssdlite": "ssdlite:ssdlite",
    "gfl": "gfl:Gfl",
    "nanodet": "nanodet:NanoDet",
    "nanodet-masks": "nanodet_masks:NanoDetMasks",
    "single_shot": "published_detectors:single_shot",
    "pyramidal": "published_detectors:pyramidal",
    "two_stage": "published_detectors:two_stage",
    "faster_rcnn": "published_detectors:faster_rcnn",
    "mask_rcnn": "published_detectors:mask_rcnn",
    "yolo_v1": "yolo_v1:YoloV1",
    "rcnn": "rcnn:RCNN",
    "fast_rcnn": "fast_rcnn:FastRCNN",
    "crnn": "crnn:CRNN",
    "c3d": "c3d:C3D",
    "c3d_lite": "c3d:c3d_lite",
    "video_resnet": "video_resnet:VideoResNet",
    "frame2d": "frame2d:FrameNet",
    "face-resnet": "face_resnet:FaceResNet",
    "face-attributes": "face_attributes:FaceAttributes",
    "classic": "classifiers:classic",
    "torchvision_classifier": "classifiers:torchvision_classifier",
    "timm_classifier": "classifiers:timm_classifier",
}


def build(net: str, *, widths: Any = None, **config: Any) -> nn.Module:
    """The network `net` of `NETS`, with random weights, in training mode; with the `widths` of its layers where it was
    pruned (`vision.nets.narrow`). Raises ModelError for a name, an unknown argument, and values and widths that cannot
    be."""
    if net not in NETS:
        raise ModelError(f"no network {net!r}. There are: {', '.join(sorted(NETS))}")
    for name, value in config.items():                   # a stranger's card may be behind it
        if isinstance(value, str) and not re.fullmatch(r"[\w.+-]*", value):
            raise ModelError(f"{name} of the network {net!r} is a name, no address and no path; got {value!r:.100}.")
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise ModelError(f"{name} of the network {net!r} is at most {_LARGEST}; got {value!r:.100}.")
    module, function = NETS[net].split(":")
    builder: Callable[..., nn.Module] = getattr(import_module(f"vision.nets.{module}"), function)
    try:
        built = builder(**config)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:         # of the libraries that know the values
        why = " ".join(str(error).split())
        raise ModelError(f"the network {net!r} cannot be built: {why:.200}") from error
    if widths:
        from vision.nets.narrow import narrow

        narrow(built, widths)
    return built
