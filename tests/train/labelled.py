"""The same labelled pictures, written as COCO, as a YOLO folder and as Pascal VOC."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vision.boxes import xyxy_to_cxcywh

NAMES = ("cat", "dog", "mouse")


@dataclass(frozen=True)
class Thing:
    """An object: its label, its box in whole pixels, and whether it is hard to see."""

    label: int
    box: tuple[int, int, int, int]
    difficult: bool = False


Pictures = dict[str, tuple[tuple[int, int], Sequence[Thing]]]                   # name: size_wh, objects

SPLITS: dict[str, Pictures] = {
    "train": {
        "a": ((64, 48), (Thing(0, (4, 6, 30, 40)), Thing(2, (32, 0, 64, 20), True))),
        "b": ((40, 60), (Thing(1, (0, 0, 40, 60)),)),
        "c": ((50, 50), ()),
    },
    "val": {"d": ((80, 40), (Thing(1, (10, 10, 20, 30)), Thing(1, (41, 7, 80, 39)), Thing(0, (2, 2, 9, 9))))},
}


def picture(size_wh: tuple[int, int], things: Sequence[Thing]) -> np.ndarray:
    """Grey, each object a block of its own shade."""
    image = np.full((size_wh[1], size_wh[0], 3), 60, np.uint8)
    for i, thing in enumerate(things):
        left, top, right, bottom = thing.box
        image[top:bottom, left:right] = 255 - 40 * (i % 4)
    return image


def write_coco(root: Path, splits: dict[str, Pictures] | None = None, names: Sequence[str] = NAMES) -> Path:
    """`SPLIT.json` and `images`; category ids are not labels."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    for split, pictures in (splits or SPLITS).items():
        images, boxes = [], []
        for key, (stem, (size_wh, things)) in enumerate(pictures.items(), start=7):
            cv2.imwrite(str(root / "images" / f"{stem}.png"), picture(size_wh, things))
            images.append({"id": key, "file_name": f"{stem}.png", "width": size_wh[0], "height": size_wh[1]})
            boxes += [
                {"id": len(boxes) + 1, "image_id": key, "category_id": 10 + 3 * thing.label, "iscrowd": 0,
                 "bbox": [*thing.box[:2], thing.box[2] - thing.box[0], thing.box[3] - thing.box[1]],
                 "difficult": int(thing.difficult)}
                for thing in things
            ]
        categories = [{"id": 10 + 3 * i, "name": name} for i, name in enumerate(names)]
        content = {"images": images, "annotations": boxes, "categories": categories[::-1]}
        (root / f"{split}.json").write_text(json.dumps(content))
    return root


def yolo_line(thing: Thing, size_wh: tuple[int, int]) -> str:
    """Class, centre and size in shares of the picture."""
    shares = xyxy_to_cxcywh([thing.box])[0] / np.tile(size_wh, 2)
    return " ".join([str(thing.label), *(f"{share:.6f}" for share in shares)]) + "\n"


def write_yolo(root: Path) -> Path:
    """`data.yaml`, `images/SPLIT`, `labels/SPLIT`; a picture without objects has no label file."""
    for split, pictures in SPLITS.items():
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for stem, (size_wh, things) in pictures.items():
            cv2.imwrite(str(root / "images" / split / f"{stem}.png"), picture(size_wh, things))
            if things:
                text = "".join(yolo_line(thing, size_wh) for thing in things)
                (root / "labels" / split / f"{stem}.txt").write_text(text)
    (root / "data.yaml").write_text(f"train: images/train\nval: images/val\nnc: 3\nnames: {list(NAMES)}\n")
    return root


def voc_xml(size_wh: tuple[int, int], things: Sequence[Thing]) -> str:
    """An annotation as VOC's own: pixels count from 1, the last one is in."""
    objects = "".join(
        f"<object><name>{NAMES[t.label]}</name><difficult>{int(t.difficult)}</difficult><bndbox>"
        f"<xmin>{t.box[0] + 1}</xmin><ymin>{t.box[1] + 1}</ymin>"
        f"<xmax>{t.box[2]}</xmax><ymax>{t.box[3]}</ymax></bndbox>"
        "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
        for t in things
    )
    size = f"<size><width>{size_wh[0]}</width><height>{size_wh[1]}</height><depth>3</depth></size>"
    return f"<annotation>{size}{objects}</annotation>"


def write_voc(root: Path) -> Path:
    """JPEGImages, Annotations, ImageSets/Main."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for split, pictures in SPLITS.items():
        for stem, (size_wh, things) in pictures.items():
            cv2.imwrite(str(root / "JPEGImages" / f"{stem}.png"), picture(size_wh, things))
            (root / "Annotations" / f"{stem}.xml").write_text(voc_xml(size_wh, things))
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(pictures) + "\n")
    return root
