"""OpenCV's own `dnn`: for a machine that has nothing else. No torch once the graph is cached."""

from __future__ import annotations

import threading

import cv2
import numpy as np

from vision.engine.base import CannotRun, Outputs
from vision.engine.pictures import PictureEngine, Run
from vision.engine.program import Program, Shape


class OpencvEngine(PictureEngine):
    """One picture at a time, on the CPU in float32."""

    def __init__(self, program: Program, device: str, precision: str, streams: int = 0) -> None:
        if device != "cpu" or precision != "fp32":
            raise CannotRun(f"opencv runs in fp32 on the CPU, not in {precision} on {device!r}")
        super().__init__("opencv", "cpu", "fp32", 1, 2, program, any_size=False)

    def _build(self, shape: Shape | None, alone: bool) -> Run:
        assert shape is not None                               # as `any_size` says
        graph = self._program.onnx(shape)
        name = self._program.card.name
        operators, shapes = _read(graph)
        if "NonMaxSuppression" in operators:                   # with nothing found it divides by zero: SIGFPE
            raise CannotRun(f"opencv cannot run {name!r}: its NonMaxSuppression ends the process")
        try:
            net = cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))
            names = net.getUnconnectedOutLayersNames()
            net.setInput(np.zeros((1, *shape), np.uint8))
            given = [o.shape for o in net.forward(names)]      # what it cannot do shows only here
        except cv2.error as error:
            why = " ".join(str(error).split())[-300:]
            raise CannotRun(f"opencv cannot run {name!r}: {why}") from error
        if not all(_fits(g, s) for g, s in zip(given, shapes, strict=True)):
            raise CannotRun(f"opencv runs {name!r} wrongly: outputs {given}, expected {shapes}")
        lock = threading.Lock()                                # a net holds the pictures it works on

        def run(picture: np.ndarray) -> Outputs:
            with lock:
                net.setInput(picture)
                return tuple(np.array(o) for o in net.forward(names))

        return run


def _read(content: bytes) -> tuple[set[str], list[list[int]]]:
    """The graph's operators, and its outputs' shapes with 0 for what is not known."""
    import onnx

    graph = onnx.load_from_string(content).graph
    shapes = [[d.dim_value for d in o.type.tensor_type.shape.dim] for o in graph.output]
    return {node.op_type for node in graph.node}, shapes


def _fits(given: tuple[int, ...], expected: list[int]) -> bool:
    return len(given) == len(expected) and all(e in (0, g) for g, e in zip(given, expected, strict=True))
