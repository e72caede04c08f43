"""Training of detectors: the objective, where a network starts, and the run."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from vision.card import IMAGENET_MEAN, IMAGENET_STD, Boxes, Card, Input
from vision.drawing import draw
from vision.engine.program import state_dict
from vision.errors import ModelError, WeightsError
from vision.metrics.detection import average_precision, coco_rows
from vision.nets import build
from vision.nets.deploy import Deploy
from vision.tasks.decoders import DECODERS
from vision.tasks.detect import suppressed
from vision.train.anchored import MultiboxCriterion, TwoStageCriterion
from vision.train.criteria import Criterion, GflCriterion
from vision.train.detection_data import read_splits
from vision.train.detection_set import DetectionSet, HeldOutPictures, collate
from vision.train.detection_transforms import Augment, multi_scale
from vision.train.encoder import load_encoder
from vision.train.fit import Run, fit
from vision.train.learner import Objective
from vision.train.segmentation import normalise
from vision.train.settings import Settings
from vision.types import Detections
from vision.weights import resolve
from vision.zoo import find

# a network of `nets.NETS` that can be trained -> what it learns by
CRITERIA: dict[str, Callable[[], Criterion]] = {
    "gfl": GflCriterion, "ssdlite": MultiboxCriterion, "single_shot": MultiboxCriterion,
    "faster_rcnn": TwoStageCriterion, "two_stage": TwoStageCriterion,
}
_PER_CLASS = (".ssdlite.1.weight", ".ssdlite.1.bias", ".level.weight")      # layers with a row a class
_MIN_SCORE, _MOST = 0.01, 100          # of what average precision looks at, as `vision eval detect`


@dataclass(frozen=True)
class Recipe:
    """What detection adds to `Settings`.

    model: a network of `CRITERIA`, or a detector to start from: a name of the zoo, or a path. size_wh:
    what the network sees in use. augment: how training pictures vary. sizes_wh: of the batches, drawn for
    each (multi-scale); none: `augment.size_wh`. frozen: parameters whose names begin so do not learn, which
    saves their backward pass, and their norms stand still. options: arguments of the network.
    """

    model: str
    size_wh: tuple[int, int]
    augment: Augment
    sizes_wh: tuple[tuple[int, int], ...] = ()
    frozen: tuple[str, ...] = ()
    options: dict[str, Any] | None = None


class Detection(Objective):
    """A family's criterion; judged by COCO's average precision in the pixels of the pictures."""

    figure = "ap"

    def __init__(
        self, criterion: Criterion, card: Card, held_out: HeldOutPictures,
        sizes_wh: tuple[tuple[int, int], ...] = (),
    ) -> None:
        super().__init__()
        self.criterion, self.card, self.held_out, self.sizes_wh = criterion, card, held_out, sizes_wh
        self.rows: dict[int, list[dict[str, Any]]] = {}      # of each picture that was looked at

    def loss(self, net: nn.Module, batch: Any) -> dict[str, Tensor]:
        """The criterion's terms."""
        pictures, boxes, labels = batch
        if self.sizes_wh:
            pictures, boxes = multi_scale(pictures, boxes, self.sizes_wh)
        pictures = normalise(pictures, self.card.input.mean, self.card.input.std)
        return self.criterion(net, pictures, boxes, labels)

    def found(self, net: nn.Module, pictures: Tensor) -> list[Detections]:
        """The best objects in each of the pictures (B,3,H,W) uint8, in their pixels."""
        deployed = Deploy(net, self.card.input.mean, self.card.input.std).to(pictures.device)
        outputs = deployed(pictures.permute(0, 2, 3, 1).flip(-1))
        arrays = tuple(output.float().cpu().numpy() for output in outputs)
        decode, size_wh = DECODERS[self.card.boxes.layout], (pictures.shape[-1], pictures.shape[-2])
        return [
            suppressed(decode(arrays, i, _MIN_SCORE, size_wh), self.card.boxes.max_iou, False)[:_MOST]
            for i in range(len(pictures))
        ]

    def update(self, net: nn.Module, batch: Any) -> None:
        """Keep what is found; pictures that could not be read are left out."""
        pictures, _, _, indices, views = batch
        category_of = {label: label for label in range(len(self.card.classes))}
        for found, index, view in zip(
            self.found(net, pictures), indices.tolist(), views.tolist(), strict=True
        ):
            if index >= 0:
                there = replace(found, boxes=self.held_out.to_picture(found.boxes, index, view))
                self.rows[index] = coco_rows(index, there, category_of)

    def pictures(self, net: nn.Module, batch: Any) -> Tensor:
        """Up to four pictures with what is found in them at the card's threshold."""
        drawn = []
        for picture, found in zip(batch[0][:4], self.found(net, batch[0][:4]), strict=True):
            image = np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy()[..., ::-1])
            drawn.append(draw(found[found.scores >= self.card.min_score], image, self.card.classes))
        return torch.from_numpy(np.stack(drawn)[..., ::-1].copy()).permute(0, 3, 1, 2)

    def figures(self) -> dict[str, float]:
        """ap, ap50, ap75, those of small, medium and large objects, and the ap of each class."""
        rows, self.rows = _of_all_processes(self.rows), {}
        data = self.held_out.data
        unseen = [i for i in range(len(data.pictures)) if i not in rows]
        now = average_precision(data.truth(without=unseen), chain.from_iterable(rows.values()))
        return {
            "ap": now.ap, "ap50": now.ap50, "ap75": now.ap75, "small": now.small, "medium": now.medium,
            "large": now.large, **{f"ap_{name}": ap for name, (ap, _) in now.classes.items()},
        }


def _of_all_processes(rows: dict[int, Any]) -> dict[int, Any]:
    """The rows of every process of a DDP run; a picture that several have seen to come out even is one."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, rows)
    return {index: found for part in parts for index, found in part.items()}


def start(
    recipe: Recipe, names: tuple[str, ...], encoder_weights: Path | None = None
) -> tuple[nn.Module, Card]:
    """The network to train and the card of the result.

    encoder_weights: of the encoder of a new network, with the normalisation that the file names
    (`mean`, `std` in its metadata), or ImageNet's. A detector to start from keeps its own, and the layers
    that tell its classes for those of the same name.
    Raises ModelError for a network that nothing here trains, WeightsError for weights that do not fit.
    """
    base = None if recipe.model in CRITERIA else find(recipe.model, "detect")
    if base is not None and base.net not in CRITERIA:
        raise ModelError(
            f"{base.name!r} is a {base.net!r}, which is not trained here. There are: {', '.join(CRITERIA)}"
        )
    net_name = recipe.model if base is None else base.net
    config = {**(base.config if base else {}), **(recipe.options or {}), "classes": len(names)}
    net = build(net_name, **config)
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if base is not None:
        mean, std = base.input.mean, base.input.std
        _load(net, base, names)
    elif encoder_weights is not None:
        mean, std = _normalisation(encoder_weights)
        load_encoder(net.get_submodule("encoder"), encoder_weights)
    suppressed_inside = CRITERIA[net_name] is TwoStageCriterion
    card = Card(
        name="", task="detect", net=net_name, config=config, file="best.safetensors",
        licence="as the training data's", source="", names=names,
        input=Input(recipe.size_wh, "letterbox", fixed=net_name == "single_shot", mean=mean, std=std),
        boxes=Boxes("rows", 1.0) if suppressed_inside else Boxes("dense", 0.5),
    )
    return net, card


def train_detector(
    data: Path, recipe: Recipe, settings: Settings, folder: Path, *, encoder_weights: Path | None = None,
    resume: bool = False, progress: bool = False,
) -> Run:
    """Train `recipe.model` on `data` (`read_detection` says which layouts) into `folder`, from what
    `start` says. `settings.backbone_lr` is for an encoder that has learnt: one from nothing learns as
    fast as the rest."""
    train, val = read_splits(data)
    if recipe.model in CRITERIA and encoder_weights is None:
        settings = replace(settings, backbone_lr=1.0)
    torch.manual_seed(settings.seed)
    net, card = start(recipe, train.names, encoder_weights)
    card = replace(card, name=folder.name, source=f"trained on {data.name}")
    for name, parameter in net.named_parameters():
        if recipe.frozen and name.startswith(recipe.frozen):
            parameter.requires_grad_(False)
    sets = (DetectionSet(train, recipe.augment), HeldOutPictures(val, recipe.size_wh))
    objective = Detection(CRITERIA[card.net](), card, sets[1], recipe.sizes_wh)
    run = fit(
        net, objective, sets, settings, folder, card, extra={**asdict(recipe), "classes": list(card.classes)},
        resume=resume, progress=progress, collate=collate,
    )
    unread = [str(each.data.pictures[i].path) for each in sets for i in each.broken]
    if unread:
        warnings.warn(f"{len(unread)} pictures were passed over: {', '.join(unread[:5])}", stacklevel=2)
    return run


def _normalisation(path: Path) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """The mean and the deviation that an encoder's file names, or ImageNet's."""
    if path.suffix != ".safetensors":
        return IMAGENET_MEAN, IMAGENET_STD
    with safe_open(path, "numpy") as file:
        named = file.metadata() or {}
    if "mean" not in named:
        return IMAGENET_MEAN, IMAGENET_STD
    return tuple(json.loads(named["mean"])), tuple(json.loads(named["std"]))


def _load(net: nn.Module, base: Card, names: tuple[str, ...]) -> None:
    """The weights of `base`; of the layers that tell the classes, the rows of those in `names`."""
    path, known, mine = resolve(base), base.classes, net.state_dict()
    there = [(names.index(name), known.index(name)) for name in names if name in known]
    rows = torch.tensor(there, dtype=torch.int64).reshape(-1, 2)
    for name, value in state_dict(path).items():
        of_class = name.startswith("classify.") and name.endswith(_PER_CLASS)
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
    return base.net != "gfl" and name.startswith(("head.", "roi_heads.box_predictor."))
