"""How far what a model sees is from what it saw when all was well.

How far is a number, the shift: of numbers the Wasserstein distance to the good ones, in their standard deviations; of
classes the population stability index, the sum of (p - q) log(p / q) (Siddiqi, Credit Risk Scorecards, 2006). What
counts as too far is measured: the good pictures are cut into stretches as long as the window that is compared later,
and the threshold lies above what these differ among themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from vision.errors import DataError
from vision.files import write_json
from vision.serve.seen import Seen
from vision.types import Floats

STATISTICS = ("score", "count", "class", "brightness", "sharpness", "distance")
SAMPLED = ("brightness", "sharpness", "distance")        # of some pictures alone
SCHEMA = 1
_BINS = 12                                              # that are shown
_LEVELS = np.linspace(0.01, 0.99, 33)                    # of the quantiles that are compared
_LEAST = {"class": 0.1}                                  # a smaller shift is no change: a PSI by convention,
_LEAST_OF_NUMBERS = 0.25                                 # and of numbers a part of their standard deviation
_FLOORS = {"score": 0.02, "count": 0.5, "brightness": 2.0, "sharpness": 0.05, "distance": 0.02}  # of these deviations
_MARGIN = 1.5                                            # over what good stretches differ
_STRETCHES = 5                                           # at least, of the good pictures
_WINDOW = 200                                            # pictures


@dataclass(frozen=True)
class Distribution:
    """A statistic as it was.

    edges: between the bins of a number; names: the bins of a class. shares: of each bin, the last one of all other
    classes. quantiles: of a number, at fixed levels; spread: its standard deviation. threshold: the shift above which a
    window counts as different.
    """

    edges: tuple[float, ...]
    names: tuple[str, ...]
    shares: tuple[float, ...]
    quantiles: tuple[float, ...]
    spread: float
    threshold: float

    @classmethod
    def of(cls, name: str, values: Sequence[Any]) -> Self:
        """The distribution of a statistic's values, with the least threshold."""
        if name == "class":
            made = cls((), tuple(sorted(set(values))), (0.0,) * (len(set(values)) + 1), (), 1.0, _LEAST[name])
        else:
            numbers = np.asarray(values, np.float64)
            low, high = np.quantile(numbers, [0, 1])
            edges = np.linspace(low, max(high, low + _FLOORS[name]), _BINS + 1)[1:-1].round(4)
            levels = tuple(float(one) for one in np.quantile(numbers, _LEVELS).round(5))
            spread = max(float(numbers.std()), _FLOORS[name])
            made = cls(tuple(map(float, edges)), (), (0.0,) * _BINS, levels, spread, _LEAST_OF_NUMBERS)
        counts = made.counts(values)
        return replace(made, shares=tuple(round(float(share), 6) for share in counts / counts.sum()))

    def counts(self, values: Sequence[Any]) -> np.ndarray:
        """How many values fall into each bin."""
        if self.names:
            place = {name: i for i, name in enumerate(self.names)}
            bins = [place.get(str(value), len(self.names)) for value in values]
        else:
            bins = list(np.searchsorted(self.edges, np.asarray(values, np.float64), side="right"))
        return np.bincount(np.asarray(bins, np.int64), minlength=len(self.shares))

    def shift(self, values: Sequence[Any]) -> float:
        """How far these values are from the distribution; 0: not at all."""
        if self.names:
            return psi(self.counts(values), np.asarray(self.shares))
        now = np.quantile(np.asarray(values, np.float64), _LEVELS)
        return float(np.abs(now - self.quantiles).mean()) / self.spread


def psi(counts: np.ndarray, shares: np.ndarray) -> float:
    """The population stability index of counts (B,) against shares (B,), each bin with half a count more."""
    now = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    then = (shares + 1e-3) / (1 + 1e-3 * len(shares))
    return float(((now - then) * np.log(now / then)).sum())


@dataclass(frozen=True)
class Reference:
    """What models saw when all was well. window: pictures that are compared together. models: by `key model`, each
    statistic that there is. embedding: the mean of the pictures' embeddings, (D,), or None. frames: how many."""

    window: int
    models: Mapping[str, Mapping[str, Distribution]]
    embedding: Floats | None
    frames: int

    @classmethod
    def fit(cls, seen: Mapping[str, Sequence[Seen]], window: int = _WINDOW) -> Self:
        """From good pictures in their order, by model. Raises DataError where there are too few."""
        most = max((len(pictures) for pictures in seen.values()), default=0)
        if most < 10 * _STRETCHES:
            raise DataError(f"thresholds need at least {10 * _STRETCHES} pictures of one model; got {most}.")
        window = min(window, most // _STRETCHES)
        known = [one.embedding for pictures in seen.values() for one in pictures if one.embedding is not None]
        mean = None if not known else np.stack(known).mean(axis=0)
        models = {
            model: {name: found for name in STATISTICS
                    if (found := _distribution(name, [values_of(one, mean)[name] for one in pictures], window))}
            for model, pictures in seen.items()
        }
        return cls(window, models, mean, most)

    def save(self, path: Path) -> None:
        """Write it as JSON. Raises SinkError."""
        write_json(path, {
            "vision_monitor": SCHEMA, "window": self.window, "frames": self.frames,
            "embedding": None if self.embedding is None else [round(float(v), 5) for v in self.embedding],
            "models": {model: {name: vars(found) for name, found in told.items()}
                       for model, told in self.models.items()},
        })

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote. Raises DataError for anything else."""
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["vision_monitor"] != SCHEMA:
                raise ValueError(f"version {told['vision_monitor']!r}")
            models = {str(model): {str(name): _checked(one) for name, one in found.items()}
                      for model, found in told["models"].items()}
            mean = None if told["embedding"] is None else np.asarray(told["embedding"], np.float32)
            if int(told["window"]) < 1 or (mean is not None and mean.ndim != 1):
                raise ValueError("a window of no pictures, or no embedding")
            return cls(int(told["window"]), models, mean, int(told["frames"]))
        except OSError as error:
            raise DataError(f"{str(path)!r} cannot be read ({error.strerror}). `vision monitor fit` makes one of "
                            "records.") from error
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise DataError(f"{str(path)!r} has no thresholds of a drift alarm ({type(error).__name__}: {error}). Make "
                            "them: vision monitor fit RECORDS.") from error


def values_of(seen: Seen, mean: Floats | None) -> dict[str, list[Any]]:
    """What each statistic has of a picture; nothing where it has none."""
    distance = None if seen.embedding is None or mean is None else distance_of(seen.embedding, mean)
    single = {"count": seen.count, "brightness": seen.brightness, "sharpness": seen.sharpness, "distance": distance}
    return {"score": list(seen.scores), "class": list(seen.classes),
            **{name: [] if value is None else [value] for name, value in single.items()}}


def distance_of(embedding: Floats, mean: Floats) -> float:
    """1 - the cosine of the angle between an embedding and the reference's mean: 0..1."""
    return 1 - float(embedding @ mean) / max(float(np.linalg.norm(embedding) * np.linalg.norm(mean)), 1e-9)


def _distribution(name: str, pictures: Sequence[list[Any]], window: int) -> Distribution | None:
    """A statistic of good pictures, with the threshold that their own stretches give; None where there is nothing."""
    if name in SAMPLED:
        pictures = [one for one in pictures if one]
        window = min(window, max(1, len(pictures) // _STRETCHES))
    values = [value for one in pictures for value in one]
    if not values:
        return None
    whole = Distribution.of(name, values)
    apart = [whole.threshold / _MARGIN]
    for first in range(0, len(pictures) - window + 1, window):
        stretch = [value for one in pictures[first:first + window] for value in one]
        rest = [value for one in (*pictures[:first], *pictures[first + window:]) for value in one]
        if stretch and rest:
            apart.append(Distribution.of(name, rest).shift(stretch))
    return replace(whole, threshold=round(_MARGIN * max(apart), 4))


def _checked(told: Mapping[str, Any]) -> Distribution:
    made = Distribution(
        tuple(map(float, told["edges"])), tuple(map(str, told["names"])), tuple(map(float, told["shares"])),
        tuple(map(float, told["quantiles"])), float(told["spread"]), float(told["threshold"]))
    bins = len(made.names) + 1 if made.names else len(made.edges) + 1
    numbers = [*made.edges, *made.shares, *made.quantiles, made.spread, made.threshold]
    if len(made.shares) != bins or len(made.quantiles) != (0 if made.names else len(_LEVELS)):
        raise ValueError(f"{len(made.shares)} shares of {bins} bins, {len(made.quantiles)} quantiles")
    if not np.isfinite(numbers).all() or list(made.edges) != sorted(made.edges) or made.spread <= 0:
        raise ValueError("numbers that no distribution has")
    return made
