"""Pictures of single words with what they say: a CSV, or ICDAR's lists."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, replace
from os.path import isfile  # False, too, for what can be no name
from pathlib import Path

from vision.data.files import text_of
from vision.errors import DataError
from vision.files import lines_of
from vision.text.lexicon import Lexicon

_LISTS = ("words.csv", "labels.csv", "gt.txt", "coords.txt")
_LINE = re.compile(r'\s*(?P<image>[^,]+?)\s*,\s*"?(?P<text>.*?)"?\s*')


@dataclass(frozen=True)
class Words:
    """Word crops.

    paths: of the pictures. texts: what each says. scenes: the photograph that each is from; empty where the list
    does not say. names: the characters of the alphabet. skipped: how many lines have no picture beside the list.
    """

    paths: tuple[Path, ...]
    texts: tuple[str, ...]
    scenes: tuple[str, ...]
    names: tuple[str, ...] = ()
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.paths)

    def some(self, rows: list[int]) -> Words:
        """Only these rows."""
        paths, texts, scenes = self.paths, self.texts, self.scenes
        return Words(
            tuple(paths[i] for i in rows), tuple(texts[i] for i in rows), tuple(scenes[i] for i in rows), self.names)

    def fold(self, fold: int, folds: int) -> tuple[Words, Words]:
        """What is learnt from and what is held out: every `folds`-th scene from the `fold`-th on, in the list's
        order, with all of its words. Raises DataError where there are fewer scenes."""
        scenes = list(dict.fromkeys(self.scenes))
        if len(scenes) < folds:
            raise DataError(f"{len(scenes)} scenes cannot be held out in {folds} parts. Give fewer --folds.")
        held = set(scenes[fold::folds])
        return (
            self.some([i for i, scene in enumerate(self.scenes) if scene not in held]),
            self.some([i for i, scene in enumerate(self.scenes) if scene in held]),
        )

    def summary(self) -> list[str]:
        """How much there is, and what was left out."""
        lacking = sorted({c for text in self.texts for c in text} - {*self.names, *"".join(self.names).upper()})
        lines = [f"{len(self)} words of {len(set(self.scenes))} scenes"]
        lines += [f"characters that the alphabet lacks, left out of the words: {''.join(lacking)}"] if lacking else []
        return lines + ([f"lines without a picture, left out: {self.skipped}"] if self.skipped else [])


def find_words(data: Path, names: tuple[str, ...] = ()) -> Words:
    """The words that a folder's list names: `words.csv` with the columns image (or file), text and, so that words
    of one photograph can be kept together, scene; or ICDAR's `gt.txt` with lines such as `word_1.png, "Genaxis"`.

    data: the folder, or the list itself. names: the alphabet. Raises DataError.
    """
    path = _list_of(data)
    if path is None:
        raise DataError(f"{str(data)!r} has no list of words. Give a folder with words.csv (image,text,scene) or with "
                        'ICDAR\'s gt.txt (word_1.png, "Genaxis").')
    rows = _of_csv(path) if path.suffix == ".csv" else _of_icdar(path)
    there = [(path.parent / image, text, scene) for image, text, scene in rows if isfile(path.parent / image)]
    if not there:
        raise DataError(f"{str(path)!r} lists {len(rows)} words; no picture of them is beside it.")
    paths, texts, scenes = zip(*there, strict=True)
    return Words(paths, texts, scenes, names, len(rows) - len(there))


def read_lexicon(path: Path) -> Lexicon:
    """Likely words, from a file with a word a line. Raises DataError where it cannot be read, or has none."""
    return Lexicon(line.strip() for line in text_of(path).splitlines())


def has_words(data: Path) -> bool:
    """Whether there is a list of word crops, for `find_words`."""
    return _list_of(data) is not None


def _list_of(data: Path) -> Path | None:
    if data.is_file():
        return data if data.suffix in (".csv", ".txt") else None
    return next((data / name for name in _LISTS if (data / name).is_file()), None)


def in_folds(data: Path, names: tuple[str, ...], fold: int, folds: int) -> tuple[Words, Words]:
    """The part to learn from and the part that is held out: the folders train and val of `data` where it has them,
    else every `folds`-th scene. Raises DataError."""
    if (data / "train").is_dir() and (data / "val").is_dir():
        return find_words(data / "train", names), find_words(data / "val", names)
    words = find_words(data, names)
    learnt, held = words.fold(fold, folds)
    return replace(learnt, skipped=words.skipped), held


def _of_csv(path: Path) -> list[tuple[str, str, str]]:
    try:
        rows = list(csv.DictReader(io.StringIO(text_of(path), newline="")))
    except csv.Error as error:
        raise DataError(f"{str(path)!r} cannot be read as CSV ({error}).") from error
    columns = set(rows[0]) if rows else set()
    image = next((name for name in ("image", "file") if name in columns), None)
    if image is None or "text" not in columns:
        raise DataError(f"{str(path)!r} must have the columns 'image' and 'text'; got {sorted(map(str, columns))}.")
    return [(row[image] or "-", row["text"] or "", row.get("scene") or row[image] or "") for row in rows]


def _of_icdar(path: Path) -> list[tuple[str, str, str]]:
    rows = []
    for number, line in enumerate(lines_of(text_of(path)), start=1):
        match = _LINE.fullmatch(line)
        if line.strip() and match is None:
            raise DataError(f"{str(path)!r}, line {number} is not 'picture, \"text\"': {line[:60]!r}")
        if match:
            rows.append((match["image"], match["text"], match["image"]))
    return rows
