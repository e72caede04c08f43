"""The engine: a card's network on a device, behind one contract (`Engine`)."""

from __future__ import annotations

from vision.engine.base import Engine, FakeEngine, Outputs
from vision.engine.program import Program
from vision.errors import UsageError
from vision.zoo import Card

__all__ = ["Engine", "FakeEngine", "Outputs", "load"]


def load(card: Card, device: str = "auto", precision: str = "auto", backend: str = "auto") -> Engine:
    """The card's network, ready to run."""
    program = Program(card)
    if backend in ("auto", "openvino"):
        from vision.engine.openvino_backend import OpenvinoEngine

        return OpenvinoEngine(program, device, precision)
    if backend == "torch":
        from vision.engine.torch_backend import TorchEngine

        return TorchEngine(program, device, precision)
    raise UsageError(f"no back end {backend!r}. There are: auto, torch, openvino")
