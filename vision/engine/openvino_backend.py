"""OpenVINO: the fastest on a CPU."""

from __future__ import annotations

import zlib
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import openvino as ov
from safetensors.numpy import load_file

from vision.engine import cache
from vision.engine.base import CannotRun, Outputs
from vision.engine.pictures import PictureEngine, Run, cores
from vision.engine.program import Program, Shape

# One for all, and never let go. Each brings the thread that first uses it a stack for signals and, where it
# is freed before a later one, has that one bring back a stack that is gone (2026.4): the next signal that
# Python handles, Ctrl-C or the end of a child, then ends the process with a segmentation fault.
CORE = ov.Core()
_HINT = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}


class OpenvinoEngine(PictureEngine):
    """Single pictures on OpenVINO's asynchronous streams, with requests waiting behind each, so
    that no stream is idle while Python fetches a result.

    precision: `auto` is bf16 on a CPU with matrix units for it (AMX) where the card's tolerance
    allows, else fp32: with AVX-512 alone bf16 was measured slower than fp32 by half.
    """

    def __init__(self, program: Program, device: str, precision: str) -> None:
        if device != "cpu":
            raise CannotRun(f"openvino runs on the CPU here, not on {device!r}")
        self._program = program
        abilities = CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        allowed = ["fp32", *(p for p in ("fp16", "bf16") if p.upper() in abilities)]
        if precision == "auto":
            precision = "bf16" if _has_amx() and program.allows("bf16") else "fp32"
        if precision not in allowed:
            raise CannotRun(f"openvino has no {precision} on this CPU, only {', '.join(allowed)}")
        self._hint = _HINT[precision]
        # of a compressed graph, what is left in float is in `precision`
        kind = "int8" if program.compressed else precision
        requests = cores() + 2                                 # at most a stream a core, and two waiting
        super().__init__("openvino", "cpu", kind, requests, requests, program.input_wh)

    def _build(self, shape: Shape, alone: bool) -> Run:
        if self._program.compressed:
            graph = _compressed(self._program.weights)
            graph.reshape({0: [1, *shape]})
        else:
            graph = self._program.onnx(shape)
        hint = "LATENCY" if alone else "THROUGHPUT"
        # a compiled graph is back in a quarter of the time; of its own folder, since OpenVINO takes a
        # float32 one for float16 otherwise
        folder = cache.folder(f"openvino/{hint}-{self._hint}".lower())
        config = {
            "CACHE_DIR": str(folder),
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": self._hint,
        }
        try:
            compiled = CORE.compile_model(graph, "CPU", config)
        except RuntimeError as error:
            why = " ".join(str(error).split())[-300:]
            raise CannotRun(f"openvino cannot run {self._program.card.name!r}: {why}") from error
        cache.trim(folder, "*.blob")
        requests: SimpleQueue[ov.InferRequest] = SimpleQueue()
        for _ in range(2 if alone else self._threads):
            requests.put(compiled.create_infer_request())
        outputs = range(len(compiled.outputs))

        def run(picture: np.ndarray) -> Outputs:
            request = requests.get()
            try:
                request.set_input_tensor(ov.Tensor(picture, shared_memory=True))
                request.start_async()
                request.wait()
                return tuple(request.get_output_tensor(k).data.copy() for k in outputs)
            finally:
                requests.put(request)

        return run


def _compressed(path: Path) -> ov.Model:
    """The graph of a file that `vision.engine.compress` wrote: the two files of OpenVINO as tensors."""
    tensors = load_file(path)
    return CORE.read_model(zlib.decompress(tensors["graph"].tobytes()), ov.Tensor(tensors["weights"]))


def _has_amx() -> bool:
    cpu = Path("/proc/cpuinfo")
    return cpu.is_file() and "amx_bf16" in cpu.read_text()
