"""Training of Mask R-CNN (He et al. 2017) on an encoder of one's own: the network, and its losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from vision.card import IMAGENET_MEAN, IMAGENET_STD, Boxes, Card, Input
from vision.engine.program import state_dict
from vision.nets import build
from vision.nets.published_detectors import TwoStage
from vision.train import instance_masks
from vision.train.instance_masks import Masks
from vision.train.instances import NEW, InstanceSettings
from vision.train.recipe import Told, Trained
from vision.train.start import load_encoder
from vision.weights import resolve

if TYPE_CHECKING:
    from vision.train.training import Training


class RegionMasks(Masks):
    """torchvision's own losses of proposals, boxes and masks; judged as `Masks`. An object of which a crop left no
    mask, or a box thinner than a pixel, is not learnt."""

    def loss(self, net: nn.Module, batch: Any) -> dict[str, Tensor]:
        """Objectness and boxes of the proposals, classes, boxes and masks of what is made of them."""
        assert isinstance(net, TwoStage)
        pictures, objects, labels, masks, _ = batch
        targets = []
        for boxes, kinds, seen in zip(objects, labels, masks, strict=True):
            there = seen.flatten(1).bool().any(1) & ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(1)
            targets.append({"boxes": boxes[there], "labels": kinds[there] + 1, "masks": seen[there]})
        return net.losses(self.inputs(pictures), targets)


def start(settings: InstanceSettings, names: tuple[str, ...]) -> tuple[nn.Module, Card]:
    """The network to train and the card of the result: a new one for the classes `names`, or the one that the settings
    name. Raises WeightsError for an encoder's weights that do not fit."""
    base = settings.card
    if base is not None:
        net = build(NEW, **base.config)
        net.load_state_dict(state_dict(resolve(base)))
        return net, base
    config = {**settings.options, "classes": len(names)}
    net = build(NEW, **config)
    if settings.encoder_file is not None:
        load_encoder(net.get_submodule("encoder"), settings.encoder_file)
    return net, Card(
        name="", task="instances", net=NEW, config=config, file="best.safetensors", licence="as the training data's",
        source="", names=names, input=Input(settings.crop, "letterbox", mean=IMAGENET_MEAN, std=IMAGENET_STD),
        min_score=0.5, boxes=Boxes("mask_rows", 1.0),
    )


def train(training: Training, told: Told) -> Trained:
    """Train a Mask R-CNN; or, where the settings name a nanodet, a head for masks on it."""
    base = training.settings.card
    if base is not None and base.net != NEW:
        return instance_masks.train(training, told)
    return instance_masks.train(training, told, start, RegionMasks)
