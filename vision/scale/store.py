"""Where records are committed: a folder on disk, or in any store that fsspec knows."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from vision.errors import MissingExtra, SinkError, VisionError
from vision.io.base import shown

RECORDS, PARTS = "records", "parts"
_WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "memory"}     # what is put there appears whole


def filesystem(uri: str, raised: type[VisionError]) -> tuple[Any, str]:
    """fsspec's file system for a URI, and the path in it. Raises MissingExtra, or the error named for an address that
    it does not know, or whose package is not installed."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise MissingExtra("fsspec", "ray", "a run on many machines") from None
    try:
        files, path = url_to_fs(uri, use_listings_cache=False)           # others write there, too
    except (ImportError, ValueError, OSError) as error:  # s3fs is not installed; no such protocol
        raise raised(f"{shown(uri)!r} cannot be opened: {error}") from error
    return files, str(path)


class Store:
    """A folder of results. A set of records is there when the note beside it is: both are committed by rename, the
    note last.

    uri: the folder, or fsspec's address of one. Raises SinkError for one that cannot be opened.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.files, self.path = filesystem(uri, SinkError)
        protocol = self.files.protocol
        self.protocols = {protocol} if isinstance(protocol, str) else set(protocol)

    @property
    def shared(self) -> bool:
        """Whether other processes see it."""
        return "memory" not in self.protocols

    def commit(self, folder: str, name: str, records: Path, note: Mapping[str, Any]) -> None:
        """Put records there, a file .jsonl or .parquet, then the note that says so, with their sha256. Raises
        SinkError."""
        with records.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        called = f"{name}{records.suffix}"
        self._put(records, f"{folder}/{called}")
        self.write(f"{folder}/{name}.json", {**note, "records": called, "sha256": digest})

    def write(self, path: str, value: Mapping[str, Any]) -> None:
        """Plain values as a file of JSON, whole or not at all. Raises SinkError."""
        self.write_bytes(path, (json.dumps(value, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))

    def write_bytes(self, path: str, data: bytes) -> None:
        """A file, whole or not at all. Raises SinkError."""
        target, part = self._places(path)
        try:
            self.files.makedirs(self.files._parent(target), exist_ok=True)
            self.files.pipe_file(part, data)
            self._into_place(part, target)
        except Exception as error:                       # each store raises its own
            raise self._failed(path, error) from error

    def read(self, path: str) -> dict[str, Any] | None:
        """What `write` wrote; None where there is nothing, or what is no JSON. Raises SinkError where it cannot be
        told."""
        try:
            value = json.loads(self.files.cat_file(f"{self.path}/{path}"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        except Exception as error:                       # each store raises its own
            raise self._failed(path, error, "read") from error
        return value if isinstance(value, dict) else None

    def note(self, folder: str, name: str) -> dict[str, Any] | None:
        """The note of a set of records that is whole; None where there is none. Raises SinkError where it cannot be
        told."""
        note = self.read(f"{folder}/{name}.json")
        return note if note and self._is_there(f"{folder}/{note.get('records')}") else None

    def committed(self, folder: str = RECORDS) -> set[str]:
        """The names of the sets of records that are whole."""
        names = self._names(folder)
        return {name[:-5] for name in names if name.endswith(".json")
                and not names.isdisjoint((f"{name}l", f"{name[:-5]}.parquet"))}

    def fetch(self, path: str, to: Path) -> None:
        """Append a file of the store to a local one. Raises SinkError."""
        try:
            with self.files.open(f"{self.path}/{path}", "rb") as file, to.open("ab") as out:
                while data := file.read(1 << 20):
                    out.write(data)
        except Exception as error:                       # each store raises its own
            raise self._failed(path, error, "fetched") from error

    def remove(self, folder: str) -> None:
        """Remove a folder and what is in it, where it is there. Raises SinkError."""
        if self._is_there(folder):
            self._gone(folder, self.files.rm, recursive=True)

    def sweep(self, folder: str) -> None:
        """Remove what workers that were killed had begun to write there. Raises SinkError."""
        self.remove_files([f"{folder}/{name}" for name in self._names(folder) if name.endswith(".part")])

    def remove_files(self, paths: list[str]) -> None:
        """Remove files that may be gone already. Raises SinkError."""
        for path in paths:
            if self._is_there(path):
                self._gone(path, self.files.rm_file)

    def _names(self, folder: str) -> set[str]:
        """What lies in a folder; nothing where there is none."""
        self.files.invalidate_cache()
        try:
            return {str(name).rsplit("/", 1)[-1] for name in self.files.ls(f"{self.path}/{folder}", detail=False)}
        except FileNotFoundError:
            return set()
        except Exception as error:                       # each store raises its own
            raise self._failed(folder, error, "read") from error

    def _is_there(self, path: str) -> bool:
        try:
            return bool(self.files.exists(f"{self.path}/{path}"))
        except Exception as error:                       # each store raises its own
            raise self._failed(path, error, "read") from error

    def _gone(self, path: str, remove: Callable[..., Any], **how: Any) -> None:
        try:
            remove(f"{self.path}/{path}", **how)
        except FileNotFoundError:                        # another worker was faster
            pass
        except Exception as error:                       # each store raises its own
            raise self._failed(path, error, "removed") from error

    def _put(self, local: Path, path: str) -> None:
        target, part = self._places(path)
        try:
            self.files.makedirs(self.files._parent(target), exist_ok=True)
            self.files.put_file(str(local), part)
            self._into_place(part, target)
        except Exception as error:                       # each store raises its own
            raise self._failed(path, error) from error

    def _places(self, path: str) -> tuple[str, str]:
        """Where a file goes, and where it is written first."""
        target = f"{self.path}/{path}"
        return target, target if self.protocols & _WHOLE else f"{target}.{uuid4().hex[:8]}.part"

    def _into_place(self, part: str, target: str) -> None:
        if part != target:
            if "file" in self.protocols:                 # what is renamed is there, whatever becomes of the machine
                with open(part, "rb") as file:
                    os.fsync(file.fileno())
            self.files.mv(part, target)

    def _failed(self, path: str, error: Exception, what: str = "written") -> SinkError:
        why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        return SinkError(f"{shown(self.uri)}/{path} cannot be {what} ({why}).")
