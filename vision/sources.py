"""The streams of a run's sources, and which of them are left where it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vision.checkpoint import Key, Standing, digest_of
from vision.errors import SourceError, UsageError, VisionError
from vision.io import Source, read
from vision.io.base import shown
from vision.io.source import Member
from vision.stream import Opener
from vision.types import Frame


class Sources:
    """The sources of a run. names, openers: of each; standing: what is done of them."""

    def __init__(self, names: Sequence[str], openers: Sequence[Opener], standing: Standing) -> None:
        self.names, self.openers, self.standing = names, openers, standing

    def left(self) -> Iterator[tuple[Key, str, Opener]]:
        """The streams that are not done, each with its name: the one in which the run was killed before the others."""
        at, failed = self.standing.at, Counter(self.standing.failed)
        passed = Counter([*self.standing.done, *([at] if at else [])])
        kept = {key: count for key, count in passed.items() if key[2] or key == at}         # that must be there still
        opened = {number: self.opened(number) for number in range(len(self.openers)) if number in {n for n, *_ in kept}}
        there = Counter(key for number, source in opened.items() for key, *_ in self.members(number, source))
        for key in Counter(kept) - there:
            other = UsageError(f"{shown(key[1])!r} is not what it was when the run was killed (files were added, or "
                               "are gone). Run again without --resume.")
            yield key, key[1], _failing(next((one for one in opened.values() if isinstance(one, VisionError)), other))
            return
        if at is not None:
            yield next(one for one in self.members(at[0], opened[at[0]]) if one[0] == at)
        for number in range(len(self.openers)):
            source = opened[number] if number in opened else self.opened(number)
            for key, uri, member in self.members(number, source):
                if passed[key] > 0:
                    passed[key] -= 1
                    if not isinstance(member, Member):
                        source.close()
                elif isinstance(member, Member) and source.left == 0:
                    break
                elif failed[key] > 0:
                    failed[key] -= 1
                    yield key, uri, _failing(SourceError(f"{shown(uri)!r} failed before the run was resumed, after "
                                                         "frames of it were written. Run it by itself."))
                else:
                    yield key, uri, member

    def opened(self, number: int) -> Any:
        """A source, without what the run itself writes; the error where it cannot be opened."""
        try:
            source = self.openers[number]()
            if isinstance(source, Source):
                if self.standing.outputs:
                    source.leave_out(self.standing.wrote)
                source.left = self.standing.left.get(str(number), source.left)
        except VisionError as error:
            return error
        return source

    def members(self, number: int, source: Any) -> Iterator[tuple[Key, str, Opener]]:
        """A source, or each of those that it is a list of, with its key and its name."""
        name = self.names[number]
        if isinstance(source, Source) and source.left is not None:
            self.standing.left[str(number)] = source.left
        if isinstance(source, VisionError):
            yield (number, name, ""), name, _failing(source)
        elif isinstance(source, Source) and source.info.kind == "list":
            for member in source.members:
                if source.left is not None:
                    self.standing.left[str(number)] = source.left
                yield (number, member.uri, digest_of(member.pictures)), member.uri, member
        else:
            yield (number, name, digest_of(getattr(source, "pictures", ()))), name, partial(_itself, source)


def openers_of(source: Any) -> tuple[list[str], list[Opener], list[dict[str, Any]]]:
    """The names of sources, functions that open them, and which part of each is read, as `read` was asked."""
    several = isinstance(source, (list, tuple)) and not any(isinstance(one, Frame) for one in source)
    names: list[str] = []
    openers: list[Opener] = []
    reading: list[dict[str, Any]] = []
    for one in source if several else [source]:
        if isinstance(one, (str, int, Path)):
            one = partial(read, one)
        if isinstance(one, partial) and one.args:
            names.append(str(one.args[0]))
            reading.append(dict(one.keywords))
        else:
            info = getattr(one, "info", None)
            names.append("" if info is None else info.uri)
            reading.append(getattr(one, "asked", {}))
        openers.append(one if callable(one) else partial(_itself, one))
    return names, openers, reading


def _itself(source: Any) -> Any:
    return source


def _failing(error: VisionError) -> Opener:
    """What opens a source that cannot be opened."""
    def fail() -> Any:
        raise error

    return fail
