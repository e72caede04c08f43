"""The report of a classifier: figures by hand, and its page."""

from __future__ import annotations

import numpy as np
import pytest

from vision.errors import DataError
from vision.metrics.classification_page import Wrong, page
from vision.metrics.classification_report import report

PROBS = np.float32([
    [0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4],
])
LABELS = np.array([0, 1, 1, 2, 2, 2])


def test_figures_are_those_of_a_hand() -> None:
    made = report(PROBS, LABELS)
    assert made.confusion is not None
    assert made.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 2]]
    assert made.figures["accuracy"] == pytest.approx(4 / 6)
    assert made.figures["balanced"] == pytest.approx((1 + 1 / 2 + 2 / 3) / 3)
    assert made.figures["precision"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert [round(one["f1"], 4) for one in made.classes] == [0.6667, 0.5, 0.8]
    # Matthews: (c s - sum p t) / sqrt((s^2 - sum p^2)(s^2 - sum t^2))
    assert made.figures["mcc"] == pytest.approx((4 * 6 - (2 * 1 + 2 * 2 + 2 * 3)) / np.sqrt((36 - 12) * (36 - 14)))
    sure, right = PROBS.max(1), PROBS.argmax(1) == LABELS
    bins = np.minimum((sure * 15).astype(int), 14)
    ece = sum(abs(sure[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins))
    assert made.figures["ece"] == pytest.approx(ece, abs=1e-6)
    pairs = [(a > b) + (a == b) / 2 for a in PROBS[3:, 2] for b in PROBS[:3, 2]]
    assert made.roc[2].area == pytest.approx(np.mean(pairs))
    assert sum(count for *_, count in made.reliability) == 6


def test_several_classes_a_picture_and_a_class_that_never_comes() -> None:
    ones = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 1, 0]])
    made = report(PROBS, ones)
    assert made.confusion is None
    order = np.argsort(-PROBS[:, 0], kind="stable")
    hits = ones[order, 0]
    first = np.mean([hits[: i + 1].mean() for i in np.flatnonzero(hits)])
    assert made.pr[0].area == pytest.approx(first)
    assert np.isnan(made.pr[2].area)
    assert made.figures["map"] == pytest.approx((made.pr[0].area + made.pr[1].area) / 2)
    with pytest.raises(DataError, match="at least one picture"):
        report(PROBS[:0], LABELS[:0])


def test_a_class_that_every_picture_has_spoils_no_mean() -> None:
    made = report(PROBS, np.array([[1, 0, 1], [1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [1, 1, 1]]))
    assert made.pr[0].area == 1
    assert np.isnan(made.roc[0].area)
    assert made.figures["map"] == pytest.approx((1 + made.pr[1].area + made.pr[2].area) / 3)
    assert made.figures["roc"] == pytest.approx((made.roc[1].area + made.roc[2].area) / 2)


def test_the_page_holds_what_a_click_shows() -> None:
    made = report(PROBS, LABELS)
    wrong = [Wrong("a/<x>.jpg", 1, 0, 0.6), Wrong("a/y.jpg", 2, 1, 0.5)]
    text = page("t", {"Model": "m"}, made, ("a", "b & c", "d"), wrong, lambda name: np.zeros((9, 6, 3), np.uint8))
    assert "<x>" not in text
    assert "http" not in text
    assert text.count("<figure data-at=") == text.count("data:image/jpeg") == 2
    assert '<figure data-at="1 0">' in text
    assert 'data-at="1 0" style' in text
    assert "b &amp; c" in text
