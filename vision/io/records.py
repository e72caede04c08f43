"""Sinks for records: JSON lines, and what other tools read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Self

from vision.errors import SinkError


class JsonLines:
    """Records as JSON, a line each (`-`: standard output).

    Each line is flushed whole, so that a file that is cut off has lost at most its last line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        try:
            self._file = sys.stdout if self.path == "-" else open(path, "w", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise SinkError(f"cannot write {self.path!r} ({error.strerror}).") from error

    def write(self, record: dict[str, Any]) -> None:
        """Write one record."""
        try:
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise SinkError(f"cannot write {self.path!r} ({error.strerror}).") from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not sys.stdout:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
