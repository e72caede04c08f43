"""How long each layer takes here, by onnxruntime's own clock."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np

from vision.inspect.layers import Network

_ROUNDS = 7


def measure(network: Network, graph: bytes) -> None:
    """Set `ms` of each layer: the best of some runs on one thread, operators as they stand in the graph, none joined.
    A graph that onnxruntime does not run keeps None."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    with tempfile.TemporaryDirectory() as folder:
        options.enable_profiling, options.profile_file_prefix = True, os.path.join(folder, "profile")
        try:
            session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            given = session.get_inputs()[0]
            picture = np.random.default_rng(0).integers(0, 256, [d if isinstance(d, int) else 1 for d in given.shape])
            kind = np.float32 if given.type == "tensor(float)" else np.uint8
            for _ in range(_ROUNDS):
                session.run(None, {given.name: picture.astype(kind)})
        except Exception:                                # onnxruntime has a tree of its own
            return
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times: dict[str, list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times.setdefault(event["name"].removesuffix("_kernel_time"), []).append(event["dur"] / 1000)
    for layer in network.layers:
        found = [min(times[name]) for name in layer.nodes if name in times]
        layer.ms = sum(found) if found else None
