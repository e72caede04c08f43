"""Pictures to learn from: decoded once where they fit, and varied anew each time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from vision.card import Card
from vision.data.files import bytes_of
from vision.data.pictures import Pictures
from vision.errors import DataError, SourceError
from vision.io.base import MAX_PIXELS
from vision.io.pictures import decode_picture
from vision.train.classify import ClassifySettings
from vision.train.loading import Key, drawn, one_thread
from vision.types import Image
from vision.view import fitted, short_side

_log = logging.getLogger("vision.train")
_KEPT = 1 << 30                        # bytes of decoded pictures


class _Decoded:
    """Pictures by their place, (H,W,3) uint8 RGB, kept while they fit. One that is broken is named and counted once,
    and the next that is whole stands in for it."""

    def __init__(self, pictures: Pictures, made: Callable[[Image], Image]) -> None:
        self.pictures, self.made = pictures, made
        self.kept: dict[int, Image] = {}
        self.room = _KEPT
        self.broken: set[int] = set()

    def __call__(self, i: int) -> tuple[int, Image]:
        """The place whose picture it is, and the picture."""
        for place in (*range(i, len(self.pictures)), *range(i)):
            if place in self.broken:
                continue
            picture = self.kept.get(place)
            picture = self._read(place) if picture is None else picture
            if picture is not None:
                return place, picture
        raise DataError(f"none of the {len(self.pictures)} pictures can be read; the first is "
                        f"{str(self.pictures.paths[0])!r}.")

    def _read(self, place: int) -> Image | None:
        path = self.pictures.paths[place]
        try:
            picture = self.made(decode_picture(bytes_of(path, MAX_PIXELS), str(path)))
        except (SourceError, DataError) as error:
            self.broken.add(place)
            _log.warning("passed over, %d so far: %s", len(self.broken), error)
            return None
        rgb = np.ascontiguousarray(picture[..., ::-1])
        if rgb.nbytes < self.room:
            self.room -= rgb.nbytes
            self.kept[place] = rgb
        return rgb


class TrainPictures(Dataset[tuple[Tensor, Tensor]]):
    """Items (3,S,S) uint8 RGB and the label () int64, or (C,) float32 where there may be several."""

    def __init__(self, pictures: Pictures, card: Card, settings: ClassifySettings) -> None:
        self.pictures, self.settings = pictures, settings
        self.side = card.input.size_wh[0]
        self.shift = (4 if self.side <= 32 else 0) if settings.shift is None else settings.shift
        self.labels = targets(pictures, settings.multilabel)
        self.decoded = _Decoded(pictures, self._prepared)
        self.policy = _policy(settings)
        first = [labels[0] if labels else 0 for labels in pictures.labels]
        self.members = [np.flatnonzero(np.array(first) == c) for c in range(len(pictures.names))]
        self.members = [places for places in self.members if len(places)]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor]:
        index, seed = key
        random = np.random.default_rng(seed)
        if self.settings.balance == "sampling":
            index = int(random.choice(self.members[random.integers(len(self.members))]))
        place, picture = self.decoded(index)
        picture = self._varied(picture, random)
        x = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)
        if self.policy is not None:
            with drawn(seed), one_thread():
                x = self.policy(x)
        return x, self.labels[place]

    def _prepared(self, picture: Image) -> Image:
        """As large as crops of it need: a picture of a camera takes 36 MB."""
        if self.shift or self.settings.crop in ("letterbox", "stretch"):
            return fitted(picture, (self.side, self.side), _RESIZE[self.settings.crop], 1.0).pixels
        most = round(self.side * 1.5)
        return short_side(picture, most) if min(picture.shape[:2]) > most else picture

    def _varied(self, picture: Image, random: np.random.Generator) -> Image:
        settings, side = self.settings, self.side
        if self.shift:
            room = self.shift
            x, y = random.integers(0, 2 * room + 1, 2)
            padded = cv2.copyMakeBorder(picture, room, room, room, room, cv2.BORDER_REFLECT_101)
            picture = padded[y : y + side, x : x + side]
        elif settings.area != (1.0, 1.0):
            picture = _cropped(picture, settings.area, side, random)
        elif picture.shape[:2] != (side, side):
            picture = fitted(picture, (side, side), _RESIZE[settings.crop], 1.0).pixels
        if random.random() < settings.flip:
            picture = picture[:, ::-1]
        if settings.colour:
            picture = _coloured(np.ascontiguousarray(picture), settings.colour, random)
        return picture


_RESIZE = {"centre": "crop", "letterbox": "letterbox", "stretch": "stretch", "ten": "ten"}     # as a card says it


def resize_of(settings: ClassifySettings) -> Any:
    """The card's word for what is seen of a picture."""
    return _RESIZE[settings.crop]


class HeldOutPictures(Dataset[tuple[Tensor, Tensor]]):
    """Items as `TrainPictures` has them, each as it is seen in use."""

    def __init__(self, pictures: Pictures, card: Card, multilabel: bool) -> None:
        self.pictures, self.how = pictures, card.input
        self.labels = targets(pictures, multilabel)
        self.decoded = _Decoded(pictures, self._seen)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor]:
        place, picture = self.decoded(key[0])
        return torch.from_numpy(picture).permute(2, 0, 1), self.labels[place]

    def _seen(self, picture: Image) -> Image:
        return fitted(picture, self.how.size_wh, self.how.resize, self.how.crop).pixels


def targets(pictures: Pictures, multilabel: bool) -> Tensor:
    """The labels (N,) int64, or (N,C) float32 with ones."""
    if not multilabel:
        return torch.tensor([labels[0] for labels in pictures.labels])
    ones = torch.zeros(len(pictures), len(pictures.names))
    for row, labels in enumerate(pictures.labels):
        ones[row, list(labels)] = 1
    return ones


def _cropped(picture: Image, area: tuple[float, float], side: int, random: np.random.Generator) -> Image:
    """A random part with a share of the area and an aspect of 3:4 to 4:3 (Szegedy et al. 2015), resized."""
    height, width = picture.shape[:2]
    for _ in range(10):
        pixels = random.uniform(*area) * height * width
        ratio = np.exp(random.uniform(-0.2877, 0.2877))
        w, h = round((pixels * ratio) ** 0.5), round((pixels / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            break
    else:
        w = h = min(width, height)
    x, y = random.integers(0, width - w + 1), random.integers(0, height - h + 1)
    how = cv2.INTER_AREA if min(w, h) > 2 * side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture[y : y + h, x : x + w], (side, side), interpolation=how), np.uint8)


def _coloured(picture: Image, strength: float, random: np.random.Generator) -> Image:
    """Brightness, contrast and saturation times 1 - strength to 1 + strength."""
    bright, contrast, saturated = (float(f) for f in random.uniform(max(0.0, 1 - strength), 1 + strength, 3))
    mean = float(picture.mean()) * bright
    levels = (np.arange(256) * bright - mean) * contrast + mean
    changed = cv2.LUT(picture, levels.clip(0, 255).astype(np.uint8))
    grey = cv2.cvtColor(cv2.cvtColor(changed, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(changed, saturated, grey, 1 - saturated, 0), np.uint8)


def _policy(settings: ClassifySettings) -> Any:
    """What torchvision does after the rest; None where it has nothing to do."""
    steps: list[Any] = {
        "none": [], "randaugment": [v2.RandAugment()], "augmix": [v2.AugMix()], "trivial": [v2.TrivialAugmentWide()],
    }[settings.policy]
    if settings.erase:
        steps = [*steps, v2.RandomErasing(settings.erase)]
    return v2.Compose(steps) if steps else None
