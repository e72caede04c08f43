"""A benchmark as a picture: throughput over latency."""

from __future__ import annotations

from vision.benchmark.whole import Benchmark
from vision.chart import Mark, scatter_chart
from vision.types import Image


def chart(found: Benchmark) -> Image:
    """Each step and each way to run its networks, throughput over the median latency: up and to the left is better.
    (H,W,3) uint8 BGR."""
    several = len({way.network for way in found.ways}) > 1
    marks = [Mark(one.name, one.figures.p50_ms, one.figures.fps, 0)
             for one in found.stages if one.figures.p50_ms is not None]
    groups = {name: number for number, name in enumerate(dict.fromkeys(way.network for way in found.ways), 1)}
    for way in found.ways:
        batch = "" if way.batch == 1 else f" x{way.batch}"
        name = f"{way.network} " if several else ""
        if way.figures.p50_ms is not None:
            marks.append(Mark(f"{name}{way.engine}{batch}", way.figures.p50_ms, way.figures.fps, groups[way.network]))
    return scatter_chart(marks, "latency, ms (median)", "frames a second")
