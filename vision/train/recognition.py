"""Training of action recognition: the objective, the run, the linear SVM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torch.nn import functional as F

from vision import zoo
from vision.card import IMAGENET_MEAN, IMAGENET_STD, Card, Clip, Input
from vision.data.videos import Videos
from vision.errors import DataError
from vision.io.clips import whole
from vision.metrics.action import action_figures
from vision.nets import build
from vision.pulled import KINETICS_MEAN, KINETICS_STD
from vision.tasks.action import Recognizer
from vision.train.captions import SHOWN, captioned, found_for
from vision.train.clips import HeldOutClips, TrainClips
from vision.train.fit import fit, save_weights
from vision.train.loading import of_all
from vision.train.recipe import Objective, Parts, Progress, Told, Trained
from vision.train.start import load_net
from vision.types import NONE, Floats, Image
from vision.view import fitted
from vision.weights import resolve

if TYPE_CHECKING:
    from vision.train.action import ActionSettings
    from vision.train.training import Training

_KINETICS = KINETICS_MEAN, KINETICS_STD
_IMAGENET = IMAGENET_MEAN, IMAGENET_STD
_VAL_CLIPS = 4
_APART = 3.0                             # factor on margins where a class is none of the others


class ActionObjective(Objective):
    """Cross entropy over clips; judged by videos, whose probabilities are the mean of their clips'."""

    words: ClassVar[Mapping[str, str]] = {"video_top1": "top-1"}

    def __init__(self, card: Card, smoothing: float) -> None:
        super().__init__(card)
        self.smoothing = smoothing
        self._seen: list[tuple[Floats, int]] = []

    def logits(self, net: nn.Module, clips: Tensor) -> Tensor:
        """(B,3,T,H,W) uint8 -> (B,C) float32."""
        logits: Tensor = net(self.inputs(clips))[0]
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

    def pictures(self, net: nn.Module, batch: Any) -> Tensor:
        """The middle frame of each video's middle clip, with the action that was found for the clip."""
        clips, labels = batch
        middle = clips[:SHOWN, clips.shape[1] // 2]
        probs = self.logits(net, middle).softmax(1).cpu()
        lines = found_for(probs, labels[:SHOWN].cpu(), self.card.classes)
        return captioned(middle[:, :, middle.shape[2] // 2], *lines)

    def figures(self) -> dict[str, float]:
        """video_top1, clip_top1 and the top-1 of each class."""
        probs, labels = zip(*of_all(self._seen, self.held), strict=True)
        self._seen.clear()
        figures = action_figures(probs, labels)
        per_class = {f"top1_{n}": float(v) for n, v in zip(self.card.classes, figures.class_top1, strict=True)}
        return {"video_top1": figures.top1, "clip_top1": figures.clip_top1, **per_class}


def train(training: Training, told: Told) -> Trained:
    """Train a network on clips, or fit its last layer as a linear SVM.

    The last epoch's weights are kept, so that the figures on what is held out are no choice of theirs; with
    `patience` the best ones are, and the run stops early.
    """
    settings: ActionSettings = training.settings
    net, card = start(settings, training)
    if settings.linear_svm:
        return _fit_svm(net, card, training, told)
    learned, held = training.data
    sets = (
        TrainClips(learned, card, settings.net.learns, settings),
        HeldOutClips(held, partial(_pixels, card=card), settings.net.learns, _VAL_CLIPS),
    )
    parts = Parts(net, ActionObjective(card, settings.smoothing), *sets, keep="best" if settings.patience else "last")
    return fit(parts, training, told)


def start(settings: ActionSettings, training: Training) -> tuple[nn.Module, Card]:
    """The network with what it starts from - a 2D one with the shipped ImageNet weights, unless others are given -
    and the card of what it will be."""
    of = settings.net
    config = {"classes": len(training.names), **of.config}
    net = build(of.net, **config)
    if settings.weights is not None or of.net == "frame2d":
        load_net(net, settings.weights or resolve(zoo.CARDS["mobilenet-v2"]), new_last_layer=True)
    mean, std = _KINETICS if of.net == "video_resnet" else _IMAGENET
    return net, Card(
        name=training.folder.name, task="action", net=of.net, config=config, file="best.safetensors",
        licence="as the training data's", source=f"trained on {len(training.data[0])} videos", names=training.names,
        input=Input(of.size_wh, of.resize, mean=mean, std=std), min_score=0.5,
        clip=Clip(*of.clip, of.per_frame, of.channels, of.features),
    )


def linear_svm(
    descriptors: Floats, labels: Sequence[int], c: float = 10.0, none: int | None = None
) -> tuple[Floats, Floats]:
    """scikit-learn's linear SVM, one class against the rest: weights (C,D) and biases (C,), so that
    `descriptors @ weights.T + biases` are the classes' margins. descriptors: (N,D), a row a video, of a
    length of about 1. c: how dear a violated margin is. The paper's classifier on C3D's descriptors.

    none: the class of what is none of the others, however many its videos are: all together weigh as much as
    all others. Margins are then three times as far apart, so that what is known is told from it more surely.
    Raises DataError for one class alone.
    """
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise DataError("a linear SVM needs videos of at least two classes")
    counts = np.array(labels) == none
    weight = np.where(counts, (~counts).sum() / max(1, counts.sum()), 1.0)
    fitted_svm = LinearSVC(C=c, max_iter=20_000).fit(descriptors, labels, sample_weight=weight)
    weights, biases = fitted_svm.coef_, fitted_svm.intercept_
    if len(classes) == 2:                                      # scikit-learn keeps one row for two
        weights, biases = np.concatenate([-weights, weights]), np.concatenate([-biases, biases])
    apart = _APART if counts.any() else 1.0
    return np.asarray(apart * weights, np.float32), np.asarray(apart * biases, np.float32)


def with_head(net: nn.Module, weights: Floats, biases: Floats) -> nn.Module:
    """A 2D network with the SVM as its last layer: the margins are its logits."""
    head = net.get_submodule("fc")
    head.load_state_dict({"weight": torch.from_numpy(weights), "bias": torch.from_numpy(biases)})
    return net



def _fit_svm(net: nn.Module, card: Card, training: Training, told: Told) -> Trained:
    """Fit the SVM on the descriptors of the frozen network, and make it the network's last layer."""
    learned: Videos = training.data[0]
    path, feature = training.folder / "best.safetensors", training.settings.feature or card.clip.features[0]
    part = path.with_name("frozen.safetensors")
    save_weights(part, net, card, {})
    rows = training.shared
    todo = [video for video in learned.paths if video not in rows]
    with Recognizer.load(part) as frozen:
        for done, video in enumerate(todo, start=1):
            rows[video] = frozen.features(video, feature, whole(frozen.length))[0]
            told(Progress(1, 1, done / len(todo), float("nan"), {}, 0.0, False))
    part.unlink()
    none = learned.names.index(NONE) if NONE in learned.names else None
    head = linear_svm(np.stack([rows[p] for p in learned.paths]), learned.labels, none=none)
    notes = {"settings": training.facts, "head": "linear SVM", "videos": len(learned)}
    save_weights(path, with_head(net, *head), card, notes)
    return Trained(path, {}, 1)


def _pixels(image: Image, card: Card) -> Image:
    return fitted(image, card.input.size_wh, card.input.resize, card.input.crop).pixels
