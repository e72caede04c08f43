"""What Prometheus reads: requests, latency, what waits, batches, frames dropped by cause, per model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, Metric

KIND = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.12, 0.18, 0.25, 0.5, 1, 2, 5, 10, 30)
CAUSES = ("replaced by a newer one", "busy", "not a picture", "failed", "the visitor has gone")


class Metrics:
    """The figures of one server, in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]      # the time at which each series began
        self.registry = CollectorRegistry()
        here: Any = {"registry": self.registry}
        self.requests = Counter("vision_requests", "Requests by task and status.", ["task", "status"], **here)
        self.seconds = Histogram("vision_request_seconds", "From a request's head to its answer.", ["task"],
                                 buckets=_SECONDS, **here)
        self.stream_seconds = Histogram("vision_stream_seconds", "From a stream's picture to its record.",
                                        buckets=_SECONDS, **here)
        self.under_way = Gauge("vision_requests_under_way", "Requests that are not answered yet.", ["task"], **here)
        self.frames = Counter("vision_frames", "Pictures with a result, by task and model.", ["task", "model"], **here)
        self.dropped = Counter("vision_frames_dropped", "Pictures without a result, by cause.", ["cause"], **here)
        for cause in CAUSES:
            self.dropped.labels(cause)
        self._child = cache(lambda metric, *labels: metric.labels(*labels))    # of which there are few

    def began(self, task: str) -> None:
        """A request has come."""
        self._child(self.under_way, task).inc()

    def ended(self, task: str, status: int, seconds: float) -> None:
        """It was answered."""
        self._child(self.under_way, task).dec()
        self._child(self.requests, task, str(status)).inc()
        self._child(self.seconds, task).observe(seconds)

    def looked(self, record: Mapping[str, Any]) -> None:
        """A picture has its record."""
        for key, payload in record.items():
            if isinstance(payload, dict) and "model" in payload:
                self._child(self.frames, key, payload["model"]).inc()

    def drop(self, cause: str, count: int = 1) -> None:
        """Pictures get no result."""
        if count:
            self.dropped.labels(cause).inc(count)

    def watch(
        self, gauges: Mapping[str, tuple[str, Callable[[], float]]], engines: Callable[[], Iterable[Any]]
    ) -> None:
        """Ask these when somebody reads. gauges: name -> help and value. engines: name of the model and engine."""
        for name, (text, value) in gauges.items():
            Gauge(name, text, registry=self.registry).set_function(value)
        self.registry.register(_Engines(engines))

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self.registry)


class _Engines:
    """Inferences and executions of every engine: their quotient is the mean size of a batch."""

    def __init__(self, engines: Callable[[], Iterable[Any]]) -> None:
        self.engines = engines

    def collect(self) -> Iterator[Metric]:
        """The figures as they are now."""
        pictures = CounterMetricFamily("vision_inferences", "Pictures that went through a network.",
                                       labels=["model", "engine"])
        runs = CounterMetricFamily("vision_executions", "Executions of a network, each of a batch.",
                                   labels=["model", "engine"])
        for name, engine in self.engines():
            work = getattr(engine, "work", None)
            if work is not None:
                pictures.add_metric([name, engine.label], work.pictures)
                runs.add_metric([name, engine.label], work.executions)
        yield pictures
        yield runs

    def describe(self) -> list[Metric]:
        """Nothing is asked of the engines before somebody reads."""
        return []
