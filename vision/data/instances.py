"""Data sets with masks: COCO JSON, YOLO folders with polygons, Pascal VOC with its maps of objects, label maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vision.card import alike
from vision.data.detection import DetectionData, read_detection
from vision.data.files import class_names, text_of
from vision.data.layouts import LOOKED_FOR, Found, Layout, Problem, Problems, Row, coco, note, voc, yolo
from vision.data.masks import box_around
from vision.data.segmentation import IGNORE, indices
from vision.errors import DataError
from vision.io.pictures import PICTURE_SUFFIXES, natural
from vision.masks import packed, run_lengths

_PER_CLASS = 1000                      # numbers that a class has in a map of several classes, as in Cityscapes
_LOOKED_FOR = f"{LOOKED_FOR}; {{split}}/images with {{split}}/instances and classes.txt (label maps)"


def voc_objects(data: Path, split: str, problems: Problems) -> Layout | None:
    """Pascal VOC: `ImageSets/Segmentation/SPLIT.txt` (or `Main`), and in `SegmentationObject` a map for each picture,
    whose values are the objects' numbers in the XML, from 1. What is void there, 255, is of no object."""
    layout = voc(data, split, problems, "Segmentation") or voc(data, split, problems)
    if layout is None:
        return None

    def masked(one: Found) -> Found:
        masks = _objects(data / "SegmentationObject" / f"{one.path.stem}.png", problems)
        return one._replace(rows=[row._replace(mask=masks.get(i)) for i, row in enumerate(one.rows, start=1)])

    return layout._replace(pictures=map(masked, layout.pictures))


def label_maps(data: Path, split: str, problems: Problems) -> Layout | None:
    """`SPLIT/images` and `SPLIT/instances`, PNGs of 8 or 16 bit of the pictures' names, as `--instance-maps` writes
    them: a pixel's value is its object's number, 0 is none. `classes.txt` names the classes, one a line. With one class
    every object is of it; with several a value is 1000 times the class's line, from 1, plus the object's number."""
    images, maps = data / split / "images", data / split / "instances"
    if not images.is_dir() or not maps.is_dir():
        return None
    listed = data / "classes.txt"
    if not listed.is_file():
        raise DataError(f"{str(data)!r} has no classes.txt: the names of the objects' classes, one a line.")
    lines = [line.strip() for line in text_of(listed).splitlines()]
    names = class_names([line for line in lines if line], listed)

    def row(value: int, mask: dict[str, Any]) -> Row:
        line = 1 if len(names) == 1 else value // _PER_CLASS
        box = box_around(mask, (mask["size"][1], mask["size"][0]))
        return Row(names[line - 1] if 0 < line <= len(names) else f"class {line}", box, mask=mask)

    def found() -> Iterator[Found]:
        for path in sorted((p for p in images.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES), key=natural):
            masks = _objects(maps / f"{path.stem}.png", problems, void=0)
            sizes = {(mask["size"][1], mask["size"][0]) for mask in masks.values()}
            yield Found(path, next(iter(sizes), None), [row(*one) for one in masks.items()])

    return Layout(names, found())


_LAYOUTS = (coco, voc_objects, yolo, label_maps)


def read_instances(
    data: Path, known: Sequence[str] | None, *, boxes: bool = False
) -> tuple[DetectionData, DetectionData]:
    """`train` and `val` of the data set in the folder `data`, with masks; labels are those of the classes in `known`,
    which a detector has, or of the data's own. boxes: whether `train` may do with boxes alone.

    Raises DataError where no layout fits, the classes differ, or there is no mask to use.
    """
    train = read_masks(data, "train")
    val = read_masks(data, "val", train.names)
    splits = (train, val) if known is None else (_relabelled(train, known), _relabelled(val, known))
    for split, part in zip(("train", "val"), splits, strict=True):
        bare = boxes and split == "train"
        if not any((mask or bare) and not crowd for p in part.pictures
                   for mask, crowd in zip(p.masks, p.crowd, strict=True)):
            wrong = "; ".join(part.summary()) or "they hold crowds alone"
            raise DataError(f"{str(data)!r} has {len(part)} pictures for {split!r} and no mask to use: {wrong}.")
    return splits


def read_masks(data: Path, split: str, names: Sequence[str] | None = None) -> DetectionData:
    """A split of the data set in the folder `data`, with masks; names and what is raised: as `read_detection`."""
    return read_detection(data, split, names, layouts=_LAYOUTS, looked_for=_LOOKED_FOR, masks=True)


def _relabelled(data: DetectionData, known: Sequence[str]) -> DetectionData:
    """The same with the labels of the classes in `known`, without what is of none of them."""
    label_of = {alike(name): i for i, name in enumerate(known)}
    label_of |= {name: i for i, name in enumerate(known)}
    new = np.array([label_of.get(name, label_of.get(alike(name), -1)) for name in data.names], np.int64)
    pictures = []
    for one in data.pictures:
        labels = new[one.labels]
        for label in one.labels[labels < 0].tolist():
            note(data.problems, Problem.STRANGE, f"{one.path.name}, {data.names[label]}")
        pictures.append(one.chosen(labels >= 0, labels))
    return replace(data, names=tuple(known), pictures=tuple(pictures))


def _objects(path: Path, problems: Problems, void: int = IGNORE) -> dict[int, dict[str, Any]]:
    """The masks in a map by their values, as run lengths; none where there is no map, or none that can be read."""
    if not path.is_file():
        return {}
    try:
        values = indices(path, deep=True)
    except DataError:
        note(problems, Problem.UNREADABLE_MASK, path.name)
        return {}
    size = [values.shape[0], values.shape[1]]
    return {
        value: {"size": size, "counts": packed(run_lengths(values == value))}
        for value in np.unique(values).tolist() if value not in (0, void)
    }
