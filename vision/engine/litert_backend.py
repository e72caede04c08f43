"""LiteRT, for the `.tflite` files that `vision export` writes for phones and small boards; on a computer it shows what
they give. On the CPU in float32."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from vision.engine.base import CannotRun, Outputs
from vision.engine.pictures import PictureEngine, Run, cores
from vision.engine.program import Program, Shape


class LitertEngine(PictureEngine):
    """One picture at a time, of the size that the file is for."""

    def __init__(self, program: Program, device: str, precision: str, streams: int = 0) -> None:
        if device != "cpu" or precision != "fp32":
            raise CannotRun(f"litert runs in fp32 on the CPU here, not in {precision} on {device!r}")
        super().__init__("litert", "cpu", "fp32", 1, 2, program, any_size=False)

    def _build(self, shape: Shape | None, alone: bool) -> Run:
        name = self._program.card.name
        try:
            graph: Any = Interpreter(str(self._program.weights), num_threads=cores())
            graph.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise CannotRun(f"litert cannot run {name!r}: {' '.join(str(error).split())[:200]}") from error
        (taken,), given = graph.get_input_details(), graph.get_output_details()
        if tuple(taken["shape"]) != (1, *(shape or ())) or taken["dtype"] is not np.uint8:
            raise CannotRun(f"{name!r} takes {taken['dtype'].__name__} {tuple(taken['shape'])} alone, not {shape}")
        lock = threading.Lock()                                # an interpreter holds the picture it works on

        def run(picture: np.ndarray) -> Outputs:
            with lock:
                graph.set_tensor(taken["index"], picture)
                graph.invoke()
                return tuple(graph.get_tensor(one["index"]) for one in given)

        return run
