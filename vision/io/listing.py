"""What a URI comes down to: the files of folders, globs and lists; and which of them no output may overwrite."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby, islice
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vision.errors import SinkError, SourceError
from vision.files import lines_of
from vision.io.base import Log
from vision.io.pictures import PICTURE_SUFFIXES, natural
from vision.io.unpacked import PACKED, suffix_of

VIDEO_SUFFIXES = frozenset((
    ".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".divx", ".mpg", ".mpeg", ".m1v", ".m2v", ".mpv", ".vob",
    ".ts", ".mts", ".m2ts", ".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".ogm", ".rm", ".rmvb", ".dv",
    ".mxf", ".wtv", ".nut", ".ivf", ".obu", ".h261", ".h263", ".h264", ".264", ".h265", ".265", ".hevc", ".vvc",
    ".vc1", ".drc", ".y4m", ".mjpeg", ".mjpg", ".amv", ".swf", ".gxf",
))                                                                                  # fmt: skip
RECORDING_SUFFIXES = frozenset((".mcap", ".db3"))        # of robots
_BAG = "metadata.yaml"               # what a folder of ROS 2 has that is a bag
_RAW_PHOTOGRAPHS = {".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"}
MAX_FILES = 1_000_000                # in one source
_MAX_NESTED = 32                     # lists in lists
_MAX_LIST_BYTES = 256 << 20
_CAMERA = re.compile(r"\d{1,3}|/dev/video\d+")
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


def local_files(uri: str) -> list[Path]:
    """The files that a URI reads on this machine, in reading order; none for a URL, a camera, `-`.

    A file or a folder that this user may not look into is among them: reading it tells why. Raises
    SourceError for a list that cannot be read, or that lists itself.
    """
    return [leaf for leaf in leaves_of(uri, Log()) if isinstance(leaf, Path)]


def is_camera(uri: str) -> bool:
    """Whether it is a camera's number or its /dev/video path."""
    return bool(_CAMERA.fullmatch(uri)) and not (uri.isdecimal() and Path(uri).exists())


def is_url(uri: str) -> bool:
    """Whether it is an address, of a server or a stream."""
    return bool(_URL.match(uri)) and not uri.startswith("file://")


def leaves_of(uri: str, log: Log) -> list[Path | str]:
    """What a URI comes down to once folders, globs and lists are opened: files, and as text what is no
    file or is not there. Raises SourceError for a list that cannot be read, and for too much."""
    found = list(islice(_walk(uri, (), set(), log), MAX_FILES + 1))
    if len(found) > MAX_FILES:
        raise SourceError(f"{uri!r} holds more than {MAX_FILES} files. Name a part of it.")
    return found


def streams_in(uri: str, passed: Callable[[Path], bool] = lambda file: False) -> int:
    """How many streams a source has: the videos and the runs of pictures of a folder, a glob or a list; else 1.
    passed: which files are left out."""
    with suppress(SourceError):
        leaves = (leaf for leaf in leaves_of(uri, Log()) if not (isinstance(leaf, Path) and passed(leaf)))
        return max(1, sum(1 if still else len(list(run)) for still, run in groupby(leaves, is_still)))
    return 1                                                         # told when it is read


def is_still(leaf: Path | str) -> bool:
    """Whether it is a still picture by its name."""
    return Path(leaf).suffix.lower() in PICTURE_SUFFIXES and not is_url(str(leaf))


def nothing_in(uri: str) -> str:
    """Why a URI comes down to nothing, and what to give."""
    path = Path(uri)
    if not uri:
        return "the source has an empty name. Give a file, a folder, a glob, a URL, a camera's number or - ."
    if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
        return f"the folder {uri!r} cannot be opened (Permission denied)."
    if path.is_dir():
        return f"the folder {uri!r} has no pictures and no videos in it, nor in the folders below."
    if glob.has_magic(uri):
        return f"nothing matches {uri!r}. Quote a glob, so that the shell leaves it alone."
    if path.is_file():
        return f"{uri!r} lists nothing. Write one URI a line."
    if path.exists():
        return f"{uri!r} is neither a file nor a folder. Pipe what it holds into standard input, and give - ."
    return f"there is no {uri!r}. Give a file, a folder, a glob, a URL, a camera's number or - ."


def _walk(uri: str, within: tuple[Path, ...], seen: set[Path], log: Log) -> Iterator[Path | str]:
    """within: the lists that lead here. seen: all lists so far: each is read once."""
    if uri in ("", "-") or is_camera(uri) or is_url(uri):
        yield uri
        return
    path = _path(uri)
    try:
        folder, there = path.is_dir(), path.exists()
        listed = there and _is_list(path) and path.is_file()
    except OSError:                          # not to be looked into, or no name of a file: reading it tells why
        yield path
        return
    if folder and bag_files(path):
        path, folder = path / _BAG, False
    if there and not folder and not listed:
        yield path
        return
    empty = True
    for found in [path] if listed else _found(uri, path, folder, log):
        for leaf in _members(found, within, seen, log) if _is_list(found) else (found,):
            empty = False
            yield leaf
    if empty and (path.resolve() not in seen or not within):
        yield uri


def _path(uri: str) -> Path:
    with suppress(ValueError):               # of brackets
        return Path(unquote(urlsplit(uri).path)) if uri.startswith("file://") else Path(uri)
    return Path(uri)


def _is_list(path: Path) -> bool:
    return path.suffix.lower() == ".txt"


def _found(uri: str, path: Path, folder: bool, log: Log) -> list[Path]:
    """The files in a folder, or those that match a glob, in natural order. A list is opened where it is named
    alone: one that lies among what a glob of everything finds is somebody else's word on what is to be read."""
    if folder:
        names = _below(path, log)
    else:
        matches = map(Path, glob.iglob(uri, recursive=True))
        names = (match for match in matches if (_is_list(path) or not _is_list(match)) and match.is_file())
    return sorted(islice(names, MAX_FILES + 1), key=natural)


def _members(path: Path, within: tuple[Path, ...], seen: set[Path], log: Log) -> Iterator[Path | str]:
    """The leaves of a list."""
    real = path.resolve()
    if real in within:
        raise SourceError(f"{str(path)!r} lists itself, at once or by way of another list.")
    if len(within) >= _MAX_NESTED:
        raise SourceError(f"{str(path)!r} is a list in more than {_MAX_NESTED} lists. Write one list.")
    if real in seen:
        log.note(f"{str(path)!r} is listed more than once, and read once")
        return
    seen.add(real)
    for member in listed_in(path):
        yield from _walk(member, (*within, real), seen, log)


def _below(folder: Path, log: Log) -> Iterator[Path]:
    """The pictures and videos in a folder and the folders below, and the folders that cannot be read; what is
    picture or video of a kind that is not read is told to the log."""
    closed: list[Path] = []
    others: Counter[str] = Counter()
    for parent, _, names in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        for path in (Path(parent, name) for name in ([_BAG] if bag_files(Path(parent), names) else _once(names))):
            suffix = path.suffix.lower()
            known = suffix in PICTURE_SUFFIXES | VIDEO_SUFFIXES or suffix_of(path) in RECORDING_SUFFIXES
            if known or path.name == _BAG:
                if is_file_or_closed(path):
                    yield path
            elif suffix in _RAW_PHOTOGRAPHS or (guess_type(f"a{suffix}")[0] or "").startswith(("image/", "video/")):
                others[suffix] += 1
    yield from closed
    if others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
        log.note(f"{str(folder)!r} holds files of kinds that are not read: {kinds}")


def bag_files(folder: Path, names: Iterable[str] | None = None) -> list[Path]:
    """The files of a ROS 2 bag, in natural order; none where the folder is no bag. names: of what lies in it, where
    that is known."""
    try:
        inside = os.listdir(folder) if names is None else list(names)
    except OSError:
        return []
    found = [path for name in _once(inside) if suffix_of(path := Path(folder, name)) in RECORDING_SUFFIXES]
    return sorted(found, key=natural) if _BAG in inside else []


def _once(names: Sequence[str]) -> list[str]:
    """What lies in a folder, without what is packed and lies there unpacked, too."""
    packed = {f"{name}{PACKED}" for name in names}
    return [name for name in names if name not in packed]


def unread_journal(path: Path) -> str:
    """A note where messages of a `.db3` are still in SQLite's journal beside it, which only a program that may write
    there can take over; else an empty one."""
    journal = path.resolve().with_name(f"{path.resolve().name}-wal")
    unread = path.suffix.lower() == ".db3" and journal.is_file() and journal.stat().st_size > 0
    return (f"what is in {journal.name!r} beside it is not read: the recording was not ended. Take it over: "
            f"sqlite3 {path.name} 'PRAGMA wal_checkpoint(TRUNCATE)'") if unread else ""


def is_recording(path: Path) -> bool:
    """Whether it is a recording of a robot by its name: an MCAP file, a `.db3`, the `metadata.yaml` of a bag."""
    return suffix_of(path) in RECORDING_SUFFIXES or (path.name == _BAG and bool(bag_files(path.parent)))


def is_file_or_closed(path: Path) -> bool:
    """Whether it is one. Where that cannot be seen it is: opening it tells why."""
    try:
        return path.is_file()
    except PermissionError:
        return True


class Inputs:
    """The files that sources read, of which no output may overwrite one. passed: which of them are left out."""

    def __init__(self, uris: Iterable[str], passed: Callable[[Path], bool] = lambda file: False) -> None:
        self._owners: dict[Hashable, str] = {}           # a file, or a picture's folder: the source
        for uri in uris:
            files: list[Path] = []
            with suppress(SourceError):                  # told when its turn to be read comes
                files = [file for file in local_files(uri) if not passed(file)]
            folders = {file.parent for file in files if file.suffix.lower() in PICTURE_SUFFIXES}
            listed = [Path(uri)] if uri != "-" and is_file_or_closed(Path(uri)) else []
            for path in (*files, *folders, *listed):
                self._owners[_identity(path)] = uri

    def refuse(self, output: str | Path) -> None:
        """Raise SinkError where writing `output`, a file or a folder of pictures, would overwrite one of
        them. To be called before the output is opened, which empties it."""
        uri = self._owners.get(_identity(Path(output)))
        if uri is not None:
            raise SinkError(f"the output {str(output)!r} would overwrite the input {uri!r}. Give another name.")


def _identity(path: Path) -> Hashable:
    """Alike for two names of one file, by whatever links or spelling."""
    real = os.path.realpath(path)
    try:
        state = os.stat(real)
    except OSError:
        return real
    return state.st_dev, state.st_ino


def listed_in(path: Path) -> list[str]:
    """The URIs in a text file, one a line; `#` begins a remark; paths are relative to the file."""
    try:
        if path.stat().st_size > _MAX_LIST_BYTES:
            raise SourceError(f"{str(path)!r} is too large for a list of sources.")
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise SourceError(f"{str(path)!r} cannot be opened ({error.strerror}).") from error
    if "\0" in text:
        raise SourceError(f"{str(path)!r} is no text. A .txt lists sources, one a line.")
    lines = (line.strip() for line in lines_of(text))
    return [
        line if _URL.match(line) or _CAMERA.fullmatch(line) else str(path.parent / line)
        for line in lines if line and not line.startswith("#")
    ]                                                                               # fmt: skip
