"""onnxruntime: on the CPU, and on CUDA and TensorRT where its build has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort

from vision.engine import cache
from vision.engine.base import CannotRun, Outputs
from vision.engine.pictures import BATCH, PictureEngine, Run, cores
from vision.engine.program import Program, Shape

_TENSORRT, _CUDA, _CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"


class OnnxruntimeEngine(PictureEngine):
    """On the CPU a thread a core, each running a picture of its own; on a GPU whole batches.

    precision: fp32; with TensorRT also fp16; of a graph in int8 that alone.
    """

    def __init__(self, program: Program, device: str, precision: str, streams: int = 0) -> None:
        kind, _, self._index = device.partition(":")
        present = ort.get_available_providers()
        self._providers = [_CPU] if kind == "cpu" else [p for p in (_TENSORRT, _CUDA) if p in present]
        if kind not in ("cpu", "cuda") or not self._providers:
            raise CannotRun(
                f"this onnxruntime cannot use {device!r}, it has {', '.join(present)}. "
                "For CUDA: pip install onnxruntime-gpu"
            )
        allowed = ("fp16", "fp32") if _TENSORRT in self._providers else ("fp32",)
        allowed = ("int8",) if program.compressed else allowed
        if precision not in allowed:
            raise CannotRun(f"onnxruntime has no {precision} on {device!r}, only {', '.join(allowed)}")
        self._half, self._on_cpu = precision == "fp16", kind == "cpu"
        threads = cores() if self._on_cpu else 2
        super().__init__(
            "onnxruntime", device, precision, threads, threads + 1 if self._on_cpu else 2 * BATCH, program,
            whole_batches=not self._on_cpu, most=1 if self._on_cpu else BATCH,
        )

    def _build(self, shape: Shape | None, alone: bool) -> Run:
        options = ort.SessionOptions()
        options.log_severity_level = 3                         # errors only: the rest is for its authors
        if self._on_cpu and not alone:
            options.intra_op_num_threads = 1
        graph = self._program.onnx(shape, any_batch=not self._on_cpu)
        try:
            session = ort.InferenceSession(graph, options, [(p, self._settings(p)) for p in self._providers])
        except Exception as error:
            why = " ".join(str(error).split())[:300]
            raise CannotRun(f"onnxruntime cannot run {self._program.card.name!r}: {why}") from error
        if session.get_providers()[0] != self._providers[0]:
            raise CannotRun(
                f"onnxruntime has {self._providers[0]} but could not start it; its libraries (CUDA, cuDNN, "
                "TensorRT) are not the ones it was built for"
            )
        name = session.get_inputs()[0].name

        def run(batch: np.ndarray) -> Outputs:
            return tuple(session.run(None, {name: batch}))

        return run

    def _settings(self, provider: str) -> dict[str, Any]:
        if provider == _CPU:
            return {}
        settings: dict[str, Any] = {"device_id": int(self._index or 0)}
        if provider == _TENSORRT:                              # it compiles for minutes: keep the result
            settings |= {"trt_fp16_enable": self._half, "trt_engine_cache_enable": True}
            settings |= {"trt_engine_cache_path": str(cache.folder("tensorrt"))}
        return settings
