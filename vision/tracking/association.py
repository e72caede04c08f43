"""Which detection continues which track: similarities, and the assignment that maximises them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
_STILL = 1e-3                                    # pixels, in which coordinates are rounded anyway: less is no direction


def assign(similarity: Matrix) -> tuple[Rows, Rows]:
    """Rows and columns, paired one to one, that maximise the sum of (N,M) `similarity`.

    A pair of similarity 0 or less is never made. Where every row and column has at most one positive
    entry nothing competes, and the pairs are read off.
    """
    possible = similarity > 0
    if possible.sum(0).max(initial=0) <= 1 and possible.sum(1).max(initial=0) <= 1:
        rows, columns = np.nonzero(possible)
        return rows, columns
    from scipy.optimize import linear_sum_assignment  # here: it takes a third of a second to import

    rows, columns = linear_sum_assignment(np.where(possible, similarity, 0), maximize=True)
    real = possible[rows, columns]
    return rows[real], columns[real]


def heading(start: Matrix, last: Matrix, seen: Matrix) -> Matrix:
    """How well each detection continues each track's heading: (N,M) in -0.5..0.5 (OC-SORT's OCM).

    start, last: (N,2) centres where a track was a little ago and where it was last seen. seen: (M,2)
    the detections' centres. 0.5: straight on from `start`; -0.5: back; 0 for a track that has not moved, and for a
    detection at its `start`.
    """
    moved, step = last - start, seen[None] - start[:, None]
    turn = np.abs(np.arctan2(step[..., 1], step[..., 0]) - np.arctan2(moved[:, 1], moved[:, 0])[:, None])
    turn = np.minimum(turn, 2 * np.pi - turn)
    known = (np.hypot(*moved.T) > _STILL)[:, None] & (np.hypot(step[..., 0], step[..., 1]) > _STILL)
    return np.asarray(np.where(known, 0.5 - turn / np.pi, 0), np.float64)
