"""Training of semantic segmentation: the objective, pre-trained encoders, and the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.card import IMAGENET_MEAN, IMAGENET_STD, Card, Input
from vision.drawing import class_colour
from vision.engine.program import state_dict
from vision.errors import ModelError, WeightsError
from vision.metrics.segmentation import Confusion
from vision.nets import build
from vision.train import losses
from vision.train.encoder import load_encoder
from vision.train.fit import Run, fit
from vision.train.learner import Objective
from vision.train.segmentation import IGNORE, Augment, SegmentationSet, find_pairs, normalise
from vision.train.settings import Settings

Balance = Literal["none", "median", "segnet"]
_HALF = (0.5, 0.5, 0.5)                # what the EfficientNet-Lites of TensorFlow are fed with
_PAPER_NETS = {"fcn32s", "fcn16s", "fcn8s", "segnet", "segnet-basic", "fcn-basic"}


@dataclass(frozen=True)
class Recipe:
    """What segmentation adds to `Settings`.

    model: `segnet:mobilenet_v2`, `unet:mobilenet_v2`, `segnet-basic`: a network and its encoder.
    size_wh: what the network sees in use. augment: how training pictures vary. balance: weights of
    the classes: none, recomputed median frequencies, or the SegNet paper's. balance_power: 0.5
    takes their square root, which helps the rare classes and costs the others less. dice: weight
    of the Dice loss beside cross entropy. frozen: parameters whose names begin so do not learn, which
    saves their backward pass, and their norms stand still. options: arguments of the architecture.
    """

    model: str
    size_wh: tuple[int, int]
    augment: Augment
    balance: Balance = "none"
    balance_power: float = 1.0
    dice: float = 0.0
    frozen: tuple[str, ...] = ()
    options: dict[str, Any] | None = None


def net_of(model: str, classes: int, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """The key of `NETS` and the arguments that `model` (`network:encoder`) stands for."""
    arch, _, encoder = model.partition(":")
    if arch in _PAPER_NETS:
        return arch, {"classes": classes, **({"encoder": encoder} if encoder else {}), **(options or {})}
    if not encoder:
        raise ModelError(f"{model!r} names no encoder: for example {arch}:mobilenet_v2.")
    return "smp", {"arch": arch, "encoder": encoder, "classes": classes, "options": options}


class Segmentation(Objective):
    """Cross entropy, balanced or not, and Dice; judged by the mean IoU over the whole set."""

    figure = "miou"
    weights: Tensor | None

    def __init__(
        self, names: Sequence[str], weights: Tensor | None, dice: float,
        mean: tuple[float, ...], std: tuple[float, ...],
    ) -> None:
        super().__init__()
        self.names, self.dice, self.mean, self.std = names, dice, mean, std
        self.register_buffer("weights", weights, persistent=False)
        self.confusion = Confusion(len(names), IGNORE)

    def logits(self, net: nn.Module, pictures: Tensor) -> Tensor:
        """(B,3,H,W) uint8 -> (B,C,H,W) float32 logits."""
        logits: Tensor = net(normalise(pictures, self.mean, self.std))
        return logits.float()

    def loss(self, net: nn.Module, batch: Any) -> dict[str, Tensor]:
        """`cross_entropy` and, where asked for, `dice`."""
        pictures, labels = batch
        logits, labels = self.logits(net, pictures), labels.long()
        terms = {"cross_entropy": losses.cross_entropy(logits, labels, IGNORE, self.weights)}
        if self.dice:
            terms["dice"] = self.dice * losses.dice_loss(logits, labels, IGNORE)
        return terms

    def update(self, net: nn.Module, batch: Any) -> None:
        """Count the pixels; class maps are brought to the labels' size, as in use."""
        pictures, labels = batch
        self.confusion.update(_resized(self.logits(net, pictures).argmax(1), labels.shape[-2:]), labels)

    def pictures(self, net: nn.Module, batch: Any) -> Tensor:
        """Up to four pictures, each over its labels over its prediction."""
        pictures, labels = batch[0][:4], _resized(batch[1][:4], batch[0].shape[-2:])
        palette = torch.tensor([class_colour(c)[::-1] for c in range(255)] + [(0, 0, 0)], dtype=torch.uint8)
        found = self.logits(net, pictures).argmax(1)
        painted = [palette.to(m.device)[m.long()].movedim(-1, 1) for m in (labels, found)]
        return torch.cat([pictures, *painted], 2)

    def figures(self) -> dict[str, float]:
        """miou, class_average, accuracy, and the IoU of each class, all in 0..1."""
        now = self.confusion.figures()
        per_class = {f"iou_{n}": float(v) for n, v in zip(self.names, now.iou, strict=True)}
        return {
            "miou": now.miou, "class_average": now.class_average, "accuracy": now.accuracy, **per_class
        }


def _resized(maps: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Label maps (B,H,W) at another size: of each pixel the nearest one's, as `Segmenter` does it."""
    if maps.shape[-2:] == tuple(size_hw):
        return maps
    return F.interpolate(maps[:, None].byte(), tuple(size_hw), mode="nearest-exact")[:, 0].long()


def train_segmenter(
    data: Path, recipe: Recipe, settings: Settings, folder: Path, *, encoder_weights: Path | None = None,
    weights: Path | None = None, resume: bool = False, progress: bool = False,
) -> Run:
    """Train `recipe.model` on the folder `data` (`find_pairs` says which layouts) into `folder`.

    encoder_weights: ImageNet weights of the encoder. weights: a trained `.safetensors` of the same
    network to start from instead.
    """
    train, val = find_pairs(data, "train"), find_pairs(data, "val")
    net_name, config = net_of(recipe.model, len(train.names), recipe.options)
    torch.manual_seed(settings.seed)
    net = build(net_name, **config)
    if weights is not None:
        _load(net, weights, recipe.model)
    elif encoder_weights is not None:
        load_encoder(net.get_submodule("encoder"), encoder_weights)
    for name, parameter in net.named_parameters():
        if recipe.frozen and name.startswith(recipe.frozen):
            parameter.requires_grad_(False)
    mean, std = (_HALF, _HALF) if "tf_efficientnet_lite" in recipe.model else (IMAGENET_MEAN, IMAGENET_STD)
    card = Card(
        name=folder.name, task="segment", net=net_name, config=config, file="best.safetensors",
        licence="as the training data's", source=f"trained on {data.name}", names=train.names,
        input=Input(recipe.size_wh, "stretch", mean=mean, std=std),
    )
    sets = (SegmentationSet(train, recipe.augment), SegmentationSet(val, None, recipe.size_wh))
    balanced = _weights(recipe, sets[0], len(train.names))
    objective = Segmentation(train.names, balanced, recipe.dice, mean, std)
    return fit(
        net, objective, sets, settings, folder, card, extra=asdict(recipe), resume=resume, progress=progress
    )


def _load(net: nn.Module, path: Path, model: str) -> None:
    try:
        net.load_state_dict(state_dict(path))
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"{str(path)!r} has the weights of another network than {model} ({first})."
        ) from error


def _weights(recipe: Recipe, data: SegmentationSet, classes: int) -> Tensor | None:
    match recipe.balance:
        case "none":
            return None
        case "median":
            weights = losses.median_frequency([labels.numpy() for _, labels in data.items], classes)
        case "segnet":
            weights = np.array(losses.SEGNET_WEIGHTS, np.float32)
    return losses.as_tensor(weights**recipe.balance_power)
