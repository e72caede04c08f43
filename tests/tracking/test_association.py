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


@given(st.data())
def test_heading_is_the_angle_between_two_steps(data: st.DataObject) -> None:
    """The brute-force twin; a track that stands, and a detection where it came from, have no angle."""
    at = st.tuples(*[st.integers(0, 4).map(float)] * 2)
    start, last = data.draw(st.lists(st.tuples(at, at), max_size=4).map(
        lambda pairs: (np.array([a for a, _ in pairs]).reshape(-1, 2), np.array([b for _, b in pairs]).reshape(-1, 2))))
    seen = np.array(data.draw(st.lists(at, max_size=4))).reshape(-1, 2)
    found = heading(start, last, seen)
    assert found.shape == (len(start), len(seen))
    for i, j in np.ndindex(found.shape):
        a, b = last[i] - start[i], seen[j] - start[i]
        cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) if a.any() and b.any() else 0.0
        assert found[i, j] == pytest.approx(0.5 - np.arccos(np.clip(cosine, -1, 1)) / np.pi, abs=1e-6)


def test_a_track_that_stands_heads_nowhere() -> None:
    """What a moving camera leaves in the last digits is no motion."""
    at = np.array([[3000.1, 200.3]])
    for last in (at, at + 1e-10, at.astype(np.float32)):
        assert heading(at, last, at + np.array([[-9.0, 0], [9, 0], [0, 9]])).tolist() == [[0, 0, 0]]
