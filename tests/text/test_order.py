"""The order of reading: lines, columns, turned lines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.text.order import reading_order


def _box(x: float, y: float, w: float, h: float = 10) -> list[list[float]]:
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]


_TWO_COLUMNS = [_box(10, 10 + 14 * i, 90) for i in range(4)] + [_box(130, 10 + 14 * i, 90) for i in range(4)]


@given(st.permutations(range(8)))
def test_a_column_is_read_before_the_next(order: list[int]) -> None:
    pieces = np.array(_TWO_COLUMNS, np.float32)[list(order)]
    rows, lines, blocks = reading_order(pieces)
    assert [order[i] for i in rows.tolist()] == list(range(8))
    assert lines.tolist() == list(range(8))
    assert blocks.tolist() == [0] * 4 + [1] * 4


def test_words_of_a_line_are_joined() -> None:
    pieces = np.array([_box(60, 11, 30), _box(10, 10, 45), _box(10, 24, 70)], np.float32)
    rows, lines, blocks = reading_order(pieces)
    assert (rows.tolist(), lines.tolist(), blocks.tolist()) == ([1, 0, 2], [0, 0, 1], [0, 0, 0])


def test_a_heading_over_two_columns_comes_first() -> None:
    pieces = np.array([*_TWO_COLUMNS, _box(10, -30, 210, 24)], np.float32)
    rows, _, _ = reading_order(pieces)
    assert rows.tolist() == [8, *range(8)]


def test_a_line_that_climbs_is_one_line() -> None:
    pieces = np.array([_box(i * 40, 0, 36) for i in range(4)], np.float32)
    turn = np.array([[np.cos(-0.4), -np.sin(-0.4)], [np.sin(-0.4), np.cos(-0.4)]])
    rows, lines, _ = reading_order((pieces[::-1] @ turn.T).astype(np.float32))
    assert rows.tolist() == [3, 2, 1, 0]
    assert lines.tolist() == [0] * 4


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_page_that_is_turned_is_read_in_the_same_order(quarters: int) -> None:
    """Two lines that were upside down were read from the second to the first."""
    pieces = np.array([*_TWO_COLUMNS, _box(10, -30, 210, 24)], np.float32)
    upright = [part.tolist() for part in reading_order(pieces)]
    assert upright[0] == [8, *range(8)]
    for _ in range(quarters):
        pieces = np.stack([-pieces[..., 1], pieces[..., 0]], axis=-1)
    assert [part.tolist() for part in reading_order(pieces)] == upright


def test_nothing_has_no_order() -> None:
    assert [len(part) for part in reading_order(np.empty((0, 4, 2), np.float32))] == [0, 0, 0]


def test_five_hundred_lines() -> None:
    pieces = np.array([_box(10 + 400 * c, 14 * i, 300) for c in range(2) for i in range(250)], np.float32)
    rows, lines, blocks = reading_order(pieces)
    assert rows.tolist() == list(range(500))
    assert lines.tolist() == list(range(500))
    assert blocks.tolist() == [0] * 250 + [1] * 250
