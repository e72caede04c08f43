"""The engine's part of the user's cache: graphs that were made once, and what was measured.

What lies there may have been torn by a crash or a disk: each file begins with a digest of the rest, and
one that does not agree is as if it were not there.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vision.weights import cache_dir

LIMIT = 1_000_000_000           # bytes of graphs; beyond it those go that were used the longest ago
_DIGEST = hashlib.sha256().digest_size
_log = logging.getLogger("vision.engine")


def read(name: str) -> bytes | None:
    """What was kept as `name` (`graphs/KEY.onnx`), or None where nothing whole is there."""
    path = cache_dir() / name
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    digest, content = kept[:_DIGEST], kept[_DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        _log.warning("%s is broken, and made anew", path)
        return None
    with suppress(OSError):                              # used now; somebody else's stays as it is
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    return content


def holds(name: str) -> bool:
    """Whether something is kept as `name`, without a look into it."""
    return (cache_dir() / name).is_file()


def write(name: str, content: bytes) -> None:
    """Keep `content` as `name`, whole or not at all; without a word where the cache cannot be written."""
    target = cache_dir() / name
    if not writable(target.parent):
        return
    with suppress(OSError):                              # a full disk: made anew the next time
        with whole(target) as part:
            part.write_bytes(hashlib.sha256(content).digest() + content)
        trim(target.parent)


def find(name: str) -> Path:
    """Where the file `name` (`yolo/NAME.onnx`) lies, or is to be put: in the user's cache; where that
    cannot be written, in a folder that lives as long as this process."""
    kept = cache_dir() / name
    return kept if os.access(kept, os.R_OK) else folder(str(Path(name).parent)) / kept.name


def folder(name: str) -> Path:
    """A folder to write to, made if need be: as for `find`."""
    kept = cache_dir() / name
    return kept if writable(kept) else _temporary()


@functools.cache
def writable(folder: Path) -> bool:
    """Whether files can be put into `folder`, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError as error:
        _log.info("%s cannot be written (%s): graphs are made anew in each run", folder, error.strerror)
        return False


@functools.cache
def _temporary() -> Path:
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


def trim(folder: Path, most: int = LIMIT) -> None:
    """Delete the files of `folder` that were used the longest ago, until all together have `most` bytes.
    The one used last stays, and so does what somebody writes just now."""
    files = []
    for path in folder.iterdir():
        with suppress(OSError):                          # another process trims, too
            state = path.stat()
            unfinished = path.suffix == ".part" and time.time() - state.st_mtime < 3600
            files.append((unfinished, state.st_atime, state.st_size, path))
    files.sort(reverse=True)
    total = 0
    for i, (unfinished, _, size, path) in enumerate(files):
        total += size
        if i > 0 and total > most and not unfinished:
            with suppress(OSError):
                path.unlink(missing_ok=True)
