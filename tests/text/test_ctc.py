"""Readings of probabilities, and where words stand in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.errors import UsageError
from vision.text.ctc import Characters, classes_of, read_steps
from vision.text.strips import words_of


def _probs(path: list[int], classes: int = 4, sure: float = 0.7) -> np.ndarray:
    probs = np.full((len(path), classes), (1 - sure) / (classes - 1), np.float32)
    probs[np.arange(len(path)), path] = sure
    return probs


def test_repeats_merge_and_blanks_part() -> None:
    reading = read_steps(_probs([0, 1, 1, 0, 1, 2, 2, 3, 0]), "abc")
    assert (reading.text, reading.steps) == ("aabc", (1, 4, 5, 7))
    assert reading.score == pytest.approx(0.7)
    assert read_steps(_probs([0, 0, 0]), "abc") == ("", 0.0, ())


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_reading_is_the_twin_character_by_character(path: list[int]) -> None:
    text, last = "", 0
    for label in path:
        if label and label != last:
            text += "abc"[label - 1]
        last = label
    assert read_steps(_probs(path), "abc").text == text


def test_an_alphabet_keeps_others_out() -> None:
    probs = np.array([[0.0, 0.5, 0.4, 0.1], [0.9, 0.1, 0, 0]], np.float32)
    characters = Characters("áa1")
    assert characters.read(probs).text == "á"
    assert characters.only("a1").read(probs).text == "a"


def test_what_a_model_lacks_is_said() -> None:
    with pytest.raises(UsageError, match=r"cannot read 2 of the characters asked for: жя \(Cyrillic\)"):
        Characters("abc").only("abжя")


def test_classes_of_a_text_without_capitals() -> None:
    assert classes_of("Ab!c", "abc") == [1, 2, 3]
    assert classes_of("Ab", "Aab") == [1, 3]


def test_words_stand_between_spaces() -> None:
    places = np.array([0.05, 0.15, 0.25, 0.40, 0.55, 0.65], np.float32)          # "ab  c d" with one space each
    words = words_of("ab cd ", places)
    assert [word for word, _, _ in words] == ["ab", "cd"]
    assert words[0][1:] == pytest.approx((0.0, 0.21), abs=0.03)
    assert words[1][1:] == pytest.approx((0.34, 0.62), abs=0.03)
    assert words_of("   ", places[:3]) == []
    assert words_of("x", places[:1]) == [("x", 0.0, 1.0)]
