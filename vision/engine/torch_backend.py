"""PyTorch, on any device it has. The same lines run on a CPU and on a GPU."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from queue import SimpleQueue

import numpy as np
import torch
from torch import nn

from vision.engine.base import CannotRun, Outputs
from vision.engine.pictures import BATCH, PictureEngine, Run
from vision.engine.program import Program, Shape
from vision.errors import EngineError

_log = logging.getLogger("vision.engine")
_DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class TorchEngine(PictureEngine):
    """The torch graph on whole batches.

    On a GPU two batches are under way, each on a stream of its own: while one computes, the other
    is copied through pinned memory. A batch that does not fit into memory is halved, once for all.
    """

    def __init__(self, program: Program, device: str, precision: str, streams: int = 0) -> None:
        self._device = _found(device)
        on_cpu = self._device.type == "cpu"
        if precision not in _DTYPE:
            raise CannotRun(f"torch has no {precision}, only {', '.join(_DTYPE)}")
        self._dtype = _DTYPE[precision]
        self._largest: int | None = None               # pictures a batch, once memory ran out
        self._module = program.module().to(self._device)
        for layer in self._module.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.to(memory_format=torch.channels_last)
            if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.Linear):
                layer.to(self._dtype)                  # what autocast would do again at every batch
        lanes = 1 if on_cpu else 2
        self._streams: SimpleQueue[torch.Stream | None] = SimpleQueue()
        for _ in range(lanes):
            self._streams.put(None if self._device.type in ("cpu", "mps") else torch.Stream(self._device))
        if not on_cpu:
            torch.accelerator.synchronize(self._device)     # the weights have arrived, whatever the stream
        super().__init__(
            "torch", device, precision, lanes, lanes + 1 if on_cpu else 2 * BATCH, program, whole_batches=True,
            most=1 if on_cpu else BATCH,
        )

    def _build(self, shape: Shape | None, alone: bool) -> Run:
        return self._run

    def _run(self, batch: np.ndarray) -> Outputs:
        stream = self._streams.get()
        try:
            with stream or nullcontext():
                return self._halved(batch, stream)
        finally:
            self._streams.put(stream)

    def _halved(self, batch: np.ndarray, stream: torch.Stream | None) -> Outputs:
        """Run a batch, in parts where the whole has turned out not to fit into memory."""
        size = min(self._largest or len(batch), len(batch))
        parts: list[Outputs] = []
        first = 0
        while first < len(batch):
            try:
                parts.append(self._forward(batch[first : first + size], stream))
                first += size
                continue
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise EngineError(
                        f"{self.label}: no memory for one picture of {batch.shape[1:]}. Use smaller "
                        "pictures, a lower precision or another device."
                    ) from error
            size = self._halve(size)                   # outside `except`, whose traceback holds the tensors
        return parts[0] if len(parts) == 1 else tuple(np.concatenate(c) for c in zip(*parts, strict=True))

    def _halve(self, size: int) -> int:
        if self._largest is None:
            _log.warning("%s: out of memory with %d pictures; smaller batches from now on", self.label, size)
        self._largest = min(size // 2, self._largest or size)
        if self._device.type != "cpu":
            torch.accelerator.empty_cache()
        return self._largest

    def _forward(self, batch: np.ndarray, stream: torch.Stream | None) -> Outputs:
        pictures = torch.from_numpy(batch)
        if stream is not None:
            pictures = pictures.pin_memory()           # from torch's pool of pinned blocks: reused
        late = stream is not None                      # else nothing waits for the copies: on MPS there is none
        half = self._dtype != torch.float32
        with torch.inference_mode(), torch.autocast(self._device.type, self._dtype, enabled=half):
            outputs = self._module(pictures.to(self._device, non_blocking=late))
            outputs = [o.float() if o.is_floating_point() else o for o in outputs]
            hosted = [o.to("cpu", non_blocking=late) for o in outputs]
        if stream is not None:
            stream.synchronize()
        return tuple(o.numpy() for o in hosted)


def _found(name: str) -> torch.device:
    device = torch.device(name)
    if device.type != "cpu":
        here = torch.accelerator.current_accelerator(check_available=True)
        if here is None or here.type != device.type:
            raise CannotRun(f"torch has no {name!r} here, only cpu{f' and {here.type}' if here else ''}")
        if device.index is not None and device.index >= torch.accelerator.device_count():
            count = torch.accelerator.device_count()
            raise CannotRun(f"torch has no {name!r}, only {count} of {device.type}")
    return device
