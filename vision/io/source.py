"""`read`: one door to every source of frames."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path
from typing import Literal, Self
from urllib.parse import unquote, urlsplit

from vision.errors import SinkError, SourceError, UsageError
from vision.io.base import MAX_PIXELS, Counts, Info, Log, Reader, Span
from vision.io.pictures import SUFFIXES, Pictures, is_picture, natural, open_picture
from vision.types import Frame

ReaderName = Literal["auto", "opencv"]

VIDEO_SUFFIXES = frozenset((
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv",
    ".flv", ".3gp", ".ogv", ".h264", ".264", ".h265", ".265", ".hevc", ".y4m", ".mjpeg", ".mjpg",
))                                                                                  # fmt: skip
_CAMERA = re.compile(r"\d{1,3}|/dev/video\d+")
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


class Source:
    """An iterator over frames, once through; a context manager that closes what `read` opened."""

    def __init__(self, reader: Reader, span: Span, max_frames: int | None = None) -> None:
        self.info: Info = reader.info
        self._log = Log()
        self._reader = reader
        self._frames: Iterator[Frame] = islice(reader.frames(span, self._log), max_frames)

    @property
    def counts(self) -> Counts:
        """What became of the frames so far."""
        return self._log.counts

    @property
    def notes(self) -> list[str]:
        """Remarks for the user, in plain sentences."""
        return self._log.notes

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        try:
            return next(self._frames)
        except BaseException:
            self.close()
            raise

    def at_rate(self, rate: float) -> None:
        """Still pictures come `rate` a second, in place of one. To be called before the first frame."""
        if isinstance(self._reader, Pictures):
            self._reader.rate = rate

    def close(self) -> None:
        """Close the source; it hands out no more frames."""
        self._frames = iter(())
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read(
    uri: str | int | Path,
    start: float | None = None,
    end: float | None = None,
    stride: int = 1,
    max_frames: int | None = None,
    reader: ReaderName = "auto",
    max_pixels: int = MAX_PIXELS,
) -> Source:
    """Open a source of frames.

    uri: a picture; a video file; a folder (recursive, in natural order: a2 before a10, each folder's
    files before its folders); a glob; a `.txt` file of URIs, one a line; an HTTP or RTSP URL; a
    camera's number or /dev/video path; `-`, standard input, with JPEG or PNG pictures one after
    the other or a video. An animated GIF, WebP or PNG and a TIFF of several pages give all of their
    pictures when named by themselves, the first one among others.

    start, end: seconds of presentation time, start <= time < end. stride: every so many frames, from
    the first one in the range. Both hold for each video of several by itself. max_frames: at most so
    many in all. reader: `opencv` reads videos with cv2.VideoCapture instead of PyAV. max_pixels: a
    larger picture is refused, before it is decoded.

    Raises SourceError when there is nothing to read, UsageError for an impossible range.
    """
    if stride < 1:
        raise UsageError(f"stride must be at least 1; got {stride}")
    if max_frames is not None and max_frames < 0:
        raise UsageError(f"max_frames must not be negative; got {max_frames}")
    if start is not None and end is not None and end <= start:
        raise UsageError(f"end must be later than start; got start={start}, end={end}")
    if reader not in ("auto", "opencv"):
        raise UsageError(f"reader must be 'auto' or 'opencv'; got {reader!r}")
    return Source(open_reader(str(uri), reader, max_pixels), Span(start, end, stride), max_frames)


def local_files(uri: str) -> list[Path]:
    """The files that a URI reads on this machine, in reading order; none for a URL, a camera, `-`.

    A file or a folder that this user may not look into is among them: reading it tells why. Raises
    SourceError for a list that cannot be read, or that lists itself.
    """
    return _files(uri, ())


def _files(uri: str, within: tuple[Path, ...]) -> list[Path]:
    """within: the lists that lead here."""
    if uri in ("", "-") or _CAMERA.fullmatch(uri) or (_URL.match(uri) and not uri.startswith("file://")):
        return []
    path = Path(unquote(urlsplit(uri).path)) if uri.startswith("file://") else Path(uri)
    try:
        if path.is_dir():
            return sorted(_below(path), key=natural)
        there = path.exists()
    except PermissionError:
        return [path]
    if there and path.suffix.lower() == ".txt" and path.is_file():
        if path.resolve() in within:
            raise SourceError(f"{uri!r} lists itself, at once or by way of another list.")
        return [file for m in _listed(path) for file in _files(m, (*within, path.resolve()))]
    if there:
        return [path]
    return sorted((Path(p) for p in glob.glob(uri, recursive=True) if Path(p).is_file()), key=natural)


def _below(folder: Path) -> Iterator[Path]:
    """The pictures and videos in a folder and the folders below, and the folders that cannot be read."""
    closed: list[Path] = []
    for parent, _, names in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        for path in (Path(parent, name) for name in names):
            if path.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES and _is_file(path):
                yield path
    yield from closed


def _is_file(path: Path) -> bool:
    """Whether it is one. Where that cannot be seen it is: opening it tells why."""
    try:
        return path.is_file()
    except PermissionError:
        return True


class Inputs:
    """The files that sources read, of which no output may overwrite one."""

    def __init__(self, uris: Iterable[str]) -> None:
        self._owners: dict[Hashable, str] = {}           # a file, or a picture's folder: the source
        for uri in uris:
            files: list[Path] = []
            with suppress(SourceError):                  # told when its turn to be read comes
                files = local_files(uri)
            folders = {file.parent for file in files if file.suffix.lower() in SUFFIXES}
            listed = [Path(uri)] if uri != "-" and _is_file(Path(uri)) else []
            for path in (*files, *folders, *listed):
                self._owners[_identity(path)] = uri

    def refuse(self, output: str | Path) -> None:
        """Raise SinkError where writing `output`, a file or a folder of pictures, would overwrite one of
        them. To be called before the output is opened, which empties it."""
        target = Path(output)
        # a film is made under these names (`VideoFile`), and what a killed run left may be read again
        working = (target.with_name(f"{target.stem}.{state}.mp4") for state in ("part", "whole"))
        for path in (target, *working):
            uri = self._owners.get(_identity(path))
            if uri is not None:
                raise SinkError(
                    f"the output {str(output)!r} would overwrite the input {uri!r}. Give another name."
                )


def refuse_overwrite(output: str | Path, uri: str) -> None:
    """`Inputs.refuse` for one source."""
    Inputs([uri]).refuse(output)


def _identity(path: Path) -> Hashable:
    """Alike for two names of one file, by whatever links or spelling."""
    real = os.path.realpath(path)
    try:
        state = os.stat(real)
    except OSError:
        return real
    return state.st_dev, state.st_ino


def _listed(path: Path) -> list[str]:
    """The URIs in a text file, one a line; `#` begins a remark; paths are relative to the file."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise SourceError(f"{str(path)!r} cannot be opened ({error.strerror}).") from error
    if "\0" in text:
        raise SourceError(f"{str(path)!r} is no text. A .txt lists sources, one a line.")
    lines = (line.strip() for line in text.splitlines())
    return [
        line if _URL.match(line) or _CAMERA.fullmatch(line) else str(path.parent / line)
        for line in lines if line and not line.startswith("#")
    ]                                                                               # fmt: skip


def open_reader(uri: str, reader: ReaderName, max_pixels: int) -> Reader:
    """The reader for a URI, open. Raises SourceError."""
    if uri == "-":
        from vision.io.stdin import open_stream

        if sys.stdin is None:
            raise SourceError("standard input is closed. Pipe pictures or a video into it.")
        return open_stream(sys.stdin.buffer, max_pixels)
    if _CAMERA.fullmatch(uri) and not (uri.isdecimal() and Path(uri).exists()):
        from vision.io.live import open_camera

        return open_camera(uri)
    if _URL.match(uri) and not uri.startswith("file://"):
        from vision.io.live import open_url

        return open_url(uri, max_pixels)

    path = Path(uri)
    whole = uri != "" and _is_file(path)
    if whole and path.suffix.lower() == ".txt":
        members = _listed(path)
        if any(not local_files(member) for member in members):      # URLs, cameras, missing files
            return _several(uri, members, reader, max_pixels)
    files = local_files(uri)
    if (whole and path.suffix.lower() != ".txt") or (len(files) == 1 and uri.startswith("file://")):
        return _open_file(uri, files[0], reader, max_pixels)
    if not files or files == [path]:
        raise SourceError(_nothing(uri, path))
    return _several(uri, [str(file) for file in files], reader, max_pixels)


def _nothing(uri: str, path: Path) -> str:
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


def _open_file(uri: str, path: Path, reader: ReaderName, max_pixels: int) -> Reader:
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError as error:
        raise SourceError(f"{uri!r} cannot be opened ({error.strerror}).") from error
    if not head:
        raise SourceError(f"{uri!r} is empty (0 bytes). Give a file with pictures in it.")
    if is_picture(head) or (path.suffix.lower() in SUFFIXES):
        return open_picture(uri, path, max_pixels)
    if reader == "opencv":
        from vision.io.capture import Capture

        return Capture(uri, str(path), max_pixels)
    from vision.io.video import Video

    return Video(uri, f"file:{path}", max_pixels)


def _several(uri: str, members: list[str], reader: ReaderName, max_pixels: int) -> Reader:
    """Pictures in a row are one sequence; a video stands by itself."""
    groups: list[Callable[[], Reader]] = []
    first = 0
    for pictures, run in groupby(members, lambda member: Path(member).suffix.lower() in SUFFIXES):
        if pictures:
            paths = [Path(member) for member in run]
            groups.append(_pictures(uri, paths, max_pixels, first))
            first += len(paths)
        else:
            groups += [_member(member, reader, max_pixels) for member in run]
    return groups[0]() if pictures and len(groups) == 1 else _Chain(uri, groups)


def _pictures(uri: str, paths: list[Path], max_pixels: int, first: int) -> Callable[[], Reader]:
    return lambda: Pictures(uri, paths, max_pixels, first)


def _member(member: str, reader: ReaderName, max_pixels: int) -> Callable[[], Reader]:
    return lambda: open_reader(member, reader, max_pixels)


class _Chain:
    """Several sources one after the other; one that cannot be read is told, and the others go on."""

    def __init__(self, uri: str, members: list[Callable[[], Reader]]) -> None:
        self.info = Info(uri, "list")
        self._members = members
        self._current: Reader | None = None

    def frames(self, span: Span, log: Log) -> Iterator[Frame]:
        """The wanted frames of each source in turn, with its own indices and times."""
        failed: list[SourceError] = []
        for opened in self._members:
            try:
                self._current = opened()
                yield from self._current.frames(replace(span), log)
            except SourceError as error:
                failed.append(error)
                log.note(f"passed over: {error}")
            finally:
                self.close()
        if len(failed) == len(self._members):
            raise failed[0]

    def close(self) -> None:
        """Close the source that is being read."""
        if self._current is not None:
            self._current.close()
            self._current = None
