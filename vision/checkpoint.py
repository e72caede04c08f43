"""Where a run stands, on disk: so that one that was killed goes on, byte for byte, where it was.

One file beside the first output. It is written whole or not at all, at a boundary between two frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from vision import __version__, state
from vision.errors import DataError, UsageError
from vision.files import write_whole
from vision.io import Info
from vision.sinks.base import Sink, SinkSpec
from vision.steps.base import Spec, Step

EVERY_S = 10.0
_LOOKED_AT, _PLACES = 1 << 14, 64              # bytes of a source at so many places, its ends among them


class Checkpoint:
    """A run's checkpoint. path: its file. every: seconds between two.

    plan: what was asked for, in plain values: a checkpoint of another plan is refused.
    """

    def __init__(self, path: Path, every: float, plan: Mapping[str, Any]) -> None:
        self.path, self.every, self.plan = path, every, plan
        self._last = monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for another one."""
        return monotonic() - self._last >= self.every

    def save(self, values: Mapping[str, Any]) -> None:
        """Write where the run stands."""
        write_whole(self.path, state.dumps({"version": __version__, "plan": self.plan, **values}))
        self._last = monotonic()

    def load(self) -> Mapping[str, Any] | None:
        """Where a run of this plan stood; None where there is no checkpoint. Raises DataError for one that is
        torn or of another version, UsageError for one of another plan."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"the checkpoint {str(self.path)!r} cannot be read ({error.strerror}).") from error
        again = "Run again without --resume."
        try:
            values = state.loads(data)
            version, plan = values["version"], values["plan"]
        except (DataError, KeyError) as error:
            raise DataError(f"the checkpoint {str(self.path)!r} is torn or none ({error}). {again}") from error
        if version != __version__:
            raise DataError(
                f"the checkpoint {str(self.path)!r} is of version {version}, this is {__version__}. {again}"
            )
        if plan != self.plan:
            other = sorted(key for key in {*plan, *self.plan} if plan.get(key) != self.plan.get(key))
            raise UsageError(
                f"the checkpoint {str(self.path)!r} is of another run: it differs in {', '.join(other)}. {again}"
            )
        return values

    def remove(self) -> None:
        """The run is complete."""
        self.path.unlink(missing_ok=True)


def identity(info: Info) -> dict[str, Any]:
    """What tells a source from another of its name: its size in bytes, and a digest of bytes at its ends and between.
    A folder's is of its files' names and sizes. Raises UsageError for one that cannot be resumed."""
    from vision.io import local_files

    files = local_files(info.uri) if not info.live else []
    if not files:
        raise UsageError(f"{info.uri!r} cannot be resumed: what it held before is gone. Give a file.")
    digest = hashlib.sha256()
    total = 0
    for file in files:
        size = file.stat().st_size
        total += size
        digest.update(f"{file.name} {size}".encode(errors="backslashreplace"))
        if len(files) == 1:
            with file.open("rb") as opened:
                for place in range(_PLACES):
                    opened.seek(max(0, size - _LOOKED_AT) * place // (_PLACES - 1))
                    digest.update(opened.read(_LOOKED_AT))
    return {"uri": info.uri, "bytes": total, "digest": digest.hexdigest()}


def states(steps: Sequence[Step], sinks: Sequence[Sink]) -> dict[str, Any]:
    """What the steps and the sinks remember."""
    return {
        "steps": {step.key: step.state() for step in steps},
        "engines": {step.key: step.about() for step in steps},
        "sinks": [sink.state() for sink in sinks],
    }


def written_down(plan: Sequence[Spec], sinks: Sequence[Any]) -> dict[str, Any]:
    """A plan with its sinks in plain values. Raises UsageError for a live object, and for a sink that has no spec."""
    for one in sinks:
        if not isinstance(one, SinkSpec):
            raise UsageError(f"{type(one).__name__} is an open sink of your own")
    return {
        "steps": [one.to_dict() for one in plan],
        "sinks": [{"sink": one.name, **one.to_dict()} for one in sinks],
    }
