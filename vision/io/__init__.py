"""Sources: `read` a file, folder, glob, URL, camera or standard input.

A name is loaded when it is first used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vision.io.base import Counts, Info
    from vision.io.listing import Inputs, local_files
    from vision.io.prefetch import Ahead, Latest, ahead, latest
    from vision.io.source import Member, Source, read

_PUBLIC = {
    "Ahead": "prefetch",
    "Counts": "base",
    "Info": "base",
    "Inputs": "listing",
    "Latest": "prefetch",
    "Member": "source",
    "Source": "source",
    "ahead": "prefetch",
    "latest": "prefetch",
    "local_files": "listing",
    "read": "source",
}
__all__ = [
    "Ahead",
    "Counts",
    "Info",
    "Inputs",
    "Latest",
    "Member",
    "Source",
    "ahead",
    "latest",
    "local_files",
    "read",
]


if not TYPE_CHECKING:                           # a type checker knows the names above, and no others

    def __getattr__(name: str) -> Any:
        if name not in _PUBLIC:
            raise AttributeError(f"module 'vision.io' has no attribute {name!r}")
        return getattr(import_module(f"vision.io.{_PUBLIC[name]}"), name)
