"""How detectors are trained: settings, and what is refused before torch is imported."""

from __future__ import annotations

from dataclasses import field, replace
from pathlib import Path
from typing import Annotated

from vision import zoo
from vision.data.detection import DetectionData, read_splits
from vision.errors import ModelError, UsageError
from vision.spec import Option, nearest, spec
from vision.train import settings as common
from vision.train.recipe import Recipe
from vision.train.settings import Settings
from vision.train.start import encoder_file
from vision.weights import resolve

# classify proposals: the overlap from which the weaker of two boxes goes, 1 where the network sees to it
PROPOSED = {"rcnn": 0.3, "fast_rcnn": 1.0}
# keys of `nets.NETS`
DETECTORS = ("nanodet", "gfl", "ssdlite", "single_shot", "faster_rcnn", "two_stage", "yolo_v1", *PROPOSED)
_ON_MOBILENET = ("gfl", "ssdlite", "faster_rcnn", "yolo_v1", *PROPOSED)
ONE_SIZE = ("single_shot", "yolo_v1")    # networks that take pictures of their size alone
_STRIDE = 32                           # the largest of all but SSD's, which has one size


@spec
class VariedSettings(Settings):
    """How pictures with objects are varied: each alone (`scale`), or made of four (`mosaic`); left and right are
    swapped half of the time."""

    crop: common.Crop = (320, 320)
    scale: Annotated[tuple[float, float], Option(
        "scale of a picture; 1: it just fits into the crop", separator=",")] = (0.5, 1.8)
    ratio: Annotated[float, Option("the largest change of a picture's aspect", min=1)] = 1.25
    mosaic: common.Mosaic = 0.3
    mosaic_scale: Annotated[tuple[float, float], Option("scale of each of the four", separator=",")] = (0.3, 1.25)
    mix_up: Annotated[float, Option("share of pictures blended with another", "0..1", min=0, max=1)] = 0.0
    closing: Annotated[int, Option("last epochs without mosaic and mix-up", min=0)] = 4
    colour: common.Colour = 0.4
    visible: Annotated[float, Option("share of a box that must be inside a crop", "0..1", min=0, max=1)] = 0.25

    @property
    def mixed_epochs(self) -> int:
        """After so many epochs there is no mosaic and no mix-up any more (YOLOX, Ge et al. 2021)."""
        return max(0, self.epochs - self.closing)

    def check_crop(self) -> None:
        """Raise UsageError for a crop that a network with strides does not take."""
        width, height = self.crop
        if width % _STRIDE or height % _STRIDE:
            raise UsageError(
                f"crop has sides that are multiples of {_STRIDE}, such as 320x320; got {width}x{height}."
            )


@spec
class DetectSettings(VariedSettings):
    """How a detector is trained, on varied pictures."""

    epochs: common.Epochs = 20
    batch: common.Batch = 16
    backbone_lr: common.BackboneRate = 0.3
    weight_decay: common.Decay = 0.03
    ema: common.Averaging = 0.997
    clip: common.Clip = 10.0
    model: Annotated[str, Option(
        "a new network: nanodet, gfl, ssdlite, single_shot, yolo_v1, rcnn, fast_rcnn, faster_rcnn; default, or a "
        "file: its weights, with a new head for new classes; yolo11n: ultralytics' trainer")] = "default"
    size: common.Size = (416, 416)
    proposals: Annotated[int, Option(
        "of rcnn and fast_rcnn: boxes of selective search a picture, in training and in use", min=1, max=2000)] = 2000
    background: Annotated[int | None, Option(
        "of rcnn: proposals of a picture that it learns from, the first so many; all unless given", min=1)] = None
    pictures: Annotated[int | None, Option("learn from the first so many only", min=1)] = None
    val_pictures: Annotated[int | None, Option("measure on the first so many only", min=1)] = None
    encoder_weights: common.EncoderWeights = "auto"
    frozen: common.Frozen = ()
    options: common.NetworkOptions = field(default_factory=dict)
    teacher: Annotated[tuple[str, ...], Option(
        "detectors that label what nobody has labelled, such as yolox-s; the data may be pictures alone",
        separator=",")] = ()
    classes: Annotated[tuple[str, ...], Option(
        "of pictures without labels: only these classes of the teacher's, by name", separator=",")] = ()

    @property
    def yolo(self) -> bool:
        """Whether ultralytics' trainer does the work."""
        return Path(self.model).name.startswith("yolo") and self.model not in DETECTORS

    @property
    def net(self) -> str:
        """The network, a key of `nets.NETS`. Raises ModelError for a name that is no model."""
        return self.model if self.model in DETECTORS else zoo.find(self.model, "detect").net

    @property
    def checkpoint(self) -> str:
        """What a run leaves to go on from."""
        if self.model == "rcnn":
            return "features/000000.npz"
        return "ultralytics/weights/last.pt" if self.yolo else super().checkpoint

    @property
    def encoder_file(self) -> Path | None:
        """The weights of a new network's encoder. Raises WeightsError where they are not there."""
        own = self.options.get("arch") == "ssd300_mobilenet_v2" or self.model in _ON_MOBILENET
        mobilenet = own and "encoder" not in self.options
        return encoder_file(self.encoder_weights, mobilenet) if self.model in DETECTORS else None


def _settle(settings: DetectSettings) -> DetectSettings:
    for teacher in settings.teacher:
        resolve(zoo.find(teacher, "detect"))
    if settings.classes and not settings.teacher:
        raise UsageError("classes are for pictures without labels, which need a teacher: --teacher yolox-s")
    if settings.yolo:
        if settings.teacher:
            raise UsageError("ultralytics' trainer takes no teacher; train nanodet, gfl or default with one.")
        from vision.train.yolo import source

        source(settings.model)
        return settings
    if settings.model in DETECTORS:
        net = settings.model
        if settings.encoder_file is None:
            settings = replace(settings, backbone_lr=1.0)      # one from nothing learns as fast as the rest
    else:
        card = zoo.find(settings.model, "detect")
        if card.net == "rcnn":
            raise ModelError(f"{card.name!r} is an R-CNN, which is fitted at once. Fit a new one: --model rcnn")
        if card.net not in DETECTORS:
            raise ModelError(
                f"{card.name!r} is a {card.net or card.form!r}, which is not trained here. "
                f"{nearest(card.net or '', DETECTORS)} Or take a model that is one of these, such as gfl-voc."
            )
        resolve(card)
        net = card.net
    if net != "single_shot" and net not in PROPOSED:
        settings.check_crop()
    return settings


def _read(data: Path, settings: DetectSettings) -> tuple[DetectionData, DetectionData]:
    """Both splits, or their first pictures where the settings say so; of pictures alone where there is a teacher."""
    from vision.train.teaching import read_for

    parts = read_for(settings.teacher, settings.classes, data) if settings.teacher else None
    train, val = parts or read_splits(data)
    return train.first(settings.pictures), val.first(settings.val_pictures)


RECIPE = Recipe(
    DetectSettings, _read, "vision.train.detectors:train", _settle, again="--model",
    doc="Detection, on pictures with boxes: a folder with train and val as COCO JSON, YOLO (data.yaml) or Pascal VOC.",
)
