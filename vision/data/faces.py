"""Pictures of faces: with the iBUG 68 points (300-W, Sagonas et al. 2013), or with the names of people."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from vision.data.files import bytes_of, text_of
from vision.errors import DataError
from vision.io.pictures import PICTURE_SUFFIXES
from vision.types import Floats


@dataclass(frozen=True)
class LabelledFaces:
    """A picture and its faces: points (N,68,2) float32, pixels as the file has them."""

    path: Path
    points: Floats


def labelled_faces(path: Path, images: Path | None = None) -> list[LabelledFaces]:
    """Labelled pictures: a CSV of image, x0, y0 ... x67, y67, one face a row, or dlib's XML.

    images: the folder that the names in the file start from; unless given, `images` beside a CSV,
    the XML's own folder. Raises DataError where the file is neither.
    """
    try:
        if path.suffix == ".xml":
            return _read_xml(path, images or path.parent)
        return _read_csv(path, images or path.parent / "images")
    except (ValueError, KeyError, TypeError, csv.Error, ElementTree.ParseError, RecursionError) as error:
        raise DataError(
            f"{str(path)!r} is neither a CSV of image, x0, y0 ... x67, y67 nor dlib's XML with 68 parts a "
            f"box ({type(error).__name__}: {error})."
        ) from error


def _read_csv(path: Path, images: Path) -> list[LabelledFaces]:
    faces: dict[str, list[Floats]] = {}
    for row in csv.DictReader(io.StringIO(text_of(path), newline="")):
        points = [[float(row[f"x{i}"]), float(row[f"y{i}"])] for i in range(68)]
        faces.setdefault(row["image"], []).append(_finite(np.array(points, np.float32)))
    return [LabelledFaces(images / name, np.stack(some)) for name, some in faces.items()]


def _read_xml(path: Path, images: Path) -> list[LabelledFaces]:
    pictures = []
    for image in ElementTree.fromstring(bytes_of(path)).iterfind("images/image"):
        faces = []
        for box in image.iterfind("box"):
            parts = {int(p.attrib["name"]): (float(p.attrib["x"]), float(p.attrib["y"])) for p in box}
            faces.append([parts[i] for i in range(68)])
        points = _finite(np.array(faces, np.float32).reshape(-1, 68, 2))
        pictures.append(LabelledFaces(images / image.attrib["file"], points))
    return pictures


def _finite(points: Floats) -> Floats:
    if not (np.abs(points) < 1e9).all():
        raise ValueError("a point that is no place on a picture")
    return points


def pictures_of_people(folder: Path) -> list[tuple[Path, str]]:
    """Pictures with the name of who is on them, by name and number.

    folder: a folder of pictures for each person, or pictures whose names are a person's and a number
    (`ann_01.jpg`). Raises DataError where there are none.
    """
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise DataError(f"{str(folder)!r} has no pictures: it needs a folder of them for each person, or files named "
                        "as ann_01.jpg, ann_02.jpg.")
    alone = all(path.parent == folder for path in found)
    return [(path, re.sub(r"[ _-]*\d+$", "", path.stem) if alone else path.relative_to(folder).parts[0])
            for path in found]
