"""The engine: a card's network on a device, behind one contract (`Engine`).

Importing this imports no back end; `load` imports those that it tries.
"""

from __future__ import annotations

import platform
import re
import shutil
import sys

from vision.card import Card
from vision.engine.backends import BACKENDS, PRECISIONS
from vision.engine.base import Engine, FakeEngine, Outputs
from vision.engine.choices import current
from vision.engine.chosen import ChosenEngine, candidates
from vision.engine.elsewhere import maker
from vision.engine.program import Program
from vision.errors import UsageError

__all__ = ["BACKENDS", "PRECISIONS", "Engine", "FakeEngine", "Outputs", "load"]


def load(
    card: Card, device: str = "auto", precision: str = "auto", backend: str = "auto", program: Program | None = None
) -> Engine:
    """The card's network, ready to run.

    device: `auto` (an accelerator that torch sees, else the CPU), `cpu`, `cuda`, `cuda:1`, `mps`,
    `xpu`. precision: `auto` (the fastest that the card's figures allow), `int8`, `fp32`, `fp16`, `bf16`.
    backend: `auto` (the fastest that is installed and runs the network), or a key of `BACKENDS`.
    program: what the back ends compile, for a network that no file holds; of the card's form unless given.

    What is the fastest is measured, once for a machine and a card, and logged. Where the graphs to measure
    have to be compiled first, this run goes the way that is likely the fastest, they are compiled beside it,
    and the next run measures. With `VISION_MEASURE=no` in the environment nothing is measured.

    Raises UsageError for a value that is not one of these, WeightsError where the weights are missing or
    not the card's, EngineError where the back end is not installed or cannot do what was asked.
    """
    if precision not in ("auto", *PRECISIONS):
        raise UsageError(f"no precision {precision!r}. There are: auto, {', '.join(PRECISIONS)}")
    if backend not in ("auto", *BACKENDS):
        raise UsageError(f"no back end {backend!r}. There are: auto, {', '.join(BACKENDS)}")
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", device):
        raise UsageError(f"no device {device!r}. There are: auto, cpu, cuda, cuda:1 ..., mps, xpu")
    make = maker.get()
    if make is not None and program is None:             # a program of one's own is in this process alone
        return make(card, device, precision, backend)
    devices = _devices() if device == "auto" else [device]
    choices = current.get()
    if choices is None:
        return ChosenEngine(candidates(card, devices, precision, backend, program))
    backend, precision = choices.settled(card.name, backend, precision)
    found = candidates(card, devices, precision, backend, program)
    return choices.note(card.name, ChosenEngine(found, several=choices.several))


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
