"""Watching what the models see, while they serve: distributions as metrics, and an alarm when they drift."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from time import monotonic
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

from vision.item import Item
from vision.serve.drift import SAMPLED, STATISTICS, Distribution, Reference, values_of
from vision.serve.seen import Seen, embedding, look, models_in

_log = logging.getLogger("vision.serve")
_LOOKED_S = 0.1                                          # between two pictures whose brightness is taken
_EMBEDDED_S = 1.0                                        # and between two that the classifier sees
_WINDOW = 200                                            # pictures that are kept of each model, without a reference
_LEAST = 20                                              # pictures before anything is said of drift
_BINS: Mapping[str, tuple[float, ...]] = {
    "score": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), "count": (0, 1, 2, 3, 5, 8, 13, 21, 34, 55),
    "brightness": tuple(range(16, 257, 16)), "sharpness": (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4),
    "distance": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
}
_HELP = {
    "score": "Scores of what was found.", "count": "Objects a picture.", "brightness": "Mean brightness, 0..255.",
    "sharpness": "Logarithm of the variance of the Laplacian.",
    "distance": "Distance of embeddings from the reference.",
}


class Drift(NamedTuple):
    """A statistic of a model now. shift: how far it is from the reference; threshold: what is too far."""

    shift: float
    threshold: float

    @property
    def alarm(self) -> bool:
        """Whether it is too far."""
        return self.shift > self.threshold


class Monitor:
    """What every model of a server sees.

    registry: where the metrics are. reference: what it is compared with, or None. classifier: makes the embeddings'
    classifier when one is first needed.
    """

    def __init__(
        self, registry: CollectorRegistry, reference: Reference | None, classifier: Callable[[], Any] | None = None
    ) -> None:
        self.reference, self._classifier = reference, classifier
        self.window = reference.window if reference else _WINDOW
        self._lately: dict[str, dict[str, deque[list[Any]]]] = {}            # by model and statistic
        self._alarms: set[tuple[str, str]] = set()
        self._looked, self._embedded, self._checked = 0.0, 0.0, 0.0
        self._lock = threading.Lock()
        self._histograms = {
            name: Histogram(f"vision_seen_{name}", text, ["model"], buckets=_BINS[name], registry=registry)
            for name, text in _HELP.items()
        }
        self._child = cache(lambda metric, *labels: metric.labels(*labels))
        self._classes = Counter("vision_seen_class", "Objects by class.", ["model", "class"], registry=registry)
        registry.register(_Drifts(self))

    def take(self, item: Item) -> None:
        """Count what was found on a picture."""
        mean = self.reference.embedding if self.reference else None
        brightness, sharpness, vector = self._look(item)
        for model, seen in models_in(item.record):
            seen.brightness, seen.sharpness, seen.embedding = brightness, sharpness, vector
            self._add(model, seen, values_of(seen, mean))
        if self.reference is not None and monotonic() - self._checked > 1:
            self._checked = monotonic()
            self._warn()

    def models(self) -> list[str]:
        """Those that saw something."""
        with self._lock:
            return list(self._lately)

    def lately(self, model: str) -> dict[str, list[Any]]:
        """The values of each statistic in the latest pictures of a model."""
        with self._lock:
            pictures = {name: list(several) for name, several in self._lately.get(model, {}).items()}
        return {name: [value for one in pictures.get(name, ()) for value in one] for name in STATISTICS}

    def reference_of(self, model: str, statistic: str) -> Distribution | None:
        """What a statistic was when all was well."""
        return None if self.reference is None else self.reference.models.get(model, {}).get(statistic)

    def drifts(self) -> dict[tuple[str, str], Drift]:
        """Each statistic of each model that has a reference and pictures enough."""
        found = {}
        for model in self.models():
            with self._lock:
                pictures = {name: len(several) for name, several in self._lately[model].items()}
            for name, values in self.lately(model).items():
                then = self.reference_of(model, name)
                if then is not None and values and pictures[name] >= min(_LEAST, self.window):
                    found[model, name] = Drift(then.shift(values), then.threshold)
        return found

    def _look(self, item: Item) -> tuple[float | None, float | None, Any]:
        """Brightness, sharpness and embedding of a picture, now and then."""
        now = monotonic()
        with self._lock:
            due = now - self._looked >= _LOOKED_S
            deep = due and now - self._embedded >= _EMBEDDED_S and self.reference is not None \
                and self.reference.embedding is not None and self._classifier is not None
            self._looked = now if due else self._looked
            self._embedded = now if deep else self._embedded
        if not due:
            return None, None, None
        vector = embedding(self._classifier(), item.frame.image) if deep and self._classifier else None
        return *look(item.frame.image), vector

    def _add(self, model: str, seen: Seen, values: dict[str, list[Any]]) -> None:
        for name, histogram in self._histograms.items():
            for value in values[name]:
                self._child(histogram, model).observe(value)
        for label in seen.classes:
            self._child(self._classes, model, label).inc()
        with self._lock:
            lately = self._lately.setdefault(model, {name: deque(maxlen=self.window) for name in STATISTICS})
            for name, found in values.items():
                if found or name not in SAMPLED:         # nothing was found, or it was not looked for
                    lately[name].append(found)

    def _warn(self) -> None:
        """Log an alarm when it begins, and when it ends."""
        found = self.drifts()
        alarms = {key for key, drift in found.items() if drift.alarm}
        for model, name in sorted(alarms - self._alarms):
            drift = found[model, name]
            _log.warning("%s drifts: the %s of the last %d pictures is not what it was (shift %.2f, threshold %.2f)",
                         model, name, self.window, drift.shift, drift.threshold)
        for model, name in sorted(self._alarms - alarms):
            _log.warning("%s: the %s is again what it was", model, name)
        self._alarms = alarms


class _Drifts:
    """How far each statistic is from its reference, asked when somebody reads."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor

    def collect(self) -> Iterator[Metric]:
        """The drifts as they are now."""
        labels = ["model", "statistic"]
        shift = GaugeMetricFamily("vision_drift", "How far it is from the reference.", labels=labels)
        most = GaugeMetricFamily("vision_drift_threshold", "Above it is the alarm.", labels=labels)
        alarm = GaugeMetricFamily("vision_drift_alarm", "1: what the model sees is not what it was.", labels=labels)
        for key, drift in self.monitor.drifts().items():
            shift.add_metric(key, drift.shift)
            most.add_metric(key, drift.threshold)
            alarm.add_metric(key, float(drift.alarm))
        yield from (shift, most, alarm)

    def describe(self) -> list[Metric]:
        """Nothing is asked before somebody reads."""
        return []
