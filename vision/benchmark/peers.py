"""Other people's tools beside ours, where they are installed: warm, on the same frames, in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from vision.benchmark.meter import Latencies
from vision.steps.base import Spec


class Peer(Protocol):
    """Another tool, loaded. name, engine: for the table. note: what a reader of its figures should know."""

    name: str
    engine: str
    note: str

    def run(self, uri: str, frames: int) -> tuple[int, Latencies]:
        """Do the first frames of a source. Returns how many, and the seconds that each took."""
        ...


class Ultralytics:
    """`yolo predict` as a library call, without anything written: the plan's own YOLO where `detect` has one, else
    YOLO11n with random weights, whose speed is that of trained ones."""

    name = "ultralytics predict"

    def __init__(self, plan: Sequence[Spec]) -> None:
        from vision.tasks.yolo import ultralytics

        yolo = ultralytics("--peer ultralytics")
        named = next((str(getattr(spec, "model", "")) for spec in plan if spec.task == "detect"), "")
        own = Path(named).suffix in (".pt", ".onnx") and Path(named).exists()
        self._yolo: Any = yolo(named, task="detect") if own else yolo("yolo11n.yaml", task="detect")
        self.engine = Path(named).name if own else "torch, YOLO11n with random weights"
        self.note = ("ultralytics ran the plan's own file" if own else
                     "ultralytics ran YOLO11n with random weights, another network than the plan's: compare equals "
                     "with a plan whose detect has model = \"yolo11n.onnx\"")

    def run(self, uri: str, frames: int) -> tuple[int, Latencies]:
        """Do the first frames."""
        times: list[float] = []
        began = perf_counter()
        for _ in self._yolo.predict(uri, stream=True, verbose=False, save=False):
            now = perf_counter()
            times.append(now - began)
            began = now
            if len(times) == frames:
                break
        return len(times), times


PEERS: dict[str, Callable[[Sequence[Spec]], Peer]] = {"ultralytics": Ultralytics}
