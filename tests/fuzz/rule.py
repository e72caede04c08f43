"""The rule that every reader of foreign data keeps: a value within its bounds, or one of `vision.errors` whose
message is one line without control characters; in bounded memory and time."""

from __future__ import annotations

import os
import resource
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vision.errors import VisionError

MEMORY = 1 << 30                 # bytes that reading may add to the process
SECONDS = 10.0                   # of processor time
MESSAGE = 4000                   # characters of an error


@dataclass(frozen=True)
class Reader:
    """A reader of foreign data.

    file: where the data lies, in a folder of its own. read: from the path of that file. check: asserts that what was
    read is within its bounds. around: what else lies in the folder, made once. seeds: data to begin with.
    document: a whole one in plain values, and text: how it is written down, where the format has such.
    """

    file: str
    read: Callable[[Path], Any]
    check: Callable[[Any], None]
    seeds: tuple[bytes, ...]
    around: Callable[[Path], None] = lambda folder: None
    document: Any = None
    text: Callable[[Any], str] | None = None
    skips: Callable[[bytes], bool] = lambda data: False


class Broken(AssertionError):
    """A reader that does not keep the rule."""


@contextmanager
def limits() -> Iterator[None]:
    """At most `MEMORY` more than now and `SECONDS` of processor time: MemoryError, TimeoutError beyond."""
    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"more than {SECONDS:g} s of processor time")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = signal.signal(signal.SIGVTALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + MEMORY, hard))
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGVTALRM, before)


def judge(reader: Reader, data: bytes, folder: Path) -> bool:
    """Whether the reader took the data; False where it refused as it should. Raises Broken where it did neither."""
    path = folder / reader.file
    path.write_bytes(data)
    try:
        with limits(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = reader.read(path)
            reader.check(value)
    except VisionError as error:
        said = str(error)
        if not said.isprintable():
            raise Broken(f"a message that is not one printable line: {said[:200]!r}") from error
        if len(said) > MESSAGE:
            raise Broken(f"a message of {len(said)} characters: {said[:200]!r}") from error
        return False
    except Exception as error:
        raise Broken(f"{type(error).__name__}: {str(error)[:200]!r}") from error
    return True


def place(reader: Reader, folder: Path) -> Path:
    """The reader's folder, with what lies around its file."""
    (folder / reader.file).parent.mkdir(parents=True, exist_ok=True)
    reader.around(folder)
    return folder
