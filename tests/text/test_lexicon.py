"""Lexicons: likelihoods against all paths, the nearest words, corrections."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from vision.data.words import read_lexicon
from vision.errors import DataError
from vision.metrics.text import edits
from vision.text.ctc import read_steps
from vision.text.lexicon import Lexicon, log_likelihoods

WORDS = ("avenue", "hotel", "motel", "parking", "dorothy", "the", "sale", "Victoria's")


def _collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    kept = [p for i, p in enumerate(path) if i == 0 or p != path[i - 1]]
    return tuple(p for p in kept if p)


def test_a_likelihood_is_the_sum_over_paths() -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(3), 5).astype(np.float32)
    totals: dict[tuple[int, ...], float] = {}
    for path in product(range(3), repeat=5):
        text = _collapsed(path)
        totals[text] = totals.get(text, 0.0) + float(np.prod([probs[t, p] for t, p in enumerate(path)]))
    texts = [text for text in totals if text]
    np.testing.assert_allclose(np.exp(log_likelihoods(probs, texts)), [totals[t] for t in texts], rtol=1e-5)


def test_near_words_are_those_within_two_edits() -> None:
    lexicon = Lexicon(WORDS)
    for word in ("auenue", "xotel", "sael", "darathy", "nothing"):
        expected = {one.casefold() for one in WORDS if edits(word, one.casefold()) <= 2}
        assert set(lexicon.near(word)) == expected
    assert lexicon.near("hotel")[0] == "hotel"
    assert "VICTORIA'S" in lexicon
    assert "victor" not in lexicon


def _probs(text: str, characters: str, doubt: dict[int, str]) -> np.ndarray:
    """Each character at every second step with 0.6; at the positions of `doubt` another one has 0.35."""
    probs = np.full((2 * len(text), len(characters) + 1), 1e-4, np.float32)
    probs[1::2, 0] = 1
    for i, character in enumerate(text):
        probs[2 * i, characters.index(character) + 1] = 0.6
        if i in doubt:
            probs[2 * i, characters.index(doubt[i]) + 1] = 0.35
    return probs


def test_a_word_that_is_none_becomes_the_likely_one() -> None:
    characters = "abcdefghijklmnopqrstuvwxyzAVENU .0123456789"
    lexicon = Lexicon(WORDS)

    def read(text: str, doubt: dict[int, str]) -> str:
        probs = _probs(text, characters, doubt)
        reading = lexicon.corrected(probs, read_steps(probs, characters), characters)
        assert len(reading.steps) == len(reading.text)
        return reading.text

    assert read("auenue", {1: "v"}) == "avenue"
    assert read("AUENUE", {1: "V"}) == "AVENUE"             # in the case that was read
    assert read("auenue.", {1: "v"}) == "avenue."
    assert read("the auenue sale", {5: "v"}) == "the avenue sale"
    assert read("auenue", {}) == "auenue"                   # nothing speaks for the v
    assert read("hotel", {0: "m"}) == "hotel"               # a word already
    assert read("2015", {}) == "2015"


def test_a_lexicon_has_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 to 1000000 words; got 0"):
        Lexicon(["two words", ""])
    (tmp_path / "w").write_text("Hotel\nsale\n")
    assert "hotel" in read_lexicon(tmp_path / "w")
