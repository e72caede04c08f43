"""Masks by a teacher: of objects that have a box and no mask."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from vision.card import Card, alike
from vision.data.detection import DetectionData
from vision.data.masks import Segmentation
from vision.instances import Instances
from vision.people.outlines import outlined
from vision.people.person import PersonMask
from vision.tasks.prompted import PromptedSegmenter
from vision.train.detection_set import Pictures
from vision.types import Floats, Image, Ints

_FILE = "masks.jsonl"
_PERSON = "person"
_log = logging.getLogger("vision.train")
Masks = tuple[Segmentation | None, ...]
Outlines = Callable[[Image, Floats], Instances]


def masks_taught(data: DetectionData, teacher: Card, folder: Path) -> DetectionData:
    """The data with masks by a teacher for the objects that have a box alone; crowds stay without.

    teacher: of a network that tells people from their background, whose masks are of people alone, or of one for masks
    of what is pointed at. folder: of the run, where the masks are kept (masks.jsonl), so that a run that goes on does
    not ask again.
    """
    path, read = folder / _FILE, Pictures(data).read
    taught = np.array([teacher.task != PersonMask.task or alike(name) == _PERSON for name in data.names], bool)
    bare = [np.flatnonzero(taught[p.labels] & ~p.crowd & np.array([mask is None for mask in p.masks], bool))
            for p in data.pictures]
    known = _remembered(path)
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file, _opened(teacher) as outlines:
        for i, (picture, rows) in enumerate(zip(data.pictures, bare, strict=True)):
            key = str(picture.path)
            if len(rows) and len(known.get(key, ())) != len(rows) and (image := read(i)) is not None:
                found = outlines(image, picture.boxes[rows])
                known[key] = [found.rle(j) if area else None for j, area in enumerate(found.area)]
                file.write(json.dumps({"picture": key, "masks": known[key]}) + "\n")
    pictures = [replace(picture, masks=_filled(picture.masks, rows, known.get(str(picture.path), ())))
                for picture, rows in zip(data.pictures, bare, strict=True)]
    left = sum(mask is None for picture in pictures for mask in picture.masks)
    _log.info("%s: masks for %d objects; %d have none", teacher.name, sum(map(len, bare)), left)
    return replace(data, pictures=tuple(pictures))


@contextmanager
def _opened(card: Card) -> Iterator[Outlines]:
    """What gives `Instances` for a picture and boxes (N,4) in it."""
    if card.task == PromptedSegmenter.task:
        with PromptedSegmenter.load(card) as prompted:
            yield lambda image, boxes: prompted(image, boxes=boxes)
    else:
        with PersonMask.load(card) as people:
            yield lambda image, boxes: _people(people, image, boxes)


def _people(people: PersonMask, image: Image, boxes: Floats) -> Instances:
    sure = np.ones(len(boxes), np.float32)
    return Instances(boxes, sure, np.zeros(len(boxes), np.int64), outlined(people, image, boxes, sure),
                     frame_wh=(image.shape[1], image.shape[0]))


def _filled(masks: Masks, rows: Ints, added: Sequence[Segmentation | None]) -> Masks:
    """The masks of a picture, those of `rows` as they were added."""
    new = dict(zip(rows.tolist(), added, strict=False))
    return tuple(new.get(i, mask) for i, mask in enumerate(masks))


def _remembered(path: Path) -> dict[str, list[Segmentation | None]]:
    """The masks that were kept, by picture; a last line that was cut off is left out."""
    found: dict[str, list[Segmentation | None]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            found[row["picture"]] = list(row["masks"])
    return found
