"""The engine's part of the user's cache: graphs that were made once."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A path to write to, which becomes `target` when that is done: whole or not at all, also with
    another process at it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=target.stem, suffix=".part")
    os.close(descriptor)
    try:
        yield Path(name)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def used(path: Path) -> None:
    """Note that a file was used now. Its time of change stays: OpenVINO knows a file by it."""
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
            path.unlink(missing_ok=True)
