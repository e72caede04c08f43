"""PyTorch, on any device it has."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from vision.engine.base import Outputs, checked
from vision.engine.program import Program


class TorchEngine:
    """The torch graph. One worker launches the batches in order."""

    def __init__(self, program: Program, device: str, precision: str) -> None:
        self.device = torch.device("cpu" if device == "auto" else device)
        self.label = f"torch {self.device} fp32"
        self.input_wh: tuple[int, int] | None = None
        self.in_flight = 2
        self._module = program.module().to(self.device)
        self._worker = ThreadPoolExecutor(1, "vision-torch")

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Start on a batch; see `Engine`."""
        return self._worker.submit(self._run, checked(batch, self.input_wh))

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Run a batch and wait for it."""
        return self.submit(batch).result()

    def close(self) -> None:
        """Finish what was submitted and give the thread back."""
        self._worker.shutdown()

    def _run(self, batch: np.ndarray) -> Outputs:
        with torch.inference_mode():
            return tuple(o.cpu().numpy() for o in self._module(torch.from_numpy(batch).to(self.device)))
