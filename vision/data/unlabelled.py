"""Pictures that nobody has labelled, for a teacher."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vision.data.detection import DetectionData, Labelled
from vision.data.layouts import LAYOUTS, Problem, Problems, note
from vision.errors import DataError, SourceError
from vision.io.pictures import PICTURE_SUFFIXES, natural, picture_size

_HELD_OUT = 10                          # one of so many pictures


def is_labelled(data: Path) -> bool:
    """Whether the folder is laid out as labelled data is."""
    return any(read(data, "train", {}) is not None for read in LAYOUTS)


def read_unlabelled(data: Path, names: Sequence[str]) -> tuple[DetectionData, DetectionData]:
    """The pictures in a folder and in those in it, without objects: a part to learn from, and a tenth, chosen by the
    files' names, that is held out. names: of the classes that a teacher will see. Raises DataError for fewer than two
    pictures."""
    problems: Problems = {}
    parts: tuple[list[Labelled], list[Labelled]] = ([], [])
    files = sorted((f for f in data.rglob("*") if f.suffix.lower() in PICTURE_SUFFIXES), key=lambda f: natural(f))
    for path in files:
        try:
            size_wh = picture_size(path)
        except SourceError:
            note(problems, Problem.BROKEN, path.name)
            continue
        held = zlib.crc32(str(path.relative_to(data)).encode()) % _HELD_OUT == 0
        parts[held].append(bare(path, size_wh))
    if parts[0] and not parts[1]:
        parts[1].append(parts[0].pop())
    if not parts[0] or not parts[1]:
        raise DataError(f"{str(data)!r} has {len(parts[0]) + len(parts[1])} pictures that can be read. A teacher needs "
                        "two at least: one to learn from, one to hold out.")
    learnt, held_out = (tuple(part) for part in parts)
    return DetectionData(tuple(names), learnt, problems), DetectionData(tuple(names), held_out, {})


def bare(path: Path, size_wh: tuple[int, int]) -> Labelled:
    """A picture without objects."""
    flags, areas = np.zeros(0, bool), np.zeros(0, np.float32)
    return Labelled(path, size_wh, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), flags, flags, areas)
