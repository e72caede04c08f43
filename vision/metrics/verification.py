"""How well vectors tell people apart: pairs of pictures, and strangers before a gallery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.errors import DataError
from vision.types import Floats, Ints


@dataclass(frozen=True)
class Verification:
    """Of pairs of pictures.

    same, other: pairs of one person, and of two. auc: the chance that a pair of one person is nearer than one of two;
    fold_aucs: of each fold of people alone.
    false_match, false_non_match: the share of pairs of two people that are taken for one, and of one person that are
        taken for two, at the given distance.
    chosen, chosen_false_match, chosen_false_non_match: the mean distance at which one pair of two people in a thousand
        is taken for one, chosen on all folds but one, and the same shares of the fold that was left out.
    """

    same: int
    other: int
    auc: float
    fold_aucs: tuple[float, ...]
    false_match: float
    false_non_match: float
    chosen: float
    chosen_false_match: float
    chosen_false_non_match: float


def verification(vectors: Floats, people: Ints, distance: float, folds: int = 5) -> Verification:
    """Figures of all pairs of pictures.

    vectors: (N,D). people: (N,), whose picture each is, as a number from 0. distance: below which two pictures are
    taken for one person. folds: of people; a pair is in a fold where both of its people are. Raises DataError where
    there is no pair of one person or none of two.
    """
    rows, columns = np.triu_indices(len(vectors), 1)
    apart = np.sqrt(((vectors[rows] - vectors[columns]) ** 2).sum(axis=1))
    same = people[rows] == people[columns]
    if not same.any() or same.all():
        raise DataError("pairs need two people at least, one of them with two pictures; identity is by folder, or by "
                        "a file's name without its number (ann_01.jpg, ann_02.jpg).")
    fold, whose = people % folds, people
    inside = fold[rows] == fold[columns]
    aucs, chosen, matched, missed, weights = [], [], [], [], []
    for k in range(folds):
        test, rest = inside & (fold[rows] == k), (fold[rows] != k) & (fold[columns] != k)
        if not (same & test).any() or not (~same & test).any() or not (~same & rest).any():
            continue
        aucs.append(auc(apart[test & same], apart[test & ~same]))
        level = float(np.quantile(apart[rest & ~same], 0.001))
        chosen.append(level)
        matched.append(float((apart[test & ~same] < level).mean()))
        missed.append(float((apart[test & same] >= level).mean()))
        weights.append(len(np.unique(whose[fold == k])))
    mean = [float(np.average(of, weights=weights)) if weights else float("nan") for of in (chosen, matched, missed)]
    return Verification(
        int(same.sum()), int((~same).sum()), auc(apart[same], apart[~same]), tuple(aucs),
        float((apart[~same] < distance).mean()), float((apart[same] >= distance).mean()), *mean,
    )


def auc(near: npt.ArrayLike, far: npt.ArrayLike) -> float:
    """The chance that one of `near` is below one of `far`; half of those that are equal."""
    first, second = np.asarray(near, np.float64), np.sort(np.asarray(far, np.float64))
    below, equal = np.searchsorted(second, first, "left"), np.searchsorted(second, first, "right")
    return float((len(second) - (below + equal) / 2).mean() / len(second))


@dataclass(frozen=True)
class Identification:
    """Of pictures before a gallery.

    known, strangers: pictures of people who are in it, and of others. right, wrong: shares of the known that get their
        own name, or somebody else's. named: the share of the strangers that get any.
    """

    known: int
    strangers: int
    right: float
    wrong: float
    named: float


def identification(vectors: Floats, people: Ints, distance: float, rounds: int = 20, seed: int = 0) -> Identification:
    """Figures of galleries drawn by chance: in each round half of the people, who have half of their pictures in it and
    are looked for with the others, and the other half as strangers.

    vectors, people: as `verification`. distance: below which a picture gets the name of the nearest person (the mean of
    their pictures). Pictures that follow each other in the data are near copies: a person's are divided in the middle
    of their order.
    """
    draw, apart = np.random.default_rng(seed), np.zeros(5)
    everybody = [np.flatnonzero(people == one) for one in np.unique(people)]
    for _ in range(rounds):
        order = draw.permutation(len(everybody))
        inside = [everybody[i] for i in order[: len(order) // 2] if len(everybody[i]) > 1]
        outside = np.concatenate([everybody[i] for i in order[len(order) // 2 :]])
        if not inside:
            continue
        means = np.stack([vectors[rows[: len(rows) // 2]].mean(axis=0) for rows in inside])
        probes = [rows[len(rows) // 2 :] for rows in inside]
        who = np.repeat(np.arange(len(probes)), [len(rows) for rows in probes])
        nearest, away = _nearest(vectors[np.concatenate(probes)], means)
        stranger = _nearest(vectors[outside], means)[1] < distance
        hit = away < distance
        apart += len(who), len(outside), (hit & (nearest == who)).sum(), (hit & (nearest != who)).sum(), stranger.sum()
    known, strangers, right, wrong, named = apart.tolist()
    return Identification(
        int(known), int(strangers), right / max(1, known), wrong / max(1, known), named / max(1, strangers),
    )


def _nearest(vectors: Floats, means: Floats) -> tuple[Ints, Floats]:
    away = np.sqrt(((vectors[:, None] - means[None]) ** 2).sum(axis=2))
    return away.argmin(axis=1), away.min(axis=1)
