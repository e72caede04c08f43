from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vision.tracking.association import assign, heading


def best_total(similarity: np.ndarray) -> float:
    """By trying every pairing: pairs at or below 0 are left out."""
    if similarity.shape[0] > similarity.shape[1]:
        similarity = similarity.T
    rows, columns = similarity.shape
    return max((sum(max(0.0, similarity[r, c]) for r, c in enumerate(chosen))
                for chosen in permutations(range(columns), rows)), default=0.0)


@given(st.tuples(st.integers(0, 4), st.integers(0, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-1, 1))))
def test_assignment_is_the_best_of_all(similarity: np.ndarray) -> None:
    rows, columns = assign(similarity)
    assert len(set(rows.tolist())) == len(rows)
    assert len(set(columns.tolist())) == len(columns)
    assert (similarity[rows, columns] > 0).all()
    assert similarity[rows, columns].sum() == pytest.approx(best_total(similarity))


def test_heading_prefers_what_lies_ahead() -> None:
    start, last = np.array([[0.0, 0.0]]), np.array([[10.0, 0.0]])
    seen = np.array([[20.0, 0.0], [0.0, 10.0], [-5.0, 0.0]])
    np.testing.assert_allclose(heading(start, last, seen), [[0.5, 0.0, -0.5]], atol=1e-12)
