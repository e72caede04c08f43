"""Training of detectors: the objective, where a network starts, and the run."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from vision.card import IMAGENET_MEAN, IMAGENET_STD, Boxes, Card, Input, card_of
from vision.data.detection import DetectionData
from vision.drawing import draw
from vision.engine.program import state_dict
from vision.errors import WeightsError
from vision.metrics.detection import average_precision, coco_rows
from vision.nets import build
from vision.nets.deploy import Deploy
from vision.tasks.decoders import DECODERS
from vision.tasks.detect import suppressed
from vision.train.anchored import MultiboxCriterion, TwoStageCriterion
from vision.train.criteria import Criterion, GflCriterion
from vision.train.detect import DETECTORS, ONE_SIZE, PROPOSED
from vision.train.detection_set import DetectionSet, HeldOut, HeldOutPictures, TaughtSet
from vision.train.detection_transforms import GREY
from vision.train.fit import fit
from vision.train.loading import gathered
from vision.train.recipe import Objective, Parts, Told, Trained
from vision.train.start import freeze_as_asked, load_encoder
from vision.train.teaching import SURE, taught
from vision.train.yolo_v1 import YoloCriterion
from vision.types import Detections
from vision.weights import resolve
from vision.zoo import find

if TYPE_CHECKING:
    from vision.train.detect import DetectSettings
    from vision.train.training import Training

# a network of `nets.NETS` that can be trained -> what it learns by
CRITERIA: dict[str, Callable[[], Criterion]] = {
    "nanodet": GflCriterion, "gfl": GflCriterion, "ssdlite": MultiboxCriterion, "single_shot": MultiboxCriterion,
    "faster_rcnn": TwoStageCriterion, "two_stage": TwoStageCriterion, "yolo_v1": YoloCriterion,
}
_PER_CLASS = re.compile(r"classify\.\d+(\.ssdlite\.1|\.level)?\.(weight|bias)")     # layers with a row a class
_MIN_SCORE, _MOST = 0.01, 100          # of what average precision looks at, as `vision eval detect`


class Detection(Objective):
    """A family's criterion; judged by COCO's average precision in the pixels of the pictures."""

    words: ClassVar[Mapping[str, str]] = {"ap": "AP", "ap50": "AP50"}

    def __init__(self, criterion: Criterion, card: Card, held_out: HeldOutPictures) -> None:
        super().__init__(card)
        self.criterion, self.held_out = criterion, held_out
        self.rows: dict[int, list[dict[str, Any]]] = {}      # of each picture that was looked at

    def loss(self, net: nn.Module, batch: Any) -> dict[str, Tensor]:
        """The criterion's terms. Of a teacher's labels those networks learn the scores that can; others learn what the
        teacher is sure of."""
        pictures, boxes, labels, *sure = batch
        if sure and isinstance(self.criterion, GflCriterion):
            return self.criterion(net, self.inputs(pictures), boxes, labels, sure[0])
        if sure:
            boxes, labels = surest(boxes, labels, sure[0])
        return self.criterion(net, self.inputs(pictures), boxes, labels)

    def found(self, net: nn.Module, items: Sequence[HeldOut]) -> list[Detections]:
        """The best objects of each item, in the network's pixels. Pictures of one size go through it together."""
        deployed = Deploy(net, self.card.input.mean, self.card.input.std).to(items[0].pixels.device)
        decode = DECODERS[self.card.boxes.layout]
        found: dict[int, Detections] = {}
        for size in dict.fromkeys(item.pixels.shape for item in items):
            members = [i for i, item in enumerate(items) if item.pixels.shape == size]
            outputs = deployed(torch.stack([items[i].pixels for i in members]))
            arrays = tuple(output.float().cpu().numpy() for output in outputs)
            size_wh = (size[1], size[0])
            for row, i in enumerate(members):
                found[i] = suppressed(decode(arrays, row, _MIN_SCORE, size_wh), self.card.boxes.max_iou, False)[:_MOST]
        return [found[i] for i in range(len(items))]

    def update(self, net: nn.Module, batch: Any) -> None:
        """Keep what is found; pictures that could not be read are left out."""
        category_of = {label: label for label in range(len(self.card.classes))}
        for found, item in zip(self.found(net, batch), batch, strict=True):
            if item.number >= 0:
                there = replace(found, boxes=self.held_out.to_picture(found.boxes, item))
                self.rows[item.number] = coco_rows(item.number, there, category_of)

    def pictures(self, net: nn.Module, batch: Any) -> Tensor:
        """Up to four pictures with what is found in them at the card's threshold, on canvases of one size."""
        items = batch[:4]
        height, width = (max(item.pixels.shape[side] for item in items) for side in (0, 1))
        canvas = np.full((len(items), height, width, 3), GREY, np.uint8)
        for place, item, found in zip(canvas, items, self.found(net, items), strict=True):
            drawn = draw(found[found.scores >= self.card.min_score], item.pixels.cpu().numpy(), self.card.classes)
            place[: drawn.shape[0], : drawn.shape[1]] = drawn
        return torch.from_numpy(canvas[..., ::-1].copy()).permute(0, 3, 1, 2)

    def figures(self) -> dict[str, float]:
        """ap, ap50, ap75, those of small, medium and large objects, and the ap of each class."""
        rows, self.rows = of_all_processes(self.rows), {}
        data = self.held_out.data
        unseen = [i for i in range(len(data.pictures)) if i not in rows]
        now = average_precision(data.truth(without=unseen), chain.from_iterable(rows.values()))
        return {
            "ap": now.ap, "ap50": now.ap50, "ap75": now.ap75, "small": now.small, "medium": now.medium,
            "large": now.large, **{f"ap_{name}": ap for name, (ap, _) in now.classes.items()},
        }


def surest(boxes: Tensor, labels: Tensor, sure: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (B,M,4) and labels (B,M) of which a teacher is sure (B,M) enough; the others are -1, behind them."""
    labels = labels.where(sure >= SURE, -1)
    order = (labels < 0).long().argsort(dim=1, stable=True)
    return boxes.gather(1, order[..., None].expand(-1, -1, 4)), labels.gather(1, order)


def of_all_processes(rows: dict[int, Any]) -> dict[int, Any]:
    """The rows of every process of a DDP run; a picture that several have seen to come out even is one."""
    return {index: found for part in gathered(rows) for index, found in part.items()}


def start(settings: DetectSettings, names: tuple[str, ...]) -> tuple[nn.Module, Card]:
    """The network to train and the card of the result.

    A new network's encoder starts from `settings.encoder_file`, with the normalisation that the file names
    (`mean`, `std` in its metadata), or ImageNet's. A detector to start from keeps its own, and the layers
    that tell its classes for those of the same name. Raises WeightsError for weights that do not fit.
    """
    base = None if settings.model in DETECTORS else find(settings.model, "detect")
    net_name = settings.model if base is None else base.net
    config = {**(base.config if base else {}), **settings.options, "classes": len(names)}
    net = build(net_name, **config)
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if base is not None:
        mean, std = base.input.mean, base.input.std
        _load(net, base, names)
    elif settings.encoder_file is not None:
        mean, std = _normalisation(settings.encoder_file)
        load_encoder(net.get_submodule("encoder"), settings.encoder_file)
    boxes = Boxes("rows", 1.0) if CRITERIA.get(net_name) is TwoStageCriterion else Boxes("dense", 0.5)
    if net_name in PROPOSED:
        boxes = Boxes("rows", PROPOSED[net_name], settings.proposals)
    card = Card(
        name="", task="detect", net=net_name, config=config, file="best.safetensors",
        licence="as the training data's", source="", names=names,
        input=Input(settings.size, "shrink" if net_name in PROPOSED else "letterbox", fixed=net_name in ONE_SIZE,
                    mean=mean, std=std),
        boxes=boxes, min_score=0.5 if net_name in PROPOSED else 0.25,
    )
    return net, card


Sets = Callable[[DetectionData, HeldOutPictures, Card, "DetectSettings"], tuple[Any, "Detection"]]


def _varied(learnt: DetectionData, held_out: HeldOutPictures, card: Card, settings: DetectSettings) -> Any:
    """Varied pictures, and the criterion of the network's family."""
    kind = TaughtSet if settings.teacher else DetectionSet
    return kind(learnt, settings), Detection(CRITERIA[card.net](), card, held_out)


def train(training: Training, told: Told, sets: Sets = _varied) -> Trained:
    """Train a detector, from what `start` says. sets: makes what it learns from, and by."""
    settings: DetectSettings = training.settings
    net, card = start(settings, training.names)
    card = replace(card, name=training.folder.name, source=f"trained on {training.source}")
    freeze_as_asked(net, settings.frozen)
    learnt, judged = training.data
    if settings.teacher:
        judged = judged if any(len(p.boxes) for p in judged.pictures) else taught(
            judged, settings.teacher, training.folder, whole=True)
        learnt = taught(learnt, settings.teacher, training.folder)
    held_out = HeldOutPictures(judged, card.input)
    items, objective = sets(learnt, held_out, card, settings)
    trained = fit(Parts(net, objective, items, held_out), training, told)
    unread = [str(path) for each in (items, held_out) for path in each.pictures.unread]
    if unread:
        warnings.warn(f"{len(unread)} pictures were passed over: {', '.join(unread[:5])}", stacklevel=2)
    return trained


def _normalisation(path: Path) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """The mean and the deviation that an encoder's file names, or ImageNet's."""
    if path.suffix != ".safetensors":
        return IMAGENET_MEAN, IMAGENET_STD
    with safe_open(path, "numpy") as file:
        named = file.metadata() or {}
    if "card" in named:
        wanted = card_of(path).input
        return wanted.mean, wanted.std
    if "mean" not in named:
        return IMAGENET_MEAN, IMAGENET_STD
    return tuple(json.loads(named["mean"])), tuple(json.loads(named["std"]))


def _load(net: nn.Module, base: Card, names: tuple[str, ...]) -> None:
    """The weights of `base`; of the layers that tell the classes, the rows of those in `names`."""
    path, known, mine = resolve(base), base.classes, net.state_dict()
    there = [(names.index(name), known.index(name)) for name in names if name in known]
    rows = torch.tensor(there, dtype=torch.int64).reshape(-1, 2)
    for name, value in state_dict(path, base.without).items():
        of_class = _PER_CLASS.fullmatch(name) is not None
        if name not in mine or mine[name].shape[of_class:] != value.shape[of_class:]:
            if _is_head(base, name) and name in mine and len(names) != len(known):
                continue                                     # anchors and classes in one axis: it starts anew
            raise WeightsError(f"{str(path)!r} has the weights of another network (first {name!r}).")
        if of_class:
            mine[name][rows[:, 0]] = value[rows[:, 1]].float()
        else:
            mine[name] = value
    net.load_state_dict(mine)


def _is_head(base: Card, name: str) -> bool:
    return base.net not in ("gfl", "nanodet") and name.startswith(("head.", "roi_heads.box_predictor."))
