"""The engine's part of the user's cache: graphs that were made once."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vision.weights import cache_dir

_log = logging.getLogger("vision.engine")


def find(name: str) -> Path:
    """Where the graph `name` (`onnx/NAME.onnx`) lies, or is to be put: in the user's cache; where that
    cannot be written, in a folder that lives as long as this process."""
    kept = cache_dir() / name
    return kept if os.access(kept, os.R_OK) else folder(str(Path(name).parent)) / kept.name


def folder(name: str) -> Path:
    """A folder to write graphs to, made if need be: as for `find`."""
    return _writable(cache_dir() / name)


@functools.cache
def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        _log.info("%s cannot be written (%s): graphs are made anew in each run", folder, error.strerror)
        own = tempfile.TemporaryDirectory(prefix="vision-")
        atexit.register(own.cleanup)
        return Path(own.name)


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A path to write to, which becomes `target` when that is done: whole or not at all, also with
    another process at it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=target.stem, suffix=".part")
    os.close(descriptor)
    try:
        yield Path(name)
        with open(name, "rb") as file:                   # on the disk, before its name is: a power cut
            os.fsync(file.fileno())
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def used(path: Path) -> None:
    """Note that a file was used now. Its time of change stays: OpenVINO knows a file by it."""
    with suppress(PermissionError):                      # somebody else's: it is not ours to delete either
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def trim(folder: Path, pattern: str, most: int = 2_000_000_000) -> None:
    """Delete the files that were used the longest ago, until all together have `most` bytes: a
    folder of pictures may bring a graph for every size. The one used last stays."""
    files = []
    for path in folder.glob(pattern):
        try:
            state = path.stat()
        except FileNotFoundError:                        # another process trims, too
            continue
        files.append((state.st_atime, state.st_size, path))
    files.sort(reverse=True)
    total = 0
    for i, (_, size, path) in enumerate(files):
        total += size
        if i > 0 and total > most:
            with suppress(PermissionError):
                path.unlink(missing_ok=True)
