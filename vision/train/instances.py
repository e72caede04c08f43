"""How masks of objects are trained: settings, and what is refused before torch is imported."""

from __future__ import annotations

from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Literal

from vision import zoo
from vision.card import Card
from vision.data.detection import DetectionData
from vision.data.instances import read_instances
from vision.errors import ModelError, UsageError
from vision.spec import Option, spec
from vision.train import settings as common
from vision.train.detect import VariedSettings
from vision.train.recipe import Recipe
from vision.train.start import encoder_file
from vision.weights import resolve

NEW = "mask_rcnn"                       # a key of `nets.NETS`, and the only model that begins as a new network
_STARTS = ("nanodet", "nanodet-masks", NEW)


@spec
class InstanceSettings(VariedSettings):
    """How masks are trained: the detector stays as it is, and a head on its maps learns; or a Mask R-CNN as a whole."""

    epochs: common.Epochs = 20
    lr: common.Rate = 2e-3
    weight_decay: common.Decay = 1e-4
    ema: common.Averaging = 0.998
    clip: common.Clip = 5.0
    crop: common.Crop = (416, 416)
    mosaic: common.Mosaic = 0.0
    box_loss: Annotated[float, Option(
        "weight of what objects without masks teach by their boxes alone (BoxInst); 0: they are left out", min=0)] = 1.0
    model: Annotated[str, Option(
        "a nanodet detector, which gets a new head, or such a detector with a head already: default, or a file of "
        "vision train detect --model nanodet, or of this training. mask_rcnn: a new network for the data's classes")
    ] = "default"
    backbone_lr: common.BackboneRate = 0.3
    encoder_weights: common.EncoderWeights = "auto"
    options: common.NetworkOptions = field(default_factory=dict)
    teacher: Annotated[str, Option(
        "gives masks to the objects of train that have a box alone: selfie (people), or efficientsam-ti")] = ""
    mask_head: Annotated[Literal["auto", "condinst", "yolact", "rtmdet-ins"], Option(
        "what makes the masks: networks that the cells bring along, on fine maps (condinst) or on the neck's alone "
        "(rtmdet-ins), or sums of shared prototypes (yolact); a model with another head gets a new one. auto: the one "
        "that it has, or condinst")] = "auto"

    @property
    def card(self) -> Card | None:
        """Of the network to start from; None for a new one. Raises ModelError where it is none that learns masks."""
        if self.model == NEW:
            return None
        default = self.model == "default"
        card = zoo.find(self.model, next(t for t in ("instances", "detect") if t in zoo.DEFAULTS) if default else None)
        if card.net not in _STARTS:
            raise ModelError(
                f"{card.name!r} is a {card.net or card.form!r}; masks are learnt on a nanodet. Train one with vision "
                "train detect --model nanodet, and give its best.safetensors as --model; or take --model mask_rcnn."
            )
        return card

    @property
    def encoder_file(self) -> Path | None:
        """The weights of a new network's encoder. Raises WeightsError where they are not there."""
        return encoder_file(self.encoder_weights, "encoder" not in self.options) if self.model == NEW else None

    @property
    def teacher_card(self) -> Card | None:
        """Of the teacher, where there is one. Raises ModelError for one that gives no masks for boxes."""
        if not self.teacher:
            return None
        card = zoo.find(self.teacher)
        if card.task not in ("person", "prompted"):
            raise ModelError(f"{card.name!r} is a model for {card.task}, which gives no masks for boxes; selfie does "
                             "(of people), and efficientsam-ti.")
        return card


def _settle(settings: InstanceSettings) -> InstanceSettings:
    settings.check_crop()
    card = settings.card
    if card is not None:
        resolve(card)
    if settings.teacher_card is not None:
        resolve(settings.teacher_card)
    if card is not None and card.net != NEW:
        if settings.options:
            raise UsageError(f"options are of a new network, --model {NEW}; a head has --mask-head")
        return settings
    if settings.mask_head != "auto":
        raise UsageError(f"--mask-head is for a nanodet; {settings.model!r} is a Mask R-CNN, which has its own")
    if card is None and settings.encoder_file is None:
        settings = replace(settings, backbone_lr=1.0)                     # one from nothing learns as fast as the rest
    return replace(settings, box_loss=0.0)                                # it learns by masks alone


def _read(data: Path, settings: InstanceSettings) -> tuple[DetectionData, DetectionData]:
    known = None if settings.card is None else settings.card.classes
    return read_instances(data, known, boxes=settings.box_loss > 0 or bool(settings.teacher))


RECIPE = Recipe(
    InstanceSettings, _read, "vision.train.mask_rcnn:train", _settle, again="--model",
    doc="Masks of objects, on top of a trained detector or by a Mask R-CNN: a folder with train and val as COCO JSON, "
        "YOLO (data.yaml, with polygons), Pascal VOC (SegmentationObject), or SPLIT/images with SPLIT/instances and "
        "classes.txt.",
)
