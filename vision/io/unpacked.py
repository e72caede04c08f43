"""Recordings that were packed as whole files, as `ros2 bag record --compression-mode file` leaves them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vision.errors import MissingExtra, SourceError

PACKED = ".zstd"                                 # behind the suffix of what is in it
MOST = 16 << 30                                  # bytes of a recording, unpacked; and half of the room that there is
_PIECE = 1 << 20


def suffix_of(path: Path) -> str:
    """The suffix of a recording, without that of its packing: `.db3` of `a.db3.zstd`."""
    suffix = path.suffix.lower()
    return suffix if suffix != PACKED else Path(path.stem).suffix.lower()


@contextmanager
def unpacked(name: str, path: Path, most: int = MOST) -> Iterator[Path]:
    """The file itself, or what was packed in it, in a temporary file that is gone afterwards: whoever reads on opens it
    before.

    name: in messages. most: bytes that there may be. Raises SourceError for a file that is damaged or too large,
    MissingExtra."""
    if path.suffix.lower() != PACKED:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="vision-", ignore_cleanup_errors=True) as folder:   # Windows keeps it
        whole = Path(folder, path.stem)
        _unpack(name, path, whole, min(most, shutil.disk_usage(folder).free // 2))
        yield whole


def _unpack(name: str, path: Path, whole: Path, most: int) -> None:
    try:
        import zstandard
    except ImportError:
        raise MissingExtra("zstandard", "robot", "a recording that is packed") from None
    left = most
    try:
        with path.open("rb") as file, whole.open("wb") as out:
            packed = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(file, read_across_frames=True)
            while piece := packed.read(_PIECE):
                left -= len(piece)
                if left < 0:
                    raise SourceError(f"{name!r} is more than {most >> 20} MiB when it is unpacked, and so much is not "
                                      f"taken (or half of the room in {tempfile.gettempdir()!r}). Unpack it yourself: "
                                      "`zstd -d`.")
                out.write(piece)
    except zstandard.ZstdError as error:
        raise SourceError(f"{name!r} cannot be unpacked ({error}).") from error
