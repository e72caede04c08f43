"""How classifiers are trained: settings, and what is refused before torch is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from vision.classic import CLASSIC
from vision.data.pictures import Pictures, held_out, read_pictures
from vision.errors import ModelError, UsageError, WeightsError
from vision.spec import Option, nearest, spec
from vision.train import settings as common
from vision.train.recipe import Recipe
from vision.train.settings import Settings
from vision.train.start import there
from vision.weights import resolve
from vision.zoo import find, members

SHIPPED = "mobilenet-v2"
_ELSEWHERE = ("torchvision:", "timm:")


@spec
class ClassifySettings(Settings):
    """How a classifier is trained. Without options: from the shipped MobileNetV2, its last layer first."""

    epochs: common.Epochs = 8
    batch: common.Batch = 32
    backbone_lr: common.BackboneRate = 0.1
    weight_decay: common.Decay = 0.02
    model: Annotated[str, Option(
        "mobilenet-v2, which ships; a classic such as resnet18 or lenet5; torchvision:NAME; timm:NAME; a run's "
        "weights")] = SHIPPED
    weights: Annotated[Path | None, Option("weights to start from, of the same network with any classes")] = None
    side: Annotated[int | None, Option("of the square input; the network's own unless given", "pixels", min=16)] = None
    hold_out: Annotated[float, Option(
        "share that is held out, where the data does not say", "0..0.5", min=0.01, max=0.5)] = 0.2
    group: Annotated[str, Option(
        "regular expression: what its first group finds in a path is never in two parts: (day\\d+)_")] = ""
    multilabel: Annotated[bool, Option("any number of classes a picture: a CSV with labels as dog|grass")] = False
    crop: Annotated[Literal["centre", "letterbox", "stretch", "ten"], Option(
        "what is seen of a picture in use; of ten views the figures of training see the centre")] = "centre"
    area: common.Area = (0.35, 1.0)
    shift: Annotated[int | None, Option(
        "in place of crops a shift by so much at most; 4 for networks of 32x32 unless given", "pixels", min=0)] = None
    flip: Annotated[float, Option("share of pictures whose left and right are swapped", "0..1", min=0, max=1)] = 0.5
    colour: common.Colour = 0.2
    policy: Annotated[Literal["none", "randaugment", "augmix", "trivial"], Option(
        "of torchvision's: two random changes, mixed chains of them, or one")] = "none"
    erase: Annotated[float, Option("share of pictures with a part erased", "0..1", min=0, max=1)] = 0.0
    mixup: Annotated[float, Option("pictures are mixed in pairs: alpha of their shares; 0: no", min=0)] = 0.0
    cutmix: Annotated[float, Option("a part of another picture is put in: alpha of its share; 0: no", min=0)] = 0.0
    loss: Annotated[Literal["cross-entropy", "focal", "bce"], Option("what is minimised")] = "cross-entropy"
    smoothing: Annotated[float, Option("label smoothing", "0..1", min=0, max=0.9)] = 0.0
    gamma: Annotated[float, Option("how little focal loss minds what is known already", min=0)] = 2.0
    teacher: Annotated[str, Option(
        "a classifier of the same classes whose probabilities are learnt, too; any that --model opens")] = ""
    temperature: Annotated[float, Option("by which the teacher's probabilities are softened", min=0.1)] = 4.0
    teaching: Annotated[float, Option("share of the loss that is the teacher's", "0..1", min=0, max=1)] = 0.7
    balance: Annotated[Literal["none", "weights", "sampling"], Option(
        "rare classes weigh more in the loss, or are drawn as often as others")] = "none"
    dropout: Annotated[float | None, Option(
        "of the network's dropout layers, unless its own", "0..1", min=0, max=0.95)] = None
    stochastic_depth: Annotated[float, Option(
        "share of the last block's pictures that go round it; less before", "0..1", min=0, max=0.9)] = 0.0
    max_norm: Annotated[float, Option("a unit's weights are no longer than this; 0: any length", min=0)] = 0.0
    freeze_epochs: Annotated[int, Option("epochs in which the last layer alone learns", min=0)] = 2
    keep_norms: Annotated[bool, Option(
        "a pre-trained network's batch normalisation keeps its statistics: few pictures make poor ones",
        flags=("--keep-norms/--new-norms",))] = True
    layer_decay: Annotated[float, Option(
        "factor on the learning rate from each fifth of the network to the one before it", min=0.01, max=1)] = 1.0
    init: Annotated[Literal["own", "zero", "normal", "xavier", "he", "orthogonal", "lsuv"], Option(
        "how weights begin, where none are loaded")] = "own"
    find_lr: Annotated[bool, Option("find lr first: over 100 batches it rises until the loss does")] = False

    @property
    def fine_tunes(self) -> bool:
        """Whether there are weights to start from."""
        return self.weights is not None or self.model == SHIPPED or "@" in self.model or Path(self.model).exists()


def _read(data: Path, settings: ClassifySettings) -> tuple[Pictures, Pictures]:
    train, val = read_pictures(data, settings.group, settings.multilabel)
    return (train, val) if val is not None else held_out(train, settings.hold_out, settings.seed)


def _settle(settings: ClassifySettings) -> ClassifySettings:
    name = settings.model
    if not (name in CLASSIC or name == SHIPPED or name.startswith(_ELSEWHERE)):
        if Path(name).suffix == ".safetensors" and not Path(name).is_file():
            raise WeightsError(f"there are no weights at {name!r}. Give a file, such as a run's best.safetensors.")
        if not Path(name).exists():
            raise ModelError(f"no network {name!r} to train. {nearest(name, (SHIPPED, *CLASSIC))}, torchvision:NAME, "
                             "timm:NAME")
    there(settings.weights)
    if settings.multilabel and (settings.mixup or settings.cutmix):
        raise UsageError("mixup and cutmix are for one class a picture: leave them out with multilabel.")
    if settings.teacher:
        _check_teacher(settings)
    if settings.init != "own" and settings.fine_tunes:
        raise UsageError(f"init {settings.init} is for a network without weights, and {name!r} starts from some.")
    return settings


def _check_teacher(settings: ClassifySettings) -> None:
    """Raise where the teacher cannot be asked: before torch is imported."""
    if settings.multilabel or settings.mixup or settings.cutmix:
        raise UsageError("a teacher says what one picture shows: leave multilabel, mixup and cutmix out.")
    for name in members(settings.teacher) or (settings.teacher,):
        resolve(find(name, "classify"))


RECIPE = Recipe(
    ClassifySettings, _read, "vision.train.classification:train", _settle,
    doc="Classification, on a folder with a folder of pictures for each class (with or without train/ and val/ above), "
        "or a CSV with the columns file and label.",
)
