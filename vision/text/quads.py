"""Quads: four corners, (4,2) float32 xy in pixels, clockwise as seen from the upper left corner of what is written
between them. Here are their overlap, their growth, and the strips that are cut along them."""

from __future__ import annotations

import cv2
import numpy as np

from vision.types import Floats, Image

TALL = 1.5                             # a quad that is higher than that many widths is read turned


def ordered(points: Floats) -> Floats:
    """Four corners in any order -> clockwise, beginning at the upper left one of the two that are leftmost along the
    reading direction: (4,2) float32."""
    points = np.asarray(points, np.float32).reshape(4, 2)
    by_x = points[np.argsort(points[:, 0], kind="stable")]
    left, right = (side[np.argsort(side[:, 1], kind="stable")] for side in (by_x[:2], by_x[2:]))
    return np.stack([left[0], right[0], right[1], left[1]])


def sides(quads: Floats) -> Floats:
    """(N,4,2) -> (N,2) float32: the mean lengths along the text and across it, in pixels."""
    edges = np.linalg.norm(np.roll(quads, -1, axis=1) - quads, axis=2)
    return np.asarray(np.stack([edges[:, 0] + edges[:, 2], edges[:, 1] + edges[:, 3]], axis=1) / 2, np.float32)


def boxes_of(quads: Floats) -> Floats:
    """(N,4,2) -> (N,4) xyxy: the upright boxes around."""
    if not len(quads):
        return np.empty((0, 4), np.float32)
    return np.concatenate([quads.min(axis=1), quads.max(axis=1)], axis=1)


def grown(points: Floats, ratio: float) -> Floats:
    """The smallest turned rectangle around points (K,2), each side moved outwards by `ratio` times its area over its
    circumference: what undoes the shrinking of Vatti's clipping that a network learnt. (4,2), ordered."""
    centre, (width, height), angle = cv2.minAreaRect(points)
    distance = width * height * ratio / max(2 * (width + height), 1e-6)
    return ordered(cv2.boxPoints((centre, (width + 2 * distance, height + 2 * distance), angle)))


def around(quads: Floats) -> Floats:
    """(N,4,2) -> (4,2): the smallest turned rectangle around them all, read in the direction of the longest."""
    longest = quads[int(sides(quads)[:, 0].argmax())]
    along = longest[1] + longest[2] - longest[0] - longest[3]
    along = along / max(float(np.linalg.norm(along)), 1e-6)
    axes = np.stack([along, [-along[1], along[0]]])                  # rows: along the text, across it
    local = quads.reshape(-1, 2) @ axes.T
    (left, top), (right, bottom) = local.min(axis=0), local.max(axis=0)
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return np.asarray(corners @ axes, np.float32)


def part(quad: Floats, begin: float, end: float) -> Floats:
    """The piece of a quad between two shares of its length, 0..1: (4,2)."""
    top, bottom = quad[1] - quad[0], quad[2] - quad[3]
    return np.asarray(np.stack([
        quad[0] + begin * top, quad[0] + end * top, quad[3] + end * bottom, quad[3] + begin * bottom,
    ]), np.float32)


def area(quad: Floats) -> float:
    """Square pixels."""
    return abs(float(cv2.contourArea(np.asarray(quad, np.float32))))


def intersection(one: Floats, other: Floats) -> float:
    """Square pixels that two convex quads share."""
    return float(cv2.intersectConvexConvex(np.asarray(one, np.float32), np.asarray(other, np.float32))[0])


def ious(one: Floats, other: Floats) -> Floats:
    """(N,4,2) and (M,4,2) -> (N,M) intersection over union in 0..1; only quads whose boxes touch are clipped."""
    table = np.zeros((len(one), len(other)), np.float32)
    if not table.size:
        return table
    a, b = boxes_of(one), boxes_of(other)
    near = (a[:, None, :2] < b[None, :, 2:]).all(2) & (b[None, :, :2] < a[:, None, 2:]).all(2)
    for i, k in np.argwhere(near).tolist():
        shared = intersection(one[i], other[k])
        table[i, k] = shared / max(area(one[i]) + area(other[k]) - shared, 1e-6)
    return table


def upright(image: Image, quad: Floats, height: int, widest: int) -> Image:
    """What is written in a quad, straightened: (height, w, 3), w in its proportion and at most `widest`."""
    along, across = sides(quad[None])[0].tolist()
    width = int(np.clip(round(height * along / max(across, 1e-6)), 4, widest))
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    warp = cv2.getPerspectiveTransform(np.asarray(quad, np.float32), target)
    # straight lines of many pixels a pixel would be sampled with gaps: shrunk first
    shrink = across / (2 * height)
    if shrink > 1:
        left, top = np.floor(quad.min(axis=0)).clip(0).astype(int)
        right, bottom = np.ceil(quad.max(axis=0)).astype(int)
        piece = image[top:bottom, left:right]
        if piece.size:
            size = max(1, round(piece.shape[1] / shrink)), max(1, round(piece.shape[0] / shrink))
            scale = np.array(size) / (piece.shape[1], piece.shape[0])
            small = cv2.resize(piece, size, interpolation=cv2.INTER_AREA)
            moved = np.asarray((quad - (left, top)) * scale, np.float32)
            warp, image = cv2.getPerspectiveTransform(moved, target), np.asarray(small, np.uint8)
    # warpPerspective speaks of pixel centres: its (0, 0) is our (0.5, 0.5)
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    inner = np.linalg.inv(half) @ warp @ half
    strip = cv2.warpPerspective(image, inner, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(strip, np.uint8)
