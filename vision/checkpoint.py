"""Where a run stands, on disk: so that one that was killed goes on, byte for byte, where it was.

One file beside the first output. It is written whole or not at all, at a boundary between two frames.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from vision import __version__, state
from vision.errors import DataError, SinkError, UsageError
from vision.files import write_whole
from vision.io import Info
from vision.io.pictures import PICTURE_SUFFIXES
from vision.sinks.base import Sink, SinkSpec
from vision.steps.base import Spec, Step

EVERY_S = 10.0
_LOOKED_AT, _PLACES = 1 << 14, 64              # bytes of a source at so many places, its ends among them

_LATER_PART = re.compile(r"\.part\.\d+\.mp4$")                # see `VideoWriter`

Key = tuple[int, str, str]       # a stream of a run: its source's number, its URI, of pictures a digest of their names


class Checkpoint:
    """A run's checkpoint. path: its file. every: seconds between two. asked: whether somebody asked for checkpoints.

    plan: what was asked for, in plain values: a checkpoint of another plan is refused.
    """

    def __init__(self, path: Path, every: float, plan: Mapping[str, Any], *, asked: bool = True) -> None:
        self.path, self.every, self.plan, self.asked = path, every, plan, asked
        self._last = monotonic()
        self._possible = True                            # to write it

    @property
    def due(self) -> bool:
        """Whether it is time for another one."""
        return self._possible and monotonic() - self._last >= self.every

    def save(self, values: Mapping[str, Any]) -> str:
        """Write where the run stands. Where that cannot be, and nobody asked for checkpoints, none follow. Returns a
        note on that, else an empty one. Raises SinkError where somebody asked."""
        if not self._possible:
            return ""
        try:
            write_whole(self.path, state.dumps({**values, "version": __version__, "plan": self.plan}))
        except SinkError as error:
            if self.asked:
                raise
            self._possible = False
            return f"without checkpoints, this run cannot be resumed: {error}"
        self._last = monotonic()
        return ""

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
        """The run is complete, or another begins anew."""
        with suppress(OSError):
            self.path.unlink()


@dataclass
class Standing:
    """Where a run stands among the streams of its sources.

    done: streams that were read to their end. failed: those that an error ended after frames of them were written.
    left: how many frames a source may still give, by its number, where it was asked for so many at most. outputs: what
    the run writes. at: the stream in the middle of which the run was killed.
    """

    done: list[Key] = field(default_factory=list)
    failed: list[Key] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    outputs: set[str] = field(default_factory=set)
    at: Key | None = None

    def __post_init__(self) -> None:
        self._real = set(map(os.path.realpath, self.outputs))
        self._lines = list(map(json.dumps, self.done))   # one text, since there may be many thousands

    def state(self) -> dict[str, Any]:
        """The same in plain values, without `at`."""
        return {"done": "\n".join(self._lines), "failed": list(self.failed), "left": dict(self.left),
                "outputs": "\0".join(sorted(self.outputs))}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Standing:
        """What `state` returned, with `at` beside it. Raises DataError for something else."""
        try:
            done = [key_of(json.loads(line)) for line in values["done"].split("\n") if line]
            failed = [key_of(one) for one in values["failed"]]
            left = {str(number): int(count) for number, count in values["left"].items()}
            at = key_of(values["at"]) if "at" in values else None
            return cls(done, failed, left, set(values["outputs"].split("\0")) - {""}, at)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise DataError(f"the checkpoint is not of such a run ({type(error).__name__}: {error}). Run again without "
                            "--resume.") from error

    def finish(self, key: Key) -> None:
        """A stream was read to its end."""
        self.done.append(key)
        self._lines.append(json.dumps(key))

    def writes(self, paths: Iterable[Path]) -> bool:
        """Remember outputs. Returns whether one of them is new."""
        new = {str(path) for path in paths} - self.outputs - {"-"}
        self.outputs |= new
        self._real.update(map(os.path.realpath, new))
        return bool(new)

    def wrote(self, path: Path) -> bool:
        """Whether a file is the run's own, and no source: by its name, also as a later part of a film that is one, or
        as a picture in a folder of such."""
        real = _LATER_PART.sub(".part.mp4", os.path.realpath(path))
        own_folder = path.suffix.lower() in PICTURE_SUFFIXES and os.path.dirname(real) in self._real
        return real in self._real or own_folder


def key_of(values: Sequence[Any]) -> Key:
    """A key in plain values. Raises ValueError or TypeError for something else."""
    number, uri, digest = values
    return int(number), str(uri), str(digest)


def digest_of(pictures: Sequence[Path]) -> str:
    """What tells a run of pictures from another; empty for no pictures."""
    names = "\0".join(map(str, pictures)).encode(errors="surrogateescape")
    return hashlib.sha256(names).hexdigest()[:16] if pictures else ""


def identity(info: Info, pictures: Sequence[Path] = ()) -> dict[str, Any]:
    """What tells a source from another of its name: its size in bytes, and a digest of bytes at its ends and between.
    That of pictures is of their files' names and sizes. Raises UsageError for one that cannot be resumed."""
    from vision.io import local_files

    files = list(pictures) or (local_files(info.uri) if not info.live else [])
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


def states(steps: Sequence[Step], sinks: Sequence[Sink]) -> dict[str, Any] | None:
    """What the steps and the sinks remember; None where one of them cannot be put down. A film's part is closed to be
    put down: no sink is asked before the steps can be."""
    remembered = {step.key: step.state() for step in steps}
    if None in remembered.values():
        return None
    written = [sink.state() for sink in sinks]
    if None in written:
        return None
    return {"steps": remembered, "engines": {step.key: step.about() for step in steps}, "sinks": written}


def written_down(plan: Sequence[Spec], sinks: Sequence[Any]) -> dict[str, Any]:
    """A plan with its sinks in plain values. Raises UsageError for a live object, and for a sink that has no spec."""
    for one in sinks:
        if not isinstance(one, SinkSpec):
            raise UsageError(f"{type(one).__name__} is an open sink of your own")
    return {
        "steps": [one.to_dict() for one in plan],
        "sinks": [{"sink": one.name, **one.to_dict()} for one in sinks],
    }
