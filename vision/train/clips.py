"""Clips of labelled videos, to train on and to be judged by."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from vision.card import Card
from vision.data.videos import Videos
from vision.io.clips import Scheme, at_rate, read_clips, uniform, whole
from vision.train.loading import Key, drawn, one_thread
from vision.types import Image
from vision.view import stretch

if TYPE_CHECKING:
    from vision.train.action import ActionSettings


def augmentation(settings: ActionSettings, size_wh: tuple[int, int]) -> v2.Transform:
    """How a clip (T,3,H,W) is varied: torchvision draws once for all of its frames."""
    width, height = size_wh
    ratio, colour = width / height, settings.colour
    return v2.Compose([
        v2.RandomResizedCrop((height, width), settings.area, (ratio / 1.25, ratio * 1.25), antialias=True),
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(colour, colour, colour),
    ])


class TrainClips(Dataset[tuple[Tensor, int]]):
    """Varied clips (3,T,H,W) uint8 RGB with their label: `samples` of each video an epoch, one from each
    stretch of it.

    clip: frames, and their rate in frames a second. card says how a frame becomes the network's input. As many videos
    as fit into `memory` bytes are kept as small pictures, a little larger than the input; the others are read anew
    for each clip.
    """

    def __init__(
        self, videos: Videos, card: Card, clip: tuple[int, float], settings: ActionSettings, memory: int = 2 << 30,
    ) -> None:
        self.videos, self.samples = videos, settings.samples
        self.length, self.rate = clip
        self._wh, self._keeps_aspect = card.input.size_wh, card.input.resize == "crop"
        self._transform = augmentation(settings, card.input.size_wh)
        self._kept: list[Image] = []
        for path in videos.paths:
            frames = read_clips(path, at_rate(whole(1), self.rate), self._small)[0]
            memory -= frames.nbytes
            if memory < 0:
                break
            self._kept.append(frames)

    def __len__(self) -> int:
        return len(self.videos) * self.samples

    def __getitem__(self, key: Key) -> tuple[Tensor, int]:
        index, seed = key
        video, part = divmod(index, self.samples)
        with drawn(seed), one_thread():
            place = (part + float(torch.rand(()))) / self.samples
            scheme = _at_share(place, self.length)
            if video < len(self._kept):
                frames = self._kept[video]
                frames = frames[scheme(np.arange(len(frames)) / self.rate)[0]]
            else:
                frames = read_clips(self.videos.paths[video], at_rate(scheme, self.rate), self._small)[0]
            clip: Tensor = self._transform(_rgb(frames))
        return clip.transpose(0, 1), self.videos.labels[video]

    def _small(self, image: Image) -> Image:
        """The whole frame, an eighth larger than the input."""
        width, height = (side * 9 // 8 for side in self._wh)
        if self._keeps_aspect:
            ratio = max(width, height) / min(image.shape[:2])
            width, height = round(image.shape[1] * ratio), round(image.shape[0] * ratio)
        return stretch(image, (width, height)).pixels


class HeldOutClips(Dataset[tuple[Tensor, int]]):
    """Each video as `count` evenly spaced clips (K,3,T,H,W) uint8 RGB, as `prepare` shows them to the
    network, with its label."""

    def __init__(
        self, videos: Videos, prepare: Callable[[Image], Image], clip: tuple[int, float], count: int
    ) -> None:
        self.videos, self.prepare = videos, prepare
        self.scheme = at_rate(uniform(count, clip[0]), clip[1])

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: Key) -> tuple[Tensor, int]:
        clips = read_clips(self.videos.paths[key[0]], self.scheme, self.prepare)
        return torch.stack([_rgb(clip).transpose(0, 1) for clip in clips]), self.videos.labels[key[0]]


def _at_share(share: float, length: int) -> Scheme:
    """The clip whose start lies at `share`, 0..1, of the way to the last place for it."""
    return lambda times: uniform(1, length)(times) + int(share * max(1, len(times) - length + 1))


def _rgb(frames: Image) -> Tensor:
    """(T,H,W,3) BGR -> (T,3,H,W) RGB."""
    return torch.from_numpy(np.ascontiguousarray(frames[..., ::-1])).permute(0, 3, 1, 2)
