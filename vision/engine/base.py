"""The engine's contract, for every task: uint8 in, small results out."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vision.errors import EngineError

Outputs = tuple[np.ndarray, ...]


class CannotRun(EngineError):
    """A back end cannot run this network at all: `load(backend="auto")` goes on to the next."""


def checked_batch(batch: np.ndarray, input_wh: tuple[int, int] | None = None) -> np.ndarray:
    """The batch, contiguous; EngineError where it is not what an engine takes."""
    if (
        not isinstance(batch, np.ndarray)
        or batch.dtype != np.uint8
        or batch.ndim not in (4, 5)
        or batch.shape[-1] != 3
        or batch.size == 0
    ):
        came = f"{batch.dtype} {batch.shape}" if isinstance(batch, np.ndarray) else type(batch).__name__
        raise EngineError(
            "an engine takes uint8 BGR pictures (B,H,W,3) or clips (B,T,H,W,3), at least one; got "
            f"{came}. One picture goes in as image[None]."
        )
    if input_wh is not None and batch.shape[-2:-4:-1] != input_wh:
        raise EngineError(
            f"this graph takes pictures of {input_wh[0]}x{input_wh[1]}; got "
            f"{batch.shape[-2]}x{batch.shape[-3]}. Resize them first (vision.view)."
        )
    return np.ascontiguousarray(batch)


@dataclass
class Work:
    """What an engine has done. pictures: that went through it. executions: of its graph, each of a batch."""

    pictures: int = 0
    executions: int = 0


def refuse_fork(process: int, what: str) -> None:
    """Raise EngineError where this is not the process of id `process`: threads do not come along in
    `os.fork`, and whoever waits for one waits for ever. what: was loaded there."""
    if os.getpid() != process:
        raise EngineError(
            f"{what} was loaded in process {process}, and {os.getpid()} is a fork of it. Load it in each "
            "process, and start them by spawn."
        )


class Engine(Protocol):
    """A network on a device. Several threads may call one engine.

    A batch is (B,H,W,3) uint8 BGR, or (B,T,H,W,3) for clips; normalisation is inside the graph. The
    outputs are what the network's `decode` hands back, each with B as its first axis. Any batch
    size and, where `input_wh` is None, any picture size is taken.
    """

    @property
    def backend(self) -> str:
        """What runs the network, a key of `vision.engine.BACKENDS`."""
        ...

    @property
    def device(self) -> str:
        """Where it runs, as `load` takes it: "cpu", "cuda:1"."""
        ...

    @property
    def precision(self) -> str:
        """In which numbers, as `load` takes it: "fp32", "int8"."""
        ...

    @property
    def label(self) -> str:
        """Back end, device and precision for a reader: "openvino CPU bf16"."""
        ...

    @property
    def input_wh(self) -> tuple[int, int] | None:
        """The only size that the graph takes, or None: any."""
        ...

    @property
    def in_flight(self) -> int:
        """How many submitted pictures keep the device busy."""
        ...

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Start on a batch; the array must not be changed until the future is done."""
        ...

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Run a batch and wait for it."""
        ...

    def close(self) -> None:
        """Give the device's memory and threads back; submitted batches are finished first."""
        ...


class FakeEngine:
    """An engine made of a function: for tests, and for users who have their own way to run."""

    label = backend = "fake"
    device = "cpu"
    precision = "fp32"
    in_flight = 1

    def __init__(
        self, function: Callable[[np.ndarray], Outputs], input_wh: tuple[int, int] | None = None
    ) -> None:
        self.function = function
        self.input_wh = input_wh

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Run the function now; its error comes out of `result()`."""
        future: Future[Outputs] = Future()
        try:
            future.set_result(self.function(batch))
        except Exception as error:
            future.set_exception(error)
        return future

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Run the function."""
        return self.function(batch)

    def close(self) -> None:
        """Nothing to give back."""
