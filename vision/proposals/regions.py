"""The regions that selective search starts from, and what is compared of two of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from skimage.segmentation import felzenszwalb

from vision.types import Floats, Image

COLOUR_BINS, TEXTURE_BINS, DIRECTIONS = 25, 10, 8
_SIGMA = 0.8                            # of the smoothing before the graph is cut, as published
_SPACES = {"hsv": cv2.COLOR_BGR2HSV_FULL, "lab": cv2.COLOR_BGR2LAB}
Labels = npt.NDArray[np.int64]


@dataclass
class Regions:
    """N regions of a picture, each a row: sizes (N,) pixels, boxes (N,4) xyxy pixels, colours (N,75) and textures
    (N,240), histograms that sum to 1; near (N,N) bool, which of them touch."""

    sizes: Floats
    boxes: Floats
    colours: Floats
    textures: Floats
    near: npt.NDArray[np.bool_]


class Described:
    """A picture in one colour space, with the bin of every pixel in the histograms of colour and texture.

    image: (H,W,3) uint8 BGR. space: `hsv`, `lab`, or `rgi`: normalised red and green, and intensity.
    """

    def __init__(self, image: Image, space: str) -> None:
        self.pixels = in_space(image, space)
        self.colour = (self.pixels.astype(np.int64) * COLOUR_BINS) >> 8                   # (H,W,3)
        self.texture = _texture(self.pixels)                                              # (8,H,W,3)

    def cut(self, scale: float) -> Labels:
        """(H,W) labels 0..N-1: the graph of pixels cut by Felzenszwalb and Huttenlocher (2004). scale: their k; a
        larger one makes larger regions, none of which has fewer than `scale` pixels."""
        if min(self.pixels.shape[:2]) < 2:               # no graph to cut
            return np.zeros(self.pixels.shape[:2], np.int64)
        return np.asarray(felzenszwalb(self.pixels, scale, _SIGMA, min_size=int(scale)), np.int64)

    def regions(self, labels: Labels) -> Regions:
        """The regions of a cut (H,W)."""
        count, flat = int(labels.max()) + 1, labels.ravel()
        sizes = np.bincount(flat, minlength=count).astype(np.float32)
        colours = [_histograms(flat, self.colour[..., c], count, COLOUR_BINS) for c in range(3)]
        textures = [
            _histograms(flat, self.texture[d, ..., c], count, TEXTURE_BINS) for c in range(3) for d in range(DIRECTIONS)
        ]
        return Regions(sizes, _boxes(labels, count), _shares(colours), _shares(textures), _touching(labels, count))


def in_space(image: Image, space: str) -> Image:
    """(H,W,3) uint8 BGR in another colour space, each channel 0..255."""
    if space in _SPACES:
        return np.asarray(cv2.cvtColor(image, _SPACES[space]), np.uint8)
    blue, green, red = (channel.astype(np.float32) for channel in cv2.split(image))
    total = blue + green + red
    shares = [255 * channel / np.maximum(total, 1) for channel in (red, green)]
    return np.stack([*shares, total / 3], -1).astype(np.uint8)


def _texture(pixels: Image) -> npt.NDArray[np.int64]:
    """The bins of Gaussian derivatives (sigma 1) of each channel in eight directions, (8,H,W,3): what is left of SIFT
    in the paper. Each goes by the largest derivative of the whole picture."""
    smooth = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), 1.0)
    dx, dy = cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    angles = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    along = np.stack([np.maximum(np.cos(a) * dx + np.sin(a) * dy, 0) for a in angles]).astype(np.float32)
    top = max(float(along.max()), 1e-6)
    return np.minimum((along * (TEXTURE_BINS / top)).astype(np.int64), TEXTURE_BINS - 1)


def _histograms(flat: Labels, bins: npt.NDArray[np.int64], count: int, size: int) -> npt.NDArray[np.float64]:
    """(count,size): how many pixels of each region fall into each bin."""
    return np.bincount(flat * size + bins.ravel(), minlength=count * size).reshape(count, size).astype(np.float64)


def _shares(parts: list[npt.NDArray[np.float64]]) -> Floats:
    whole = np.concatenate(parts, axis=1)
    return np.asarray(whole / whole.sum(1, keepdims=True), np.float32)


def _boxes(labels: Labels, count: int) -> Floats:
    """(count,4) xyxy around the pixels of each label."""
    height, width = labels.shape
    boxes = np.tile(np.array([width, height, 0, 0], np.int64), (count, 1))
    rows, columns = np.divmod(np.arange(labels.size), width)
    flat = labels.ravel()
    for side, at, place in ((0, np.minimum, columns), (1, np.minimum, rows), (2, np.maximum, columns + 1),
                            (3, np.maximum, rows + 1)):
        at.at(boxes[:, side], flat, place)
    return boxes.astype(np.float32)


def _touching(labels: Labels, count: int) -> npt.NDArray[np.bool_]:
    near = np.zeros((count, count), bool)
    for one, other in ((labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1])):
        near[one.ravel(), other.ravel()] = True
    near |= near.T
    np.fill_diagonal(near, False)
    return near
