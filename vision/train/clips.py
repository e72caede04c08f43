"""Labelled videos: folders of classes, UCF101's split lists, folds by group; clips to train on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from vision.card import Card
from vision.errors import DataError
from vision.io.clips import Scheme, at_rate, read_clips, uniform, whole
from vision.io.listing import VIDEO_SUFFIXES
from vision.train.data import Key, drawn, one_thread
from vision.types import Image
from vision.view import stretch

_GROUP = re.compile(r"_(g\d+)_c\d+$")                      # v_Punch_g08_c01: UCF101's group
_LISTS = ("", "splits", "ucfTrainTestlist", "../ucfTrainTestlist")


@dataclass(frozen=True)
class Videos:
    """Labelled videos: paths; labels, indices into names; groups, what must not straddle a split."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    groups: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def where(self, keep: Sequence[bool]) -> Videos:
        """The videos for which `keep` holds, with the same names."""
        return Videos(
            tuple(compress(self.paths, keep)), tuple(compress(self.labels, keep)),
            tuple(compress(self.groups, keep)), self.names,
        )

    def named(self, names: Sequence[str]) -> Videos:
        """The same videos with labels for the classes of a model; DataError for one it does not have."""
        strange = sorted(set(self.names) - set(names))
        if strange:
            raise DataError(
                f"the model does not know {', '.join(strange[:5])} ({len(strange)} of the data's "
                f"{len(self.names)} classes). It knows {len(names)}: {', '.join(names[:5])}. "
                "Give a model that was trained on these classes."
            )
        to = {name: i for i, name in enumerate(names)}
        return Videos(self.paths, tuple(to[self.names[i]] for i in self.labels), self.groups, tuple(names))


def find_videos(root: Path) -> Videos:
    """The videos of a folder that holds a folder for each class, in order of their names.

    A group is UCF101's (`_g08_` in the name, of one class), any other video is its own. Raises
    DataError for no classes, or a class without videos.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {str(root)!r}. Give one that holds a folder for each class.")
    rows: list[tuple[Path, int, str]] = []
    folders = [f for f in sorted(root.iterdir()) if f.is_dir() and f.name not in _LISTS]
    for label, folder in enumerate(folders):
        files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in VIDEO_SUFFIXES)
        if not files:
            raise DataError(f"the class folder {str(folder)!r} has no videos. Fill it, or take it away.")
        rows += [(file, label, group_of(file)) for file in files]
    if not rows:
        raise DataError(f"{str(root)!r} holds no class folders. Give one that holds a folder for each class.")
    paths, labels, groups = zip(*rows, strict=True)
    return Videos(paths, labels, groups, tuple(f.name for f in folders))


def group_of(path: Path) -> str:
    """The group of a video within its class: `g08`, or the file's own name."""
    found = _GROUP.search(path.stem)
    return found[1] if found else path.stem


def listed(root: Path, kind: Literal["train", "test"], split: int) -> tuple[Videos, int]:
    """The videos of UCF101's `trainlist0N.txt` or `testlist0N.txt`, and how many listed ones are not there.

    The lists lie in `root`, in its `splits` or `ucfTrainTestlist`, or beside it. Videos that are not there
    are left out, so that a part of the data set can be used; it is for the caller to say so. Raises
    DataError where the list is missing, or nothing of what it names is there.
    """
    videos = find_videos(root)
    name = f"{kind}list{split:02d}.txt"
    path = next((p for p in (root / folder / name for folder in _LISTS) if p.is_file()), None)
    if path is None:
        raise DataError(
            f"there is no {name} in {str(root)!r}, its 'splits' or 'ucfTrainTestlist', or beside it. "
            "Copy UCF101's lists there, or split by group: vision train action --folds 5."
        )
    wanted = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    here = {f"{p.parent.name}/{p.name}" for p in videos.paths}
    missing = [w for w in wanted if w not in here]
    if len(missing) == len(wanted):
        raise DataError(
            f"none of the {len(wanted)} videos that {str(path)!r} names is in {str(root)!r}, first "
            f"{wanted[0] if wanted else 'of an empty list'}."
        )
    chosen = set(wanted)
    return videos.where([f"{p.parent.name}/{p.name}" in chosen for p in videos.paths]), len(missing)


def folds(videos: Videos, k: int) -> list[tuple[Videos, Videos]]:
    """k pairs of training and test videos: the groups in order of their names are dealt in turn, so
    that g08, g13, g18 are tested first, g09, g14, g19 next. No group is in both parts of a pair."""
    order = sorted(set(videos.groups))
    if len(order) < k:
        raise DataError(f"{k} folds need at least {k} groups; there are {len(order)}.")
    fold = {group: i % k for i, group in enumerate(order)}
    return [
        (
            videos.where([fold[g] != n for g in videos.groups]),
            videos.where([fold[g] == n for g in videos.groups]),
        )
        for n in range(k)
    ]


def class_counts(videos: Videos) -> dict[str, int]:
    """How many videos each class has."""
    counts = Counter(videos.labels)
    return {name: counts[i] for i, name in enumerate(videos.names)}


@dataclass(frozen=True)
class ClipAugment:
    """How a training clip varies, all of its frames alike: area, the share of the picture that a crop
    covers, a range; colour, the strength of the change of brightness, contrast and saturation. Half of
    the clips are mirrored."""

    area: tuple[float, float] = (0.5, 1.0)
    colour: float = 0.3

    def transform(self, size_wh: tuple[int, int]) -> v2.Transform:
        """The transforms of torchvision: they draw once for a clip (T,3,H,W)."""
        width, height = size_wh
        ratio = width / height
        return v2.Compose([
            v2.RandomResizedCrop((height, width), self.area, (ratio / 1.25, ratio * 1.25), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(self.colour, self.colour, self.colour),
        ])


class TrainClips(Dataset[tuple[Tensor, int]]):
    """Varied clips (3,T,H,W) uint8 RGB with their label: `samples` of each video an epoch, one from each
    stretch of it.

    clip: frames, and their rate in frames a second. card says how a frame becomes the network's
    input. As many videos as fit into `memory` bytes are kept as small pictures, a little larger than
    the input; the others are read anew for each clip.
    """

    def __init__(
        self, videos: Videos, card: Card, clip: tuple[int, float], augment: ClipAugment, samples: int = 1,
        memory: int = 2 << 30,
    ) -> None:
        self.videos, self.samples = videos, samples
        self.length, self.rate = clip
        self._wh, self._keeps_aspect = card.input.size_wh, card.input.resize == "crop"
        self._transform = augment.transform(card.input.size_wh)
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
