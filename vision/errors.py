"""One tree of errors. A message says what was expected, what came, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.types import Frame

_LONGEST = 2000                  # characters of a message, whatever foreign text is in it
_CHECKOUT = (Path(__file__).resolve().parents[1] / "pyproject.toml").is_file()


def plain(text: str) -> str:
    """`text` as one line that may be printed, control characters escaped: a file's name must not move the cursor,
    colour the screen or begin another line."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class VisionError(Exception):
    """The root: `except VisionError` catches everything this package raises on purpose. Its message is one line."""

    exit_code = 1

    def __str__(self) -> str:
        text = plain(super().__str__())
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 300]} ... {text[-300:]}"


class UsageError(VisionError, ValueError):
    """An argument that cannot be: an unknown option value, two options that exclude each other."""

    exit_code = 2


class SourceError(VisionError):
    """A source that cannot be opened, or holds nothing that can be read."""


class SinkError(VisionError):
    """An output that cannot be written: no permission, no space, it would overwrite the input."""


class ModelError(VisionError):
    """A model name that the catalogue does not have, or a card that does not fit its network."""


class WeightsError(VisionError):
    """Weights that are missing, have another sha256 or do not fit their network."""


class EngineError(VisionError):
    """A device or a back end that is not there, or that failed on a batch."""


class MissingExtra(VisionError):
    """A package that an optional feature needs; the message names the extra to install."""

    def __init__(self, package: str, extra: str, what: str) -> None:
        where = "." if _CHECKOUT else "vision"           # no index has what a checkout holds
        super().__init__(f"{what} needs the package {package!r}. Install it: pip install '{where}[{extra}]'")


class DataError(VisionError):
    """A data set, a label or a record file that is not what it should be."""


class LostFrames(VisionError):
    """A run that cannot account for every frame it decoded."""


class StepError(VisionError):
    """A step that failed on a frame; the message names both."""

    @classmethod
    def of(cls, key: str, frame: Frame, error: Exception) -> StepError:
        """What the step `key` raised on a frame, as one line."""
        what = str(error) if isinstance(error, VisionError) else f"{type(error).__name__}: {error}"
        made = cls(f"{key!r} failed on frame {frame.index} at {frame.time:.3f} s of {frame.source!r}: {what}")
        made.exit_code = getattr(error, "exit_code", 1)
        made.__cause__ = error
        return made
