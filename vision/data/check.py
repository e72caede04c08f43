"""What a data set holds, whatever its task, and what is wrong in it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vision.data.detection import DetectionData, read_detection
from vision.data.files import bytes_of
from vision.data.pictures import read_pictures
from vision.data.segmentation import IGNORE, find_pairs, read_pair
from vision.data.videos import find_videos
from vision.errors import DataError, SourceError
from vision.io.base import MAX_PIXELS
from vision.io.pictures import decode_picture
from vision.types import Image

_ALIKE = 3                             # of 64 bits that may differ between two pictures that look the same
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Entry:
    """A picture (or a video) of a data set. classes: what is in it. boxes: (N,4) xyxy in its pixels, where it has some,
    in the order of `classes`."""

    path: Path
    split: str
    classes: tuple[str, ...]
    boxes: tuple[tuple[float, ...], ...] = ()


@dataclass
class Checked:
    """task: that the data set is for. entries: its pictures. problems: each kind with its places. sizes: of the
    pictures that could be read, how often. objects: how often each class is there, by split."""

    task: str
    entries: list[Entry]
    problems: dict[str, list[str]] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    objects: dict[str, Counter[str]] = field(default_factory=dict)

    def note(self, kind: str, place: str) -> None:
        """Something is wrong."""
        self.problems.setdefault(kind, []).append(place)


def check(root: Path, told: Callable[[float], None] = lambda share: None) -> Checked:
    """Read a data set of any task - folders of classes, a CSV, COCO, YOLO, VOC, index maps, folders of videos - and
    every picture of it. told: the share that is done. Raises DataError for what is none of these."""
    found = _found(root)
    for entry in found.entries:
        found.objects.setdefault(entry.split, Counter()).update(entry.classes)
    train = found.objects.get("train", Counter())
    for split, counts in found.objects.items():
        for name in sorted(set(counts) - set(train)) if split != "train" and train else ():
            found.note(f"classes of {split} that train has not", name)
    if found.task != "action":
        _look(found, told)
    return found


def _found(root: Path) -> Checked:
    if not root.exists():
        raise DataError(f"there is no {str(root)!r}. Give a folder of labelled data, or a CSV.")
    tried: dict[str, str] = {}
    for read in (_detection, _segmentation, _videos, _classification):
        try:
            found = read(root)
        except DataError as error:
            tried[read.__name__] = str(error)
            continue
        if found is not None:
            return found
    why = tried.get(_detection.__name__) or next(reversed(tried.values()))
    raise DataError(f"{str(root)!r} is no data set that is known here. {why}")


def _detection(root: Path) -> Checked | None:
    if root.is_file() and root.suffix not in (".yaml", ".yml"):
        return None
    made, names = Checked("detect", []), None
    for split in _SPLITS:
        try:
            data: DetectionData = read_detection(root, split, names)
        except DataError as error:
            if "has no split" not in str(error) and "has no 'test'" not in str(error):       # few sets have one
                made.note(f"{split} cannot be used", str(error))
            continue
        names = data.names
        for picture in data.pictures:
            classes = tuple(data.names[label] for label in picture.labels)
            made.entries.append(Entry(picture.path, split, classes, tuple(map(tuple, picture.boxes.tolist()))))
        for kind, places in data.problems.items():
            for place in places:
                made.note(f"{split}: {kind}", place)
    if made.problems and not made.entries:               # it is a set of boxes, and this is what is wrong in it
        raise DataError("; ".join(dict.fromkeys(places[0] for places in made.problems.values())))
    return made if made.entries else None


def _segmentation(root: Path) -> Checked | None:
    made = Checked("segment", [])
    for split in _SPLITS:
        try:
            pairs = find_pairs(root, split)
        except DataError:
            continue
        for path in pairs.without:
            made.note(f"{split}: pictures without labels", path.name)
        for i, path in enumerate(pairs.pictures):
            try:
                labels = np.unique(read_pair(pairs, i)[1])
            except DataError as error:
                made.note("masks out of place", str(error))
                labels = np.zeros(0, np.uint8)
            classes = tuple(pairs.names[label] for label in labels if label != IGNORE)
            made.entries.append(Entry(path, split, classes))
    return made if made.entries else None


def _videos(root: Path) -> Checked | None:
    if root.is_file():
        return None
    videos = find_videos(root)
    return Checked("action", [Entry(path, "train", (videos.names[label],))
                              for path, label in zip(videos.paths, videos.labels, strict=True)])


def _classification(root: Path) -> Checked:
    several = root.is_file() and "|" in root.read_text(encoding="utf-8", errors="replace")
    train, val = read_pictures(root, multilabel=several)
    made = Checked("classify", [])
    for split, part in (("train", train), ("val", val)):
        for path, labels in zip(part.paths, part.labels, strict=True) if part is not None else ():
            made.entries.append(Entry(path, split, tuple(part.names[label] for label in labels) if part else ()))
        for line in part.summary() if part is not None else ():
            made.note(split, line)
    return made


def _look(found: Checked, told: Callable[[float], None]) -> None:
    """Read every picture once: broken ones, sizes, those that are there twice, by their bytes and by their look."""
    bytes_seen: dict[str, Entry] = {}
    looks: list[int] = []
    seen: list[Entry] = []
    for number, entry in enumerate(found.entries, start=1):
        try:
            content = bytes_of(entry.path, MAX_PIXELS)
            picture = decode_picture(content, str(entry.path))
        except (SourceError, DataError) as error:
            found.note("broken", str(error))
            continue
        found.sizes[picture.shape[1], picture.shape[0]] += 1
        if max(picture.shape[:2]) > 8 * min(picture.shape[:2]):
            found.note("very long and narrow", _named(entry))
        digest = hashlib.sha256(content).hexdigest()
        if digest in bytes_seen:
            found.note(_twice("the same file", bytes_seen[digest], entry), _pair(bytes_seen[digest], entry))
        else:
            bytes_seen[digest] = entry
            looks.append(look(picture))
            seen.append(entry)
        if number % 20 == 0:
            told(number / len(found.entries))
    for one, other in alike(np.array(looks, np.uint64)):
        found.note(_twice("the same by its look", seen[one], seen[other]), _pair(seen[one], seen[other]))


def look(picture: Image) -> int:
    """64 bits of what a picture looks like: whether each of 8x8 places is darker than its right neighbour."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = (small[:, 1:] > small[:, :-1] + 1).flatten()
    return int(np.packbits(bits).view(">u8")[0])


def alike(looks: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Pairs of places whose looks differ in few bits, each with the first that it is like. A picture of one tone is
    like no other."""
    if not len(looks):
        return
    plain = np.bitwise_count(looks)
    for place in range(1, len(looks)):
        differing = np.bitwise_count(looks[:place] ^ looks[place])
        near = np.flatnonzero((differing <= _ALIKE) & (plain[:place] > 8))
        if len(near) and plain[place] > 8:
            yield int(near[0]), place


def _twice(what: str, one: Entry, other: Entry) -> str:
    where = "within a split" if one.split == other.split else "in two splits"
    classes = "" if set(one.classes) == set(other.classes) else ", labelled differently"
    return f"{what} {where}{classes}"


def _named(entry: Entry) -> str:
    return "/".join(entry.path.parts[-2:])


def _pair(one: Entry, other: Entry) -> str:
    return f"{_named(one)} = {_named(other)}"


def examples(found: Checked, each: int = 6) -> dict[str, Sequence[Entry]]:
    """Some pictures of each class, the first ones."""
    some: dict[str, list[Entry]] = {}
    for entry in found.entries:
        for name in dict.fromkeys(entry.classes):
            if len(some.setdefault(name, [])) < each:
                some[name].append(entry)
    return dict(sorted(some.items()))
