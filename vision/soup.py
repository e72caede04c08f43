"""The mean of several trainings' weights, as one model that costs no more than one of them.

Wortsman et al. 2022, "Model soups": of runs that started from the same weights. Izmailov et al. 2018, "Averaging
Weights Leads to Wider Optima": of one run's epochs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vision.card import Card, card_of
from vision.errors import UsageError, WeightsError
from vision.files import check_writable


def soup(paths: Sequence[str | Path], output: str | Path, weights: Sequence[float] | None = None) -> Card:
    """Write the mean of several `.safetensors` of `vision train`, with the first one's card, to a file of its own.

    paths: at least two, of one network with the same classes. weights: how much each counts; all alike unless given.
    Returns the card of the result. Raises UsageError for fewer than two and for weights of another number, WeightsError
    for files of different networks, SinkError where the file cannot be written.

    Whole numbers (a norm's counter of batches) are the first one's.
    """
    from safetensors.numpy import load_file, save

    files = [Path(path) for path in paths]
    if len(files) < 2:
        raise UsageError("a mean is of two files or more: vision soup a.safetensors b.safetensors -o soup.safetensors")
    shares = np.ones(len(files)) if weights is None else np.asarray(weights, np.float64)
    if len(shares) != len(files) or not 0 < shares.sum() < np.inf or shares.min() < 0:
        raise UsageError(f"there is a weight of 0 or more for each of the {len(files)} files; got {shares.tolist()}")
    check_writable(Path(output))
    cards = [card_of(path) for path in files]
    for path, card in zip(files, cards, strict=True):
        _same(cards[0], card, path)
    first = load_file(files[0])
    total = {name: np.zeros(value.shape) for name, value in first.items() if value.dtype.kind == "f"}
    for path, share in zip(files, shares / shares.sum(), strict=True):
        tensors = load_file(path)
        if {n: t.shape for n, t in tensors.items()} != {n: t.shape for n, t in first.items()}:
            raise WeightsError(f"{str(path)!r} has other layers than {str(files[0])!r}: a mean is of one network.")
        for name, into in total.items():
            into += share * tensors[name].astype(np.float64)
    mean = {name: total[name].astype(value.dtype) if name in total else value for name, value in first.items()}
    made = replace(
        cards[0], name=Path(output).stem, figures={}, measured_on="",
        source=f"the mean of {', '.join(card.name for card in cards)}; {cards[0].source}")
    part = Path(f"{output}.part")
    part.write_bytes(save(mean, {"card": made.to_json(), "training": json.dumps({"soup": list(map(str, files))})}))
    os.replace(part, output)
    return made


def _same(first: Card, other: Card, path: Path) -> None:
    """Raise WeightsError unless both are one network with the same classes and the same input."""
    for what in ("net", "config", "classes", "input"):
        mine, theirs = getattr(first, what), getattr(other, what)
        if mine != theirs:
            raise WeightsError(
                f"{str(path)!r} differs from the first in its {what}: {theirs!s:.80} instead of {mine!s:.80}. "
                "A mean is of one network; several are an ensemble: --model a,b")
