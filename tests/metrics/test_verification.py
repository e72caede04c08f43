"""Pairs and galleries against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.errors import DataError
from vision.metrics.verification import auc, identification, verification


@settings(max_examples=40)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_auc_by_counting(near: list[int], far: list[int]) -> None:
    wins = sum((a < b) + 0.5 * (a == b) for a in near for b in far)
    assert auc(near, far) == pytest.approx(wins / len(near) / len(far))


def people(seed: int, spread: float, count: int = 10, pictures: int = 6) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(count), pictures)
    return (draw.normal(size=(count, 16))[who] + spread * draw.normal(size=(len(who), 16))).astype(np.float32), who


def test_pairs_by_counting() -> None:
    vectors, who = people(0, 0.7)
    found = verification(vectors, who, 3.5)
    same, other = [], []
    for i in range(len(who)):
        for j in range(i + 1, len(who)):
            (same if who[i] == who[j] else other).append(float(np.linalg.norm(vectors[i] - vectors[j])))
    assert (found.same, found.other) == (len(same), len(other)) == (150, 1620)
    assert found.false_match == pytest.approx(np.mean([one < 3.5 for one in other]))
    assert found.false_non_match == pytest.approx(np.mean([one >= 3.5 for one in same]))
    assert found.auc == pytest.approx(auc(same, other))
    assert len(found.fold_aucs) == 5
    assert 0 <= found.chosen_false_match < 0.05


def test_people_who_are_apart() -> None:
    vectors, who = people(1, 0.01)
    assert verification(vectors, who, 1.0).auc == 1.0
    found = identification(vectors, who, 1.0)
    assert (found.right, found.wrong, found.named) == (1.0, 0.0, 0.0)
    assert (found.known, found.strangers) == (20 * 5 * 3, 20 * 5 * 6)
    everybody = identification(vectors, who, 100.0)
    assert (everybody.right, everybody.named) == (1.0, 1.0)


def test_people_whom_nothing_tells_apart() -> None:
    vectors, who = people(2, 100.0, count=20)
    assert verification(vectors, who, 1.0).auc == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("who", [[0, 1, 2], [0, 0, 0]])
def test_no_pairs(who: list[int]) -> None:
    with pytest.raises(DataError, match="pairs need two people"):
        verification(np.zeros((3, 4), np.float32), np.array(who), 1.0)
