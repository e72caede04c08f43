"""How segmenters are trained: settings, and what is refused before torch is imported."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from vision.data.segmentation import Pairs, find_pairs
from vision.errors import ModelError
from vision.spec import Option, nearest, spec
from vision.train import settings as common
from vision.train.recipe import Recipe
from vision.train.settings import Settings
from vision.train.start import encoder_file, there

_PAPER_NETS = ("fcn32s", "fcn16s", "fcn8s", "segnet", "segnet-basic", "fcn-basic")
_SMP_NETS = (                          # of segmentation-models-pytorch
    "unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "deeplabv3", "deeplabv3plus", "pan", "upernet",
    "segformer", "dpt",
)


@spec
class SegmentSettings(Settings):
    """How a segmenter is trained: on crops, with left and right swapped half of the time."""

    epochs: common.Epochs = 40
    lr: common.Rate = 2e-3
    backbone_lr: common.BackboneRate = 0.25
    weight_decay: common.Decay = 0.02
    ema: common.Averaging = 0.995
    model: Annotated[str, Option(
        "network:encoder: fcn8s, segnet, segnet-basic, or any of segmentation-models-pytorch")] = "fpn:mobilenet_v2"
    size: common.Size = (480, 360)
    crop: common.Crop = (256, 192)
    area: common.Area = (0.07, 0.45)
    colour: common.Colour = 0.4
    balance: Annotated[Literal["none", "median", "segnet"], Option(
        "classes' weights: recomputed median frequencies, or SegNet's for CamVid")] = "median"
    balance_power: Annotated[float, Option("exponent of these weights; 1: as they are", min=0, max=1)] = 0.3
    dice: Annotated[float, Option("weight of the Dice loss", min=0)] = 1.0
    encoder_weights: common.EncoderWeights = "auto"
    weights: common.Weights = None
    frozen: common.Frozen = ()
    options: common.NetworkOptions = field(default_factory=dict)

    @property
    def encoder_file(self) -> Path | None:
        """The weights of a new encoder. Raises WeightsError where they are not there."""
        return None if self.weights else encoder_file(self.encoder_weights, self.model.endswith(":mobilenet_v2"))

    def network(self, classes: int) -> tuple[str, dict[str, Any]]:
        """The key of `nets.NETS` and the arguments that `model` stands for. Raises ModelError."""
        arch, _, encoder = self.model.partition(":")
        if arch in _PAPER_NETS:
            return arch, {"classes": classes, **({"encoder": encoder} if encoder else {}), **self.options}
        if arch not in _SMP_NETS:
            raise ModelError(f"no network {arch!r} to train. {nearest(arch, (*_PAPER_NETS, *_SMP_NETS))}")
        if not encoder:
            raise ModelError(f"{self.model!r} names no encoder: for example {arch}:mobilenet_v2.")
        return "smp", {"arch": arch, "encoder": encoder, "classes": classes, "options": self.options or None}


def _read(data: Path, settings: SegmentSettings) -> tuple[Pairs, Pairs]:
    train = find_pairs(data, "train")
    return train, find_pairs(data, "val", train)


def _settle(settings: SegmentSettings) -> SegmentSettings:
    settings.network(2)
    there(settings.weights)
    _ = settings.encoder_file
    return settings


RECIPE = Recipe(
    SegmentSettings, _read, "vision.train.segmentation:train", _settle,
    doc="Semantic segmentation, on pictures with index PNGs: SPLIT/images and SPLIT/labels for train and val, with "
        "classes.txt, or CamVid's layout.",
)
