"""Files: small ones written at once, with folders for them, and read; lines of JSON read as they come."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from vision.errors import DataError, SinkError, UsageError

_MAX_TOML = 1 << 20                      # bytes
_MAX_LINE = 64 << 20                     # bytes

_log = logging.getLogger(__name__)


def lines_of(text: str) -> list[str]:
    """The lines of a text that has names of files: a name may hold a form feed, U+0085 or U+2028, at which
    `str.splitlines` would part it."""
    return re.split(r"\r\n|\n|\r", text)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: where that fails, on a full disk say, an older one stays as it
    was; where its name is a link, that stays one. Raises SinkError."""
    real = Path(os.path.realpath(path))
    if real.exists() and not real.is_file():             # a device, a pipe: nothing to put in its place
        part = real
    else:
        part = real.with_name(f"{real.name}.part")
    try:
        if real.is_file():
            real.open("ab").close()                      # one that is not to be written to is not replaced
        part.write_bytes(data)
        if part != real:
            part.replace(real)
    except OSError as error:
        if part != real:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        raise _failed(path, error) from error


def write_json(path: Path, value: Any) -> None:
    """Write plain values as JSON, whole or not at all; what is not a number, or infinite, becomes null. Raises
    SinkError."""
    write_whole(path, (json.dumps(finite(value), indent=1, allow_nan=False) + "\n").encode())


def finite(value: Any) -> Any:
    """Plain values, None in place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises DataError for one that cannot be read, or that is too large or too deep."""
    try:
        if path.stat().st_size > _MAX_TOML:
            raise DataError(f"{str(path)!r} has more than {_MAX_TOML >> 10} kB: too large to be read as TOML.")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:        # of TOML, of UTF-8, of numbers with thousands of digits
        raise DataError(f"{str(path)!r} cannot be read as TOML ({error}).") from error


def json_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file of JSON lines, with their numbers from 1. Where the last one was cut off, by a kill or since
    a run still writes it, it is left out, and that is logged. Raises DataError for a file that cannot be read, or that
    has a line of more than 64 MB."""
    number = 0
    try:
        with path.open("rb") as file:
            while data := file.readline(_MAX_LINE + 1):
                number += 1
                if len(data) > _MAX_LINE:
                    raise DataError(f"{str(path)!r}, line {number}, has more than {_MAX_LINE >> 20} MB.")
                if number > 1 and not data.endswith(b"\n") and _cut(data):
                    _log.warning("%s: the last line, %d, is cut off, and left out", path, number)
                    return
                yield number, data.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{str(path)!r}, line {number}, is no text in UTF-8 ({error}).") from error
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read ({error.strerror}).") from error


def _cut(data: bytes) -> bool:
    """Whether JSON is not there in whole."""
    try:
        json.loads(data.decode())
    except (json.JSONDecodeError, UnicodeDecodeError):
        return True
    except (ValueError, RecursionError):                 # it is there, whatever it is
        return False
    return False


def check_writable(path: Path) -> None:
    """Raise SinkError now, and not after the run, where a file that is written at its end cannot be; UsageError for
    standard output."""
    if str(path) == "-":
        raise UsageError("only records and events go to standard output (-). Name a file or a folder.")
    try:
        real = Path(os.path.realpath(path))              # a link may be to a file that is not there yet
        if real.is_fifo():                               # whose reader would take this for all that there is
            return
        new = not real.exists()
        real.open("ab").close()
        if new:
            real.unlink()
    except OSError as error:
        raise _failed(path, error) from error


def behind(path: Path) -> Path:
    """The file that a link is to, there or not yet; a path that is no link to a file itself."""
    real = Path(os.path.realpath(path)) if path.is_symlink() else path
    return real if real.is_file() or not real.exists() else path


def make_folder(path: Path) -> None:
    """Make a folder, with those above it, unless it is there. Raises SinkError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"the folder {str(path)!r} cannot be made ({error.strerror}).") from error


def _failed(path: Path, error: OSError) -> SinkError:
    return SinkError(f"{str(path)!r} cannot be written ({error.strerror}).")


def own(path: Path) -> IO[bytes]:
    """A file to read and write, made if need be, that is no other run's until it is closed. Raises OSError where
    it is another's."""
    fresh = not path.exists() or not path.is_file()
    file = path.open("wb" if fresh else "r+b", buffering=0)
    if sys.platform == "win32":                          # has no such locks
        return file
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise BlockingIOError(errno.EAGAIN, "another run is writing it") from None
    except OSError:                                      # nor has every file system
        pass
    return file
