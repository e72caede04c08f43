"""Photographs with the words in them: ICDAR's text files, or one JSON file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from os.path import isfile  # False, too, for what can be no name
from pathlib import Path
from typing import Any

import numpy as np

from vision.data.files import text_of
from vision.errors import DataError
from vision.io.pictures import PICTURE_SUFFIXES, natural
from vision.text.found import Place

_NOBODYS = "###"                       # what ICDAR calls a word that nobody can read
_JSON = "scenes.json"


@dataclass(frozen=True)
class Scene:
    """A photograph. path: of the picture. words: what is written in it, with its place."""

    path: Path
    words: tuple[Place, ...]


def find_scenes(data: Path) -> list[Scene]:
    """The photographs of a folder, with their words.

    data: a folder with `scenes.json`, a list of `{"file_name", "words": [{"quad", "text", "ignore"}, ...]}`, or with
    ICDAR's `gt_img_1.txt` beside `img_1.jpg` (x1,y1,x2,y2,x3,y3,x4,y4,text in each line); or the JSON file. A text
    ### is a word that nobody has to find. Raises DataError.
    """
    listed = data / _JSON if data.is_dir() else data
    scenes = _of_json(listed) if listed.is_file() and listed.suffix == ".json" else _of_icdar(data)
    there = [scene for scene in scenes if isfile(scene.path)]
    if not there:
        raise DataError(f"{str(data)!r} lists {len(scenes)} photographs; none of them is beside it.")
    return there


def has_scenes(data: Path) -> bool:
    """Whether a folder holds photographs with words, for `find_scenes`."""
    return data.is_dir() and ((data / _JSON).is_file() or any(data.glob("gt_*.txt")))


def _of_json(path: Path) -> list[Scene]:
    try:
        return [
            Scene(path.parent / str(one["file_name"]), tuple(
                _place(word["quad"], str(word["text"]), bool(word.get("ignore", False))) for word in one["words"]))
            for one in json.loads(text_of(path))
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{str(path)!r} is no list of photographs with file_name and words, each with quad and text "
                        f"({type(error).__name__}: {str(error)[:100]}).") from error


def _of_icdar(folder: Path) -> list[Scene]:
    lists = sorted(folder.glob("gt_*.txt"), key=natural) if folder.is_dir() else []
    if not lists:
        raise DataError(f"{str(folder)!r} has no photographs with words. Give a folder with {_JSON}, or with ICDAR's "
                        "gt_img_1.txt beside img_1.jpg.")
    pictures = {path.stem: path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES}
    scenes = []
    for path in lists:
        words = []
        for number, line in enumerate(text_of(path).splitlines(), start=1):
            match = re.fullmatch(r"(?a)\s*((?:-?[0-9]{1,6}\s*,\s*){7}-?[0-9]{1,6})\s*,(.*)", line)
            if line.strip() and match is None:
                raise DataError(f"{str(path)!r}, line {number} is not x1,y1,...,x4,y4,text: {line[:60]!r}")
            if match:
                corners = np.array(match[1].split(","), np.float32).reshape(4, 2)
                words.append(_place(corners, match[2], False))
        name = path.stem.removeprefix("gt_")
        scenes.append(Scene(pictures.get(name, folder / f"{name}.jpg"), tuple(words)))
    return scenes


def _place(quad: Any, text: str, ignored: bool) -> Place:
    try:
        corners = np.asarray(quad, np.float32)
    except OverflowError as error:                       # a whole number that no float holds
        raise ValueError(f"a quad is four corners x, y ({error})") from error
    if corners.shape != (4, 2) or not np.isfinite(corners).all():
        raise ValueError(f"a quad is four corners x, y; got {str(quad)[:60]}")
    return Place(corners, text, ignored or text.strip() == _NOBODYS)
