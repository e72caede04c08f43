"""What R-CNN fits on the features of regions: linear SVMs with hard negative mining, a ridge regression of boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sklearn.svm import LinearSVC

from vision.nets.rcnn import offsets_to
from vision.types import Floats, Ints

BACKGROUND = 0.3                         # a region that overlaps a class's objects by less is a negative of it
_OBJECT = 0.7                            # from this IoU up a region stands for its object
_LIKE_ITS_OBJECT = 0.6                   # regions from this IoU up learn where its sides are
_FIRST, _AT_MOST = 2000, 4000            # negatives of a class: drawn at first, added in a round
_ROUNDS = 2
_HARD, _EASY = -1.0, -1.2                # margins: within it a negative is hard; beyond, it is dropped
_COST, _POSITIVE, _BIAS = 1e-3, 2.0, 10.0             # of the published SVMs
_RIDGE = 1000.0
_CHUNK = 8192


class Rows(NamedTuple):
    """Regions of all pictures. features (N,D) float16; overlap (N,C), the largest IoU with an object of each class;
    boxes (N,4) xyxy; own (N,4), the object that each overlaps most, and labels (N,) its class, -1 in a picture without
    objects."""

    features: npt.NDArray[np.float16]
    overlap: Floats
    boxes: Floats
    own: Floats
    labels: Ints

    @property
    def mine(self) -> Floats:
        """(N,): the overlap of each region with the object that it overlaps most; 0 where there is none."""
        return np.where(self.labels < 0, 0, self.overlap[np.arange(len(self.labels)), self.labels])


def fit_svms(rows: Rows, scale: float, seed: int, said: Callable[[float], None]) -> tuple[Floats, Floats]:
    """Weights (C,D) and biases (C,) of one linear SVM a class, for features times `scale`: objects, and regions that
    overlap one by 0.7 (the paper, with hundreds of objects a class, takes these alone), against regions that overlap
    none of the class by 0.3. Hard negatives are mined twice, as the paper does until nothing changes.

    A class without an object never fires. said: is told how much is done, 0..1.
    """
    random, classes = np.random.default_rng(seed), rows.overlap.shape[1]
    weights = np.zeros((classes, rows.features.shape[1]), np.float32)
    biases = np.full(classes, -5.0, np.float32)
    objects = [np.flatnonzero((rows.mine >= _OBJECT) & (rows.labels == label)) for label in range(classes)]
    away = [np.flatnonzero(rows.overlap[:, label] < BACKGROUND) for label in range(classes)]
    hard = [random.permutation(of_class)[:_FIRST] for of_class in away]
    for turn in range(_ROUNDS + 1):
        for label in range(classes):
            if len(objects[label]) and len(hard[label]):
                weights[label], biases[label] = _svm(rows, scale, objects[label], hard[label])
            said((turn * classes + label + 1) / ((_ROUNDS + 1) * classes))
        if turn < _ROUNDS:
            margins = _margins(rows, scale, weights, biases)
            hard = [_mined(margins[:, label], away[label], hard[label]) for label in range(classes)]
    return weights, biases


def _svm(rows: Rows, scale: float, objects: Ints, negatives: Ints) -> tuple[Floats, float]:
    x = rows.features[np.concatenate([objects, negatives])].astype(np.float32) * np.float32(scale)
    y = np.arange(len(x)) < len(objects)
    made = LinearSVC(C=_COST, loss="hinge", class_weight={True: _POSITIVE, False: 1.0}, intercept_scaling=_BIAS,
                     max_iter=5000, tol=1e-3, random_state=0).fit(x, y)
    return np.asarray(made.coef_[0], np.float32), float(made.intercept_[0])


def _margins(rows: Rows, scale: float, weights: Floats, biases: Floats) -> Floats:
    """(N,C), in pieces: the features are more than fits into memory as float32."""
    parts = [rows.features[i : i + _CHUNK].astype(np.float32) @ (weights.T * np.float32(scale))
             for i in range(0, len(rows.features), _CHUNK)]
    return np.asarray(np.concatenate(parts) + biases, np.float32)


def _mined(margins: Floats, away: Ints, kept: Ints) -> Ints:
    """The negatives of the next round: those kept that are not easy, and the hardest others."""
    still = kept[margins[kept] >= _EASY]
    others = np.setdiff1d(away[margins[away] > _HARD], still)
    return np.concatenate([still, others[np.argsort(-margins[others], kind="stable")[:_AT_MOST]]])


def fit_boxes(rows: Rows, scale: float) -> tuple[Floats, Floats]:
    """Weights (4C,D) and biases (4C,) that give, of features times `scale`, the offsets that move a region onto its
    object: a ridge regression of what all classes have in common, and one a class of what is left (R-CNN, appendix C,
    has the latter alone, from more objects a class). Without regions near objects nothing is moved."""
    classes, width = rows.overlap.shape[1], rows.features.shape[1]
    near = np.flatnonzero(rows.mine >= _LIKE_ITS_OBJECT)
    if not len(near):
        return np.zeros((4 * classes, width), np.float32), np.zeros(4 * classes, np.float32)
    x = rows.features[near].astype(np.float32) * np.float32(scale)
    targets = offsets_to(torch.from_numpy(rows.boxes[near]), torch.from_numpy(rows.own[near])).numpy()
    common, level = ridge(x, targets, _RIDGE)
    left = targets - (x @ common.T + level)
    weights, biases = np.tile(common, (classes, 1, 1)), np.tile(level, (classes, 1))
    for label in range(classes):
        chosen = rows.labels[near] == label
        if chosen.any():
            own, own_level = ridge(x[chosen], left[chosen], _RIDGE)
            weights[label] += own
            biases[label] += own_level
    return weights.reshape(-1, width), biases.reshape(-1)


def ridge(x: Floats, targets: Floats, strength: float) -> tuple[Floats, Floats]:
    """Weights (K,D) and biases (K,) of a linear regression of targets (N,K) on x (N,D), with `strength` times the
    squared weights added to the squared errors; the bias is free."""
    mean, level = x.mean(0), targets.mean(0)
    x, wanted = (x - mean).astype(np.float64), (targets - level).astype(np.float64)
    if len(x) <= x.shape[1]:                             # the smaller of two equal systems
        found = x.T @ np.linalg.solve(x @ x.T + strength * np.eye(len(x)), wanted)
    else:
        found = np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ wanted)
    return found.T.astype(np.float32), np.asarray(level - mean @ found, np.float32)
