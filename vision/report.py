"""What became of every frame of a source, and where the time went."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Report:
    """What became of every frame, and where the time went.

    source: its name.
    read: frames that the source gave. inferred: with results. written: through every sink.
    dropped: frames without a result, by cause.
    corrupt, passed_over: as the source counted them (broken data; outside the range or between strides).
    notes: the reader's remarks.
    seconds: from the first frame to the last sink.
    waited_s: what the run's own thread waited for, by stage: `read`, a step's key, `write`. The largest
        names the bottleneck.
    latency: seconds from a frame's arrival until it was written, of the last 10,000 frames.
    live: whether the source was live; for a file, latency is how long a frame waited.
    """

    source: str = ""
    read: int = 0
    inferred: int = 0
    written: int = 0
    corrupt: int = 0
    passed_over: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    waited_s: dict[str, float] = field(default_factory=dict)
    latency: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))
    live: bool = False

    def drop(self, cause: str, count: int) -> None:
        """Count frames that get no result."""
        if count:
            self.dropped[cause] = self.dropped.get(cause, 0) + count

    def waited(self, stage: str, seconds: float) -> None:
        """Add to what the run's own thread waited for."""
        self.waited_s[stage] = self.waited_s.get(stage, 0.0) + seconds

    @property
    def fps(self) -> float:
        """Frames with results per second of the run."""
        return self.inferred / self.seconds if self.seconds else 0.0

    @property
    def bottleneck(self) -> str:
        """The stage that limits: `read`, a step's key, or `write`."""
        return max(self.waited_s, key=lambda stage: self.waited_s[stage], default="read")

    @property
    def unexplained(self) -> int:
        """Frames that were read and are neither written nor dropped for a cause: must be 0."""
        return self.read - self.written - sum(self.dropped.values())

    def to_dict(self) -> dict[str, Any]:
        """The report in plain values, for `--report`."""
        ms = np.percentile(list(self.latency) or [0.0], [50, 95, 99]) * 1000
        return {
            "source": self.source,
            "decoded": self.read + self.passed_over,
            "passed_over": self.passed_over,
            "corrupt": self.corrupt,
            "inferred": self.inferred,
            "written": self.written,
            "dropped": dict(self.dropped),
            "unexplained": self.unexplained,
            "seconds": round(self.seconds, 3),
            "fps": round(self.fps, 2),
            "bottleneck": self.bottleneck,
            "waited_s": {stage: round(s, 3) for stage, s in self.waited_s.items()},
            "latency_ms": {p: round(float(v), 1) for p, v in zip(("p50", "p95", "p99"), ms, strict=True)},
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        lost = "".join(f", {n} dropped ({cause})" for cause, n in self.dropped.items())
        return f"Report({self.source!r}: {self.read} read, {self.inferred} inferred, {self.written} written{lost})"
