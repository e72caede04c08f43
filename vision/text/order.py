"""The order in which one reads: pieces of text make lines, lines make columns, columns are read from left to right."""

from __future__ import annotations

import numpy as np

from vision.text import quads
from vision.types import Floats, Ints

_APART = 0.8                           # of a line's height: words that are further apart are in two columns
_LEVEL = 0.5                           # of the smaller height: words that are further up or down are on two lines
_BELOW = 1.6                           # of a line's height: a line that begins further down is of another block


def reading_order(pieces: Floats) -> tuple[Ints, Ints, Ints]:
    """Sort pieces of text (N,4,2) into lines and blocks.

    Returns the order of the rows, (N,), and for the rows in that order the number of their line and of their block,
    both from 0. Pieces on one level, with less than about a letter's height between them, are a line; lines below each
    other that overlap from left to right are a block; of blocks, one that lies wholly to the left of another on its
    height comes first, else the higher one.
    """
    if not len(pieces):
        return (np.empty(0, np.int64),) * 3
    pieces = _upright(pieces)
    lines = _lines(pieces)
    boxes = np.array([_box(pieces[line]) for line in lines], np.float32)
    heights = np.array([float(np.median(quads.sides(pieces[line])[:, 1])) for line in lines], np.float32)
    blocks = _blocks(boxes, heights)
    order, of_line, of_block = [], [], []
    number = 0
    for b, block in enumerate(_sorted_blocks(blocks, boxes)):
        for k in sorted(block, key=lambda one: (boxes[one, 1] + boxes[one, 3], boxes[one, 0])):
            order += lines[k]
            of_line += [number] * len(lines[k])
            of_block += [b] * len(lines[k])
            number += 1
    return np.array(order, np.int64), np.array(of_line, np.int64), np.array(of_block, np.int64)


def _upright(pieces: Floats) -> Floats:
    """Pieces (N,4,2) on a page that is turned by quarters until most of the text runs to the right."""
    along = pieces[:, 1] + pieces[:, 2] - pieces[:, 0] - pieces[:, 3]
    x, y = along.sum(axis=0).tolist()
    for _ in range(round(np.arctan2(y, x) / (np.pi / 2)) % 4):
        pieces = np.stack([pieces[..., 1], -pieces[..., 0]], axis=-1)          # x is y, y is -x: a quarter to the left
    return pieces


def _lines(pieces: Floats) -> list[list[int]]:
    """Rows of each line, from its beginning to its end."""
    centres, size = pieces.mean(axis=1), quads.sides(pieces)
    along = pieces[:, 1] + pieces[:, 2] - pieces[:, 0] - pieces[:, 3]
    angle = np.arctan2(along[:, 1], along[:, 0])
    joined = list(range(len(pieces)))

    def root(i: int) -> int:
        while joined[i] != i:
            joined[i] = joined[joined[i]]
            i = joined[i]
        return i

    for i in range(len(pieces)):
        axis = np.array([np.cos(angle[i]), np.sin(angle[i])], np.float32)
        away = centres - centres[i]
        gap = np.abs(away @ axis) - (size[:, 0] + size[i, 0]) / 2
        offset = np.abs(away @ np.array([-axis[1], axis[0]], np.float32))
        low, high = np.minimum(size[:, 1], size[i, 1]), np.maximum(size[:, 1], size[i, 1])
        turned = np.abs((angle - angle[i] + np.pi) % (2 * np.pi) - np.pi)
        near = (offset < _LEVEL * low) & (gap < _APART * high) & (gap > -0.5 * low) & (high < 2 * low) & (turned < 0.35)
        for k in np.flatnonzero(near).tolist():
            joined[root(k)] = root(i)
    groups: dict[int, list[int]] = {}
    for i in range(len(pieces)):
        groups.setdefault(root(i), []).append(i)
    found = []
    for rows in groups.values():
        axis = along[rows].sum(axis=0)
        found.append([rows[k] for k in np.argsort(centres[rows] @ axis, kind="stable").tolist()])
    return found


def _box(pieces: Floats) -> Floats:
    return np.concatenate([pieces.min(axis=(0, 1)), pieces.max(axis=(0, 1))])


def _blocks(boxes: Floats, heights: Floats) -> list[list[int]]:
    """Lines of each block, from top to bottom."""
    blocks: list[list[int]] = []
    for i in np.argsort(boxes[:, 1], kind="stable").tolist():
        for block in blocks:
            last = block[-1]
            overlap = min(boxes[i, 2], boxes[last, 2]) - max(boxes[i, 0], boxes[last, 0])
            narrower = min(boxes[i, 2] - boxes[i, 0], boxes[last, 2] - boxes[last, 0])
            low, high = sorted((float(heights[i]), float(heights[last])))
            if overlap > 0.3 * narrower and boxes[i, 1] - boxes[last, 3] < _BELOW * high and high < 2.5 * low:
                block.append(i)
                break
        else:
            blocks.append([i])
    return blocks


def _sorted_blocks(blocks: list[list[int]], boxes: Floats) -> list[list[int]]:
    """Blocks in reading order: repeatedly the first one that no other one has to come before."""
    around = [_around(boxes[block]) for block in blocks]
    left, order = list(range(len(blocks))), []
    while left:
        free = [i for i in left if not any(_before(around[k], around[i]) for k in left if k != i)] or left
        best = min(free, key=lambda i: (around[i][1], around[i][0]))
        order.append(blocks[best])
        left.remove(best)
    return order


def _around(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def _before(one: Floats, other: Floats) -> bool:
    """Whether a block has to be read before another: above it with some width in common, or beside it on its left."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide > 0 and high <= wide:
        return bool(one[1] + one[3] < other[1] + other[3])
    return bool(high > 0 and one[0] + one[2] < other[0] + other[2])
