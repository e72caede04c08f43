"""A classifier with fewer channels: pruned, refitted, then trained on the common trainer, taught by what it was."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vision.card import Card, alike
from vision.errors import DataError, UsageError
from vision.nets import build
from vision.train.classification import Classification
from vision.train.classify import ClassifySettings
from vision.train.picture_set import TrainPictures
from vision.train.pruning import Pruned, keep, prune
from vision.train.recipe import Told, Trained
from vision.train.refit import refit
from vision.train.start import head_of, load_net
from vision.train.training import RECIPES, Training
from vision.weights import resolve
from vision.zoo import find

_LOOKS = 96                              # pictures on which what is left is refitted
_BATCH = 32


def smaller(
    model: str, data: Path, folder: Path, share: float, settings: ClassifySettings, told: Told = lambda progress: None
) -> tuple[Pruned, Trained]:
    """Take `share` of a classifier's multiply-adds away, and train what is left.

    model: a name or a path, trained on the classes of `data`, which is what `vision train classify` takes. folder: of
    the run, with `pruned.safetensors` as it is before training. settings: of the training; its model and teacher are
    set here, unless it names a teacher.

    Raises UsageError for a model that is no classifier of torch or knows other classes, and what `prune` and `Training`
    raise.
    """
    card = find(model)
    if card.task != "classify" or card.form != "network":
        raise UsageError(f"networks of torch for classify are pruned; {card.name!r} is a {card.form} for {card.task}. "
                         "Train one first: vision train classify")
    learned, _ = parts = RECIPES["classify"].read(data, settings)
    _same_classes(card, learned.names, data)
    if (folder / settings.checkpoint).is_file():
        raise UsageError(f"{str(folder)!r} holds a run already. Name another file: -o FILE")
    net = build(card.net, **card.config)
    load_net(net, resolve(card))
    see = Classification(card, settings).inputs
    head = net.get_submodule(head_of(net, len(card.classes)).rstrip("."))
    whole = copy.deepcopy(net).eval()
    made = prune(net.eval(), card, share, head)
    refit(net.eval(), whole, [see(batch) for batch in _batches(learned, card, settings)])
    folder.mkdir(parents=True, exist_ok=True)
    keep(folder / "pruned.safetensors", net, made)
    settings = replace(settings, model=str(folder / "pruned.safetensors"), teacher=settings.teacher or str(model),
                       patience=settings.epochs)            # so that the best epoch is kept
    return made, Training("classify", parts, folder, settings).run(told)


def _same_classes(card: Card, names: tuple[str, ...], data: Path) -> None:
    if [alike(name) for name in card.classes] != [alike(name) for name in names]:
        raise DataError(
            f"{str(data)!r} has the classes {', '.join(names[:5])}, and {card.name!r} knows "
            f"{', '.join(card.classes[:5])}. Train it on them first: vision train classify --model {card.name} --data "
            f"{data}"
        )


def _batches(pictures: Any, card: Card, settings: ClassifySettings) -> list[Tensor]:
    """Some pictures (B,3,S,S) uint8 RGB, evenly from all of them, as a training varies them."""
    items = TrainPictures(pictures, card, settings)
    places = torch.linspace(0, len(items) - 1, min(len(items), _LOOKS)).round().int().tolist()
    some = torch.stack([items[i, i][0] for i in places])
    return [some[i : i + _BATCH] for i in range(0, len(some), _BATCH)]
