"""Training of action recognition: recipes of the networks, the objective, the run, the linear SVM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torch.nn import functional as F

from vision import zoo
from vision.card import IMAGENET_MEAN, IMAGENET_STD, Card, Clip, Input
from vision.engine.program import state_dict
from vision.errors import DataError, ModelError, UsageError, WeightsError
from vision.metrics.action import action_figures
from vision.nets import build
from vision.train.clips import ClipAugment, HeldOutClips, TrainClips, Videos
from vision.train.fit import Run, fit
from vision.train.learner import Objective
from vision.train.settings import Settings
from vision.types import Floats, Image
from vision.view import fitted
from vision.weights import resolve

_KINETICS = zoo.KINETICS_MEAN, zoo.KINETICS_STD
_IMAGENET = IMAGENET_MEAN, IMAGENET_STD
_VAL_CLIPS = 4


@dataclass(frozen=True)
class Recipe:
    """What action recognition adds to `Settings`.

    net, config: the network. size_wh, resize: its input, and how a frame gets there (as in a card).
    clip: frames of a window and their rate in frames a second. learns: the same for training, where a
    2D network sees fewer frames, further apart, of the same window. samples: clips of each video an
    epoch. smoothing: of the labels.
    """

    net: str
    size_wh: tuple[int, int]
    resize: Literal["crop", "stretch"]
    clip: tuple[int, float]
    learns: tuple[int, float]
    features: tuple[str, ...]
    config: dict[str, Any] = field(default_factory=dict)
    per_frame: bool = False
    channels: Literal["colour", "two-stream"] = "colour"
    augment: ClipAugment = field(default_factory=ClipAugment)
    samples: int = 1
    smoothing: float = 0.1


def _resnet(arch: str) -> Recipe:
    return Recipe("video_resnet", (112, 112), "crop", (16, 15.0), (16, 15.0), ("pool",), {"arch": arch})


RECIPES: dict[str, Recipe] = {
    "c3d": Recipe("c3d", (112, 112), "crop", (16, 25.0), (16, 25.0), ("fc6", "pool5")),
    "c3d-lite": Recipe(
        "c3d_lite", (56, 56), "stretch", (16, 12.5), (16, 12.5), ("fc6", "pool5"),
        {"side": 56, "difference": True},
    ),
    "r3d_18": _resnet("r3d_18"),
    "mc3_18": _resnet("mc3_18"),
    "r2plus1d_18": _resnet("r2plus1d_18"),
    "mobilenet-average": Recipe(
        "frame2d", (160, 120), "stretch", (8, 12.5), (4, 6.25), ("pool",), per_frame=True
    ),
    "mobilenet-shift": Recipe(
        "frame2d", (160, 120), "stretch", (8, 12.5), (8, 12.5), ("pool",), {"shift": True}
    ),
    "mobilenet-two-stream": Recipe(
        "frame2d", (224, 168), "stretch", (8, 6.25), (8, 6.25), ("pool",), {"two_stream": True},
        per_frame=True, channels="two-stream",
    ),
}


def recipe_of(model: str) -> Recipe:
    """The recipe `model`; ModelError names the others."""
    if model not in RECIPES:
        raise ModelError(f"no network {model!r} to train on actions. There are: {', '.join(RECIPES)}")
    return RECIPES[model]


class ActionObjective(Objective):
    """Cross entropy over clips; judged by videos, whose probabilities are the mean of their clips'."""

    figure = "video_top1"
    scale: Tensor
    shift: Tensor

    def __init__(self, names: Sequence[str], card: Card, smoothing: float) -> None:
        super().__init__()
        self.names, self.smoothing = names, smoothing
        mean, std = torch.tensor(card.input.mean), torch.tensor(card.input.std)
        self.register_buffer("scale", (1 / (255 * std)).view(3, 1, 1, 1), persistent=False)
        self.register_buffer("shift", (-mean / std).view(3, 1, 1, 1), persistent=False)
        self._seen: list[tuple[Floats, int]] = []

    def logits(self, net: nn.Module, clips: Tensor) -> Tensor:
        """(B,3,T,H,W) uint8 -> (B,C) float32, normalised as `nets.deploy.Deploy` does it in the graph."""
        logits: Tensor = net(clips.float() * self.scale + self.shift)[0]
        return logits.float()

    def loss(self, net: nn.Module, batch: Any) -> dict[str, Tensor]:
        """`cross_entropy` of single clips."""
        clips, labels = batch
        logits = self.logits(net, clips)
        return {"cross_entropy": F.cross_entropy(logits, labels, label_smoothing=self.smoothing)}

    def update(self, net: nn.Module, batch: Any) -> None:
        """Take videos (B,K,3,T,H,W) in."""
        clips, labels = batch
        probs = self.logits(net, clips.flatten(0, 1)).softmax(1).view(*clips.shape[:2], -1)
        self._seen += zip(probs.cpu().numpy(), labels.tolist(), strict=True)

    def figures(self) -> dict[str, float]:
        """video_top1, clip_top1 and the top-1 of each class."""
        figures = action_figures([p for p, _ in self._seen], [label for _, label in self._seen])
        self._seen.clear()
        per_class = {f"top1_{n}": float(v) for n, v in zip(self.names, figures.class_top1, strict=True)}
        return {"video_top1": figures.top1, "clip_top1": figures.clip_top1, **per_class}


def train_action(
    train: Videos, val: Videos, recipe: Recipe, settings: Settings, folder: Path, *,
    weights: Path | None = None, resume: bool = False, progress: bool = False,
) -> Run:
    """Train a network on `train` into `folder`; `val` is measured after every epoch.

    The last epoch's weights are kept, so that the figures on `val` are no choice of theirs; with
    `settings.patience` the best ones are, and the run stops early. weights: what to start from, where
    the last layer may have other classes; 2D networks start from the shipped ImageNet weights anyway.
    """
    if recipe.channels != "colour":
        raise UsageError("two streams are not trained by gradients here; fit their last layer: --linear-svm")
    torch.manual_seed(settings.seed)
    net, card = started(recipe, train, folder.name, weights)
    sets = (
        TrainClips(train, card, recipe.learns, recipe.augment, recipe.samples),
        HeldOutClips(val, partial(_pixels, card=card), recipe.learns, _VAL_CLIPS),
    )
    return fit(
        net, ActionObjective(train.names, card, recipe.smoothing), sets, settings, folder, card,
        extra=asdict(recipe), resume=resume, progress=progress, keep="best" if settings.patience else "last",
    )


def started(recipe: Recipe, train: Videos, name: str, weights: Path | None) -> tuple[nn.Module, Card]:
    """The network with what it starts from, and the card of what it will be."""
    config = {"classes": len(train.names), **recipe.config}
    net = build(recipe.net, **config)
    if weights is not None or recipe.net == "frame2d":
        start_from(net, weights or resolve(zoo.CARDS["mobilenet-v2"]))
    mean, std = _KINETICS if recipe.net == "video_resnet" else _IMAGENET
    return net, Card(
        name=name, task="action", net=recipe.net, config=config, file="best.safetensors",
        licence="as the training data's", source=f"trained on {len(train)} videos", names=train.names,
        input=Input(recipe.size_wh, recipe.resize, mean=mean, std=std), min_score=0.5,
        clip=Clip(*recipe.clip, recipe.per_frame, recipe.channels, recipe.features),
    )


def linear_svm(descriptors: Floats, labels: Sequence[int], c: float = 10.0) -> tuple[Floats, Floats]:
    """scikit-learn's linear SVM, one class against the rest: weights (C,D) and biases (C,), so that
    `descriptors @ weights.T + biases` are the classes' margins. descriptors: (N,D), a row a video, of a
    length of about 1. c: how dear a violated margin is. The paper's classifier on C3D's descriptors.
    """
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise DataError("a linear SVM needs videos of at least two classes")
    fitted_svm = LinearSVC(C=c, max_iter=20_000).fit(descriptors, labels)
    weights, biases = fitted_svm.coef_, fitted_svm.intercept_
    if len(classes) == 2:                                      # scikit-learn keeps one row for two
        weights, biases = np.concatenate([-weights, weights]), np.concatenate([-biases, biases])
    return np.asarray(weights, np.float32), np.asarray(biases, np.float32)


def with_head(net: nn.Module, weights: Floats, biases: Floats) -> nn.Module:
    """A 2D network with the SVM as its last layer: the margins are its logits."""
    head = net.get_submodule("fc")
    head.load_state_dict({"weight": torch.from_numpy(weights), "bias": torch.from_numpy(biases)})
    return net


def _pixels(image: Image, card: Card) -> Image:
    return fitted(image, card.input.size_wh, card.input.resize, card.input.crop).pixels


def start_from(net: nn.Module, path: Path) -> None:
    """Load what fits of a weights file: every layer of the network but the last must be there.

    An image classifier's `features` become a 2D network's `encoder`. Raises WeightsError.
    """
    state = state_dict(path)
    theirs = {name.replace("features.", "encoder.", 1): t for name, t in state.items()}
    for hook in net._load_state_dict_pre_hooks.values():
        hook(theirs, "", {}, True, [], [], [])
    mine = net.state_dict()
    fits = {name: t for name, t in theirs.items() if name in mine and mine[name].shape == t.shape}
    free = ("fc.", "fc8.")                                 # the last layer, for other classes
    lacking = [n for n in mine if n not in fits and not n.startswith(free) and "num_batches" not in n]
    if lacking:
        raise WeightsError(
            f"{str(path)!r} does not fit this network: {len(lacking)} of {len(mine)} tensors are missing or "
            f"have another shape, first {lacking[0]!r}."
        )
    net.load_state_dict(fits, strict=False)
