"""What there is to do, cut into pieces that are done anywhere: a source each, or a time range of a long one."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from vision.errors import SourceError, UsageError
from vision.io.base import Log, shown
from vision.io.listing import (
    RECORDING_SUFFIXES,
    VIDEO_SUFFIXES,
    is_camera,
    is_recording,
    is_still,
    is_url,
    leaves_of,
)
from vision.io.pictures import PICTURE_SUFFIXES

_STEM = 200                                      # bytes: with all that is added a file's name has 255 at most
_READ_AS_IS = ("http://", "https://")            # `read` streams these itself
_LIVE = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp", "rtp", "srt", "mms", "zenoh")


@dataclass(frozen=True)
class Unit:
    """A piece of work.

    source: what is read, and what records call it. uri: what `read` is given for it, in whatever folder a worker works.
    member: which of the streams of `uri` it is, where that has several. name: of its records, without the ending: no
    two sources share one. below: the folder that the names of its pictures are relative to, with a slash at its end;
    empty where they are whole. start, end: seconds, of a range. part: the range's number; None: the whole source.
    whole: it is never cut.
    """

    source: str
    uri: str
    member: int | None
    name: str
    below: str = ""
    start: float | None = None
    end: float | None = None
    part: int | None = None
    whole: bool = False

    def __str__(self) -> str:
        where = "" if self.part is None else f" from {self.start or 0:g} s"
        return f"{self.source}{where}"


@dataclass(frozen=True)
class Done:
    """A unit whose records are committed. frames: how many. first, last: their indices; None without frames.
    corrupt: frames that did not decode. seconds: how long it took. bytes: of records."""

    frames: int
    first: int | None
    last: int | None
    corrupt: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Cut:
    """A source that is so long that it is done in ranges. at: seconds at which a new one begins."""

    at: tuple[float, ...]


@dataclass(frozen=True)
class Failed:
    """A unit without records. why: one line. again: whether another try may help."""

    why: str
    again: bool


Outcome = Done | Cut | Failed


def units_of(sources: Sequence[str]) -> list[Unit]:
    """The units of these sources, each once, whatever matches it twice.

    Raises SourceError where there is nothing or a list cannot be read, UsageError for cameras, standard input, live
    streams, and for a picture that is in two runs of pictures."""
    found: dict[Any, Unit] = {}
    pictures: dict[Path, Any] = {}                       # each with the run that it is in
    for uri in sources:
        for key, unit in _expanded(uri):
            if isinstance(key, tuple):
                for path in key:
                    if pictures.setdefault(path, key) != key:
                        raise UsageError(f"{str(path)!r} is matched twice, in different runs of pictures, in which it "
                                         "would have two indices. Let one pattern match it.")
            found.setdefault(key, unit)
    return list(found.values())


def _expanded(uri: str) -> Iterator[tuple[Any, Unit]]:
    """The units of a source, each with what tells it from others."""
    if uri == "-" or is_camera(uri) or uri.split("://")[0] in _LIVE:
        raise UsageError(f"{shown(uri)!r} is gone once it is read, so that no other machine can try again. Give files; "
                         "or run without --ray.")
    if is_url(uri):
        for one in [uri] if uri.startswith(_READ_AS_IS) else stored(uri):
            yield one, _unit(shown(one), one)
        return
    leaves = leaves_of(uri, Log())
    alone = leaves[0] if len(leaves) == 1 else ""
    named = alone in (uri, Path(uri)) or (               # `read` calls it what it was given, too
        isinstance(alone, Path) and (uri.startswith("file://") or (Path(uri).is_dir() and is_recording(alone))))
    number, several = 0, bool(leaves) and not named
    for still, run in groupby(leaves, is_still):
        if still and several:
            paths = tuple(map(Path, run))
            below = "" if any(path.is_absolute() for path in paths) else os.path.join(Path.cwd(), "")
            yield tuple(path.resolve() for path in paths), _unit(uri, uri, number, below)
            number += 1
            continue
        for leaf in run:
            number += 1
            if isinstance(leaf, str) and leaf != uri:    # an address or a camera in a list
                yield from _expanded(leaf)
            else:
                yield Path(leaf).resolve(), _unit(uri if named else str(leaf), str(leaf))


def stored(uri: str) -> list[str]:
    """The files behind an address of fsspec's (s3://bucket/videos/*.mp4): of a glob, of a folder, or itself. Raises
    SourceError."""
    from vision.scale.store import filesystem

    files, path = filesystem(uri, SourceError)
    suffixes = VIDEO_SUFFIXES | PICTURE_SUFFIXES | RECORDING_SUFFIXES
    try:
        if "*" in path or "?" in path:
            names = [name for name in files.glob(path) if PurePosixPath(name).suffix.lower() in suffixes]
        elif files.isdir(path):
            names = [name for name in files.find(path) if PurePosixPath(name).suffix.lower() in suffixes]
        else:
            names = [path]
    except Exception as error:                           # each store raises its own
        raise SourceError(f"{shown(uri)!r} cannot be listed ({type(error).__name__}: {error}).") from error
    if not names:
        raise SourceError(f"nothing matches {shown(uri)!r}.")
    return [str(files.unstrip_protocol(name)) for name in sorted(names)]


def anywhere(uri: str) -> str:
    """A file, a folder or a glob by its whole name, for a process that works in another folder; an address as it
    is."""
    if "://" in uri or os.path.isabs(uri):
        return uri
    named = os.path.exists(uri) or not glob.has_magic(uri)
    return str(Path(Path.cwd() if named else glob.escape(str(Path.cwd())), uri))


def _unit(source: str, uri: str, member: int | None = None, below: str = "") -> Unit:
    uri = anywhere(uri)
    where = str(Path(uri).resolve()) if member is None and not is_url(uri) else uri
    digest = hashlib.sha256(f"{where} {member}".encode(errors="backslashreplace")).hexdigest()[:10]
    stem = re.sub(r"[^\w.-]+", "_", PurePosixPath(source.rstrip("/")).stem)[:80]
    stem = stem.encode()[:_STEM].decode(errors="ignore").strip("._") or "source"
    return Unit(source, uri, member, f"{stem}-{digest}", below)
