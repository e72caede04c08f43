"""Sources and sinks: `read` a file, folder, glob, URL, camera or standard input; write it down.

A name is loaded when it is first used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vision.io.base import Counts, Info
    from vision.io.prefetch import Latest, ahead, latest
    from vision.io.records import JsonLines
    from vision.io.source import Source, read
    from vision.io.videofile import VideoFile

_PUBLIC = {
    "Counts": "base",
    "Info": "base",
    "JsonLines": "records",
    "Latest": "prefetch",
    "Source": "source",
    "VideoFile": "videofile",
    "ahead": "prefetch",
    "latest": "prefetch",
    "read": "source",
}
__all__ = [
    "Counts",
    "Info",
    "JsonLines",
    "Latest",
    "Source",
    "VideoFile",
    "ahead",
    "latest",
    "read",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'vision.io' has no attribute {name!r}")
    return getattr(import_module(f"vision.io.{_PUBLIC[name]}"), name)
