"""OpenVINO: the fastest on a CPU."""

from __future__ import annotations

import hashlib
import zlib
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino as ov
from safetensors.numpy import load_file

from vision.engine import cache
from vision.engine.base import CannotRun, Outputs
from vision.engine.pictures import PictureEngine, Run, cores
from vision.engine.program import Program, Shape
from vision.errors import WeightsError

# One for all, and never let go. Each brings the thread that first uses it a stack for signals and, where it
# is freed before a later one, has that one bring back a stack that is gone (2026.4): the next signal that
# Python handles, Ctrl-C or the end of a child, then ends the process with a segmentation fault.
CORE = ov.Core()
_LARGEST_XML = 64_000_000
_HINT = {"int8": "f32", "fp32": "f32", "fp16": "f16", "bf16": "bf16"}


class OpenvinoEngine(PictureEngine):
    """Single pictures on OpenVINO's asynchronous streams, with requests waiting behind each, so
    that no stream is idle while Python fetches a result.

    streams: pictures at a time, which share the processors; 0: as many as OpenVINO likes. Compiled graphs are
    kept in the cache, where one is back in a quarter of the time.
    """

    def __init__(self, program: Program, device: str, precision: str, streams: int = 0) -> None:
        if device != "cpu":
            raise CannotRun(f"openvino runs on the CPU here, not on {device!r}")
        if program.compressed != (precision == "int8"):
            what = "is compressed to int8" if program.compressed else "is not compressed: there is no int8"
            raise CannotRun(f"openvino cannot run {program.card.name!r} in {precision}: it {what}")
        allowed = ["int8", "fp32", *(p for p in ("fp16", "bf16") if p.upper() in _abilities())]
        if precision not in allowed:
            raise CannotRun(f"openvino has no {precision} on this CPU, only {', '.join(allowed)}")
        self._streams = streams
        requests = (streams or cores()) + 2                    # at most a stream a core, and two waiting
        # of any size, OpenVINO 2026.4 runs int8 graphs to no sense, and with bounds for the sides others too
        super().__init__(
            "openvino", "cpu", precision, requests, requests, program, any_size=not program.compressed)

    @classmethod
    def at_hand(cls, program: Program, shape: Shape, precision: str, streams: int) -> bool:
        """Whether the compiled graph is in the cache."""
        return cache.holds(_name(program, shape, _config(precision, streams)))

    def _build(self, shape: Shape | None, alone: bool) -> Run:
        program = self._program
        # many sizes at a time would take memory for each
        config = _config(self.precision, 1 if alone or shape is None else self._streams)
        name = _name(program, shape, config)
        compiled = None
        if (kept := cache.read(name)) is not None:
            with suppress(RuntimeError):                       # of another OpenVINO or processor, after all
                compiled = CORE.import_model(kept, "CPU", config)
        if compiled is None:
            graph = read_graph(program.weights) if program.alone else CORE.read_model(program.onnx(
                None if program.any_size else shape))
            graph.reshape({0: ov.PartialShape([1, *(shape or (-1, -1, 3))])})
            try:
                compiled = CORE.compile_model(graph, "CPU", config)
            except RuntimeError as error:
                why = " ".join(str(error).split())[-300:]
                raise CannotRun(f"openvino cannot run {program.card.name!r}: {why}") from error
            cache.write(name, compiled.export_model().getvalue())
        requests: SimpleQueue[ov.InferRequest] = SimpleQueue()
        for _ in range(2 if alone or shape is None else self._threads):
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


def _config(precision: str, streams: int) -> dict[str, Any]:
    """How OpenVINO is to compile. Of a compressed graph, what is left in float stays in float32."""
    streaming = {"PERFORMANCE_HINT": "LATENCY"} if streams == 1 else {"PERFORMANCE_HINT": "THROUGHPUT"}
    if streams > 1:
        streaming["NUM_STREAMS"] = str(streams)
    return {**streaming, "INFERENCE_PRECISION_HINT": _HINT[precision]}


def _name(program: Program, shape: Shape | None, config: dict[str, Any]) -> str:
    """Of the compiled graph in the cache."""
    here = (ov.__version__, CORE.get_property("CPU", "FULL_DEVICE_NAME"), _abilities(), cores())
    facts = repr((program.digest, shape, sorted(config.items()), here))
    return f"graphs/{hashlib.sha256(facts.encode()).hexdigest()[:24]}.blob"


def _abilities() -> list[str]:
    return list(CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def read_graph(path: Path) -> ov.Model:
    """The graph of a file that `vision compress` wrote, the two files of OpenVINO as tensors, or of these two (`.xml`).
    Raises WeightsError where it holds something else."""
    try:
        if path.suffix == ".xml":
            return CORE.read_model(path)
        tensors = load_file(path)
        unpacking = zlib.decompressobj()
        graph = unpacking.decompress(tensors["graph"].tobytes(), _LARGEST_XML)
        if not unpacking.eof:
            raise ValueError(f"a graph of more than {_LARGEST_XML} bytes")
        return CORE.read_model(graph, ov.Tensor(tensors["weights"]))
    except Exception as error:                           # zlib's, OpenVINO's, safetensors'
        why = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"{str(path)!r} holds no graph of OpenVINO ({type(error).__name__}: {why}). It was not written by "
            "`vision compress` or `vision export`."
        ) from error
