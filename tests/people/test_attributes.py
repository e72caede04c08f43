"""Guesses: what is asked for, with margins, and nothing that should not be guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from record_schema import check_record

from vision import DescribeFaces, FindFaces, Run
from vision.drawing import draw
from vision.engine import FakeEngine
from vision.errors import UsageError
from vision.people.attributes import EXPRESSIONS, AttributeGuesser, Attributes, margins
from vision.people.landmarks import FaceLandmarker
from vision.types import Frame, Image
from vision.zoo import CARDS


@pytest.fixture(scope="session")
def guesser() -> AttributeGuesser:
    return AttributeGuesser.load(precision="fp32")


def test_a_photograph(guesser: AttributeGuesser, landmarker: FaceLandmarker, ancelotti: Image) -> None:
    found = guesser(ancelotti, landmarker(ancelotti))
    assert found.expression(0) == "neutral"
    assert found.gender(0) == "masculine"
    assert abs(found.ages[0] - 55) < found.margins[0]                    # Ancelotti was 55 in 2014
    assert found.expressions[0].sum() == pytest.approx(1, abs=1e-4)
    mirrored = np.ascontiguousarray(ancelotti[:, ::-1])
    again = guesser(mirrored, landmarker(mirrored))
    assert again.ages[0] == pytest.approx(found.ages[0], abs=3)
    assert len(guesser(ancelotti, landmarker(ancelotti)[:0])) == 0


def test_margins_hold_four_in_five_of_what_they_are_made_of() -> None:
    assert margins(np.float32([0]))[0] == pytest.approx(1.2816 * np.hypot(6, 5.7), abs=1e-3)
    draw_ = np.random.default_rng(0)
    errors = draw_.normal(0, 6, 100_000) + draw_.normal(0, 5.7, 100_000)
    assert (np.abs(errors) < margins(np.float32([0]))[0]).mean() == pytest.approx(0.8, abs=0.01)


def made(**more: Any) -> Attributes:
    sure = np.eye(7, dtype=np.float32)[[1]]
    return Attributes([[0, 0, 50, 60]], [3], more.get("expressions", sure), [30], [10], [more.get("masculine", 0.9)],
                      more.get("asked", ("expression", "age", "gender")))


def test_what_is_told() -> None:
    (entry,) = made().to_dict()["objects"]
    assert entry == {"label": "face", "class_id": 0, "box": [0, 0, 50, 60], "id": 3, "expression": "happy",
                     "expression_score": 1.0, "age": {"guess": 30, "low": 20, "high": 40}, "gender_guess": "masculine",
                     "gender_score": 0.9}
    assert made(asked=("age",))[0].to_dict()["objects"][0].keys() == {"label", "class_id", "box", "id", "age"}
    assert made(masculine=0.7).gender(0) == "unsure"
    assert made(masculine=0.1).gender(0) == "feminine"
    assert made(expressions=np.full((1, 7), 1 / 7)).expression(0) == "unsure"
    unknown = Attributes([[0, 0, 9, 9]], [0], np.full((1, 7), np.nan), [np.nan], [np.nan], [np.nan])
    assert unknown.to_dict()["objects"] == [{"label": "face", "class_id": 0, "box": [0, 0, 9, 9]}]


def test_what_is_not_guessed() -> None:
    with pytest.raises(UsageError, match="ethnicity is not inferred"):
        DescribeFaces(guess=("ethnicity",)).check()
    with pytest.raises(UsageError, match="Nearest: age"):
        DescribeFaces(guess=("ages",)).check()
    assert DescribeFaces().guess == ("expression",)
    assert len(EXPRESSIONS) == 7


def test_tracks_are_averaged_and_small_faces_passed_over(
    landmarker: FaceLandmarker, ancelotti: Image, through_json: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    from vision.io import Info

    calls = iter(range(1000))

    def network(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        age = 20.0 if next(calls) // 2 % 2 else 40.0                     # turns with each frame
        return np.eye(7, dtype=np.float32)[[0]], np.float32([[age]]), np.float32([[0.5, 0.5]])

    guesser = AttributeGuesser(FakeEngine(network), CARDS["face-attributes"])
    frames = [Frame(ancelotti, i, i / 10, "film") for i in range(40)]
    plan = [FindFaces(model=landmarker), DescribeFaces(guess=("age",), model=guesser)]
    items = list(Run(frames, plan))
    assert items[0]["attributes"].ages[0] == 40
    assert abs(items[-1]["attributes"].ages[0] - 30) < 2
    check_record(items[-1].record)
    small = cv2.resize(ancelotti, (80, 80), interpolation=cv2.INTER_AREA)
    (item,) = Run([Frame(small, 0, 0.0)], plan)
    assert np.isnan(item["attributes"].ages).all()
    step = plan[1].open(Info("film", "video"), guesser)
    step.restore(through_json({"means": [[1, 0.5, np.arange(10, dtype=np.float32)]]}))
    assert step.state()["means"][0][2].tolist() == list(range(10))
    step.end()
    (said,) = step.summary()                                             # what each command tells at its end
    assert "an expression is not a feeling, an age may be ten years off" in said


def test_drawing(ancelotti: Image) -> None:
    drawn = draw(made(), ancelotti)
    assert (drawn != ancelotti).any()
