"""OpenVINO: the fastest on a CPU. A batch becomes single pictures on an asynchronous queue."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future

import numpy as np
import openvino as ov

from vision.engine.base import Outputs, checked
from vision.engine.program import Program, Shape


class _Job:
    """A batch under way: its pictures finish in any order."""

    __slots__ = ("_lock", "batch", "error", "future", "left", "parts")

    def __init__(self, batch: np.ndarray) -> None:
        self.batch = batch
        self.future: Future[Outputs] = Future()
        self.parts: list[Outputs] = [()] * len(batch)
        self.left = len(batch)
        self.error: Exception | None = None
        self._lock = threading.Lock()

    def done(self, index: int, outputs: Outputs, error: Exception | None) -> None:
        with self._lock:
            self.parts[index] = outputs
            self.error = self.error or error
            self.left -= 1
            if self.left:
                return
        try:
            if self.error is not None:
                raise self.error
            whole = self.parts[0] if len(self.parts) == 1 else tuple(
                np.concatenate(column) for column in zip(*self.parts, strict=True)
            )
            self.future.set_result(whole)
        except Exception as problem:
            self.future.set_exception(problem)


class _Graph:
    """A compiled model of one picture size, and its requests."""

    def __init__(self, compiled: ov.CompiledModel, requests: int) -> None:
        self._idle = deque(compiled.create_infer_request() for _ in range(requests))
        self._waiting: deque[tuple[_Job, int]] = deque()
        self._lock = threading.Lock()
        self._outputs = range(len(compiled.outputs))

    def submit(self, job: _Job) -> None:
        for index in range(len(job.batch)):
            with self._lock:
                if not self._idle:
                    self._waiting.append((job, index))
                    continue
                request = self._idle.popleft()
            self._start(request, job, index)

    def _start(self, request: ov.InferRequest, job: _Job, index: int) -> None:
        tensor = ov.Tensor(job.batch[index : index + 1], shared_memory=True)
        request.set_input_tensor(tensor)
        request.set_callback(self._finished, (request, job, index, tensor))
        request.start_async()

    def _finished(self, of: tuple[ov.InferRequest, _Job, int, ov.Tensor]) -> None:
        request, job, index, _ = of
        outputs: Outputs = ()
        error: Exception | None = None
        try:
            outputs = tuple(request.get_output_tensor(k).data.copy() for k in self._outputs)
        except Exception as problem:
            error = problem
        with self._lock:
            following = self._waiting.popleft() if self._waiting else None
            if following is None:
                self._idle.append(request)
        if following is not None:
            self._start(request, *following)
        job.done(index, outputs, error)


class OpenvinoEngine:
    """Compiled graphs, one a picture size, made when a size first comes."""

    def __init__(self, program: Program, device: str, precision: str) -> None:
        self._core = ov.Core()
        self._program = program
        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = "bf16" if "BF16" in capabilities and precision in ("auto", "bf16") else "fp32"
        self.label = f"openvino CPU {self.precision}"
        self.input_wh: tuple[int, int] | None = None
        self.in_flight = 4
        self._graphs: dict[Shape, _Graph] = {}
        self._lock = threading.Lock()

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Start on a batch; see `Engine`."""
        batch = checked(batch, self.input_wh)
        graph = self._graphs.get(batch.shape[1:]) or self._graph(batch.shape[1:])
        job = _Job(batch)
        graph.submit(job)
        return job.future

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Run a batch and wait for it."""
        return self.submit(batch).result()

    def close(self) -> None:
        """Finish what was submitted and give memory back."""

    def _graph(self, shape: Shape) -> _Graph:
        with self._lock:
            if shape not in self._graphs:
                model = self._core.read_model(self._program.onnx(shape))
                config = {
                    "PERFORMANCE_HINT": "THROUGHPUT",
                    "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
                }
                compiled = self._core.compile_model(model, "CPU", config)
                self._graphs[shape] = _Graph(compiled, self.in_flight)
            return self._graphs[shape]
