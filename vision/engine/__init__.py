"""The engine: a card's network on a device, behind one contract (`Engine`).

Importing this imports no back end; `load` imports the one that it takes.
"""

from __future__ import annotations

import logging
import platform
import re
import shutil
import sys
import threading
from concurrent.futures import Future
from importlib import import_module

import numpy as np

from vision.card import Card
from vision.engine.base import CannotRun, Engine, FakeEngine, Outputs
from vision.engine.program import Program, program_of
from vision.errors import EngineError, UsageError

__all__ = ["BACKENDS", "PRECISIONS", "Engine", "FakeEngine", "Outputs", "load"]

# back end -> "module:class"; on a CPU the fastest first, on anything else torch comes first
BACKENDS = {
    "openvino": "openvino_backend:OpenvinoEngine",
    "onnxruntime": "onnx_backend:OnnxruntimeEngine",
    "torch": "torch_backend:TorchEngine",
    "opencv": "opencv_backend:OpencvEngine",
}
_PACKAGES = {"opencv": "opencv-python"}       # where the package has another name than the back end
PRECISIONS = ("fp32", "fp16", "bf16")

_log = logging.getLogger("vision.engine")

# At its import OpenVINO tells Google Analytics, in a process that it forks, and leaves a folder in the
# user's home. Without its package for that, which NNCF uses too, neither does.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def load(card: Card, device: str = "auto", precision: str = "auto", backend: str = "auto") -> Engine:
    """The card's network, ready to run.

    device: `auto` (an accelerator that torch sees, else the CPU), `cpu`, `cuda`, `cuda:1`, `mps`,
    `xpu`. precision: `auto` (the fastest that the card's tolerance allows; on a CPU int8, where the
    card has a compressed model), `int8`, `fp32`, `fp16`, `bf16`.
    backend: `auto` (the fastest that is installed and runs the network; logged), or a key of
    `BACKENDS`.

    Raises UsageError for a value that is not one of these, WeightsError where the weights are missing or
    not the card's, EngineError where the back end is not installed or cannot do what was asked.
    """
    if precision not in ("auto", "int8", *PRECISIONS):
        raise UsageError(f"no precision {precision!r}. There are: auto, int8, {', '.join(PRECISIONS)}")
    if backend not in ("auto", *BACKENDS):
        raise UsageError(f"no back end {backend!r}. There are: auto, {', '.join(BACKENDS)}")
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", device):
        raise UsageError(f"no device {device!r}. There are: auto, cpu, cuda, cuda:1 ..., mps, xpu")
    program = program_of(card)
    devices = _devices() if device == "auto" else [device]
    if backend == "auto":
        torch_first = ["torch", *(b for b in BACKENDS if b != "torch")]
        ranked = [(b, d) for d in devices for b in (BACKENDS if d == "cpu" else torch_first)]
    else:
        ranked = [(backend, d) for d in devices]
    if precision == "int8":
        compressed = card if program.compressed else card.int8
        if compressed is None:
            raise EngineError(f"{card.name!r} has no int8 file. Make one: vision models compress {card.name}")
        return _FirstThatRuns("auto", [(program_of(compressed), *where) for where in ranked])
    choices = [(program, *where) for where in ranked]
    if precision == "auto" and card.int8 is not None and ("openvino", "cpu") in ranked:
        choices.insert(ranked.index(("openvino", "cpu")), (program_of(card.int8), "openvino", "cpu"))
    return _FirstThatRuns(precision, choices)


def _devices() -> list[str]:
    """The devices that are worth a try, the fastest first. Asks torch only where a driver is."""
    if sys.platform == "darwin":
        likely = platform.machine() == "arm64"
    else:
        likely = shutil.which("nvidia-smi") is not None or shutil.which("xpu-smi") is not None
    if likely:
        import torch

        found = torch.accelerator.current_accelerator(check_available=True)
        if found is not None:
            return [found.type, "cpu"]
    return ["cpu"]


class _FirstThatRuns:
    """The first engine of a ranking that can run its program. Some tell only when the graph is built,
    at the first picture: that is logged, and the next one takes over."""

    def __init__(self, precision: str, ranked: list[tuple[Program, str, str]]) -> None:
        self._name = ranked[0][0].card.name
        self._precision = precision
        self._left = ranked                             # (program, back end, device), not tried yet
        self._reasons: list[str] = []                   # why those before it could not
        self._started: list[Engine] = []
        self._lock = threading.Lock()
        self._engine = self._start()

    @property
    def backend(self) -> str:
        """What runs the network, a key of `BACKENDS`."""
        return self._engine.backend

    @property
    def device(self) -> str:
        """Where it runs."""
        return self._engine.device

    @property
    def precision(self) -> str:
        """In which numbers."""
        return self._engine.precision

    @property
    def label(self) -> str:
        """Back end, device and precision for a reader."""
        return self._engine.label

    @property
    def input_wh(self) -> tuple[int, int] | None:
        """The only size that the graph takes, or None: any."""
        return self._engine.input_wh

    @property
    def in_flight(self) -> int:
        """How many submitted pictures keep the device busy."""
        return self._engine.in_flight

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Start on a batch; see `Engine`."""
        while True:
            engine = self._engine
            try:
                return engine.submit(batch)
            except CannotRun as error:
                self._give_up(engine, error)

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Run a batch and wait for it."""
        while True:
            engine = self._engine
            try:
                return engine(batch)
            except CannotRun as error:
                self._give_up(engine, error)

    def close(self) -> None:
        """Finish what was submitted, then give memory and threads back."""
        for engine in self._started:
            engine.close()

    def _start(self) -> Engine:
        while self._left:
            program, backend, device = self._left.pop(0)
            try:
                engine = _engine(program, device, self._precision, backend)
            except CannotRun as error:
                self._reasons.append(str(error))
                _log.info("not %s for %s: %s", backend, program.card.name, error)
                continue
            self._started.append(engine)
            _log.info("%s runs on %s", program.card.name, engine.label)
            return engine
        raise EngineError(f"nothing here runs {self._name!r}: {'; '.join(self._reasons)}.")

    def _give_up(self, engine: Engine, error: CannotRun) -> None:
        with self._lock:
            if self._engine is engine:                  # else another thread was here first
                self._reasons.append(str(error))
                if self._left:
                    _log.warning("%s", error)
                self._engine = self._start()


def _engine(program: Program, device: str, precision: str, backend: str) -> Engine:
    module, name = BACKENDS[backend].split(":")
    try:
        made: Engine = getattr(import_module(f"vision.engine.{module}"), name)(program, device, precision)
    except ModuleNotFoundError as error:
        package = _PACKAGES.get(backend, backend)
        raise CannotRun(f"{backend} is not installed: pip install {package}") from error
    return made
