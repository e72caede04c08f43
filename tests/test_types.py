"""Results: rows stay in step, an index keeps the type, wrong shapes are named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vision.errors import DataError
from vision.people.body import Poses
from vision.people.identities import Identities
from vision.people.liveness import Live
from vision.people.quality import Quality
from vision.types import ClassMap, Detections, Frame, Landmarks, Scores, Tracks

unit = st.floats(0, 1, width=32)
pixels = st.floats(0, 4000, width=32)


@st.composite
def tracks(draw: st.DrawFn) -> Tracks:
    n = draw(st.integers(0, 8))
    return Tracks(
        draw(arrays(np.float32, (n, 4), elements=pixels)), draw(arrays(np.float32, n, elements=unit)),
        draw(arrays(np.int64, n, elements=st.integers(0, 79))),
        draw(arrays(np.int64, n, elements=st.integers(1, 99))),
        draw(arrays(np.float32, n, elements=pixels)),
        draw(arrays(np.int64, n, elements=st.integers(-1, 50))),
    )


anywhere = st.floats(-1e6, 1e6, width=32)


@st.composite
def detections(draw: st.DrawFn, weak: bool = True) -> Detections:
    n = draw(st.integers(0, 6))
    return Detections(
        draw(arrays(np.float32, (n, 4), elements=anywhere)), draw(arrays(np.float32, n, elements=unit)),
        draw(arrays(np.int64, n, elements=st.integers(0, 79))),
        weak=draw(st.none() | detections(weak=False)) if weak else None,
    )


def rows(found: Detections) -> list[tuple[object, ...]]:
    columns = (getattr(found, name).tolist() for name in found._layout)
    return list(zip(*columns, strict=True))


def equal(a: Detections, b: Detections) -> bool:
    weak = (a.weak is None) == (b.weak is None) and (a.weak is None or rows(a.weak) == rows(b.weak))
    return type(a) is type(b) and rows(a) == rows(b) and weak


@given(tracks(), st.data())
def test_an_index_takes_the_same_rows_of_every_field(found: Tracks, data: st.DataObject) -> None:
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(found), max_size=len(found))), bool)
    order = np.array(data.draw(st.permutations(range(len(found)))), np.int64)
    everything = rows(found)
    assert rows(found[mask]) == [row for row, keep in zip(everything, mask, strict=True) if keep]
    assert rows(found[order]) == [everything[i] for i in order]
    assert rows(found[1:3]) == everything[1:3]
    assert [rows(one)[0] for one in found] == everything
    assert all(type(part) is Tracks for part in (found[mask], found[order], found[1:3], *found))


@given(tracks())
def test_a_record_comes_back_as_exact_as_its_rounding(found: Tracks) -> None:
    again = Detections.from_dict(found.to_dict())
    np.testing.assert_allclose(again.boxes, found.boxes, atol=0.006)
    np.testing.assert_allclose(again.scores, found.scores, atol=6e-5)
    np.testing.assert_array_equal(again.labels, found.labels)


@given(detections() | tracks())
def test_what_is_rounded_is_what_its_record_says(found: Detections) -> None:
    rounded = found.rounded()
    assert rounded.to_dict() == found.to_dict()
    assert equal(rounded.rounded(), rounded)
    assert equal(type(found).from_dict(found.to_dict()), rounded)


def test_everything_is_what_is_shown_with_the_weak_behind_it() -> None:
    shown, weak = ([[0, 0, 1, 1]], [0.9], [2]), ([[2, 2, 3, 3], [4, 4, 5, 5]], [0.2, 0.1], [0, 1])
    found = Detections(*shown, weak=Detections(*weak))
    assert len(found) == 1
    assert found.everything.boxes[:, 0].tolist() == [0, 2, 4]
    assert found.everything.labels.tolist() == [2, 0, 1]
    assert found.everything.weak is None
    assert [len(Detections(*shown, weak=none).everything) for none in (None, Detections.empty())] == [1, 1]
    assert found[:1].weak is None
    payload = found.to_dict(["a", "b", "c"])
    assert [e["label"] for e in payload["weak"]] == ["a", "b"]
    assert payload["objects"] == Detections(*shown).to_dict(["a", "b", "c"])["objects"]
    assert "weak" not in Detections(*shown).to_dict()
    assert Detections(*shown, weak=Detections.empty()).to_dict()["weak"] == []


def test_identities_come_back_from_their_record() -> None:
    found = Identities([[1, 2, 3, 4], [5, 6, 7, 8]], [0.5, 0.0], [1, 0], [7, 0], [1.5, 0.0], [0, 1],
                       [0.4, np.nan], [Quality.GOOD, Quality.BLURRED], [Live.YES, Live.UNASKED])
    again = Identities.from_dict(found.to_dict(["unknown", "Eileen"]))
    assert again.to_dict() == found.to_dict()
    np.testing.assert_array_equal(again.distances, found.distances)                  # NaN is NaN here
    np.testing.assert_array_equal([again.quality, again.live], [found.quality, found.live])
    assert len(Identities.from_dict(Identities.empty().to_dict())) == 0


def test_tracks_of_an_old_record_know_no_rows() -> None:
    payload = Tracks([[1, 2, 3, 4]], [0.5], [1], [7], [1.5], [3]).to_dict()
    assert payload["objects"][0].pop("row") == 3
    assert Tracks.from_dict(payload).rows.tolist() == [-1]


def test_a_payload_is_plain_and_rounded_to_what_it_means() -> None:
    found = Tracks([[1.23456, 2, 3, 4.004]], [0.123456], [1], [7], [1.23456], [3])
    assert found.to_dict(["cat", "dog"]) == {"objects": [{
        "label": "dog", "class_id": 1, "score": 0.1235, "box": [1.23, 2.0, 3.0, 4.0], "id": 7, "age_s": 1.235,
        "row": 3,
    }]}
    assert found.to_dict(["cat"])["objects"][0]["label"] == "1"                 # a class without a name


def test_one_integer_keeps_the_row_axis_and_one_too_far_is_an_index_error() -> None:
    found = Detections([[0, 0, 1, 1], [2, 2, 3, 3]], [0.5, 0.6], [0, 1])
    assert found[-1].boxes.tolist() == [[2, 2, 3, 3]]
    assert len(found[0]) == 1
    with pytest.raises(IndexError, match="row 2 of 2"):
        found[2]


def test_empty_has_no_rows_and_the_right_shapes() -> None:
    for kind in (Detections, Tracks):
        none = kind.empty()
        assert (len(none), none.boxes.shape, none.boxes.dtype) == (0, (0, 4), np.float32)
        assert none.to_dict() == {"objects": []}
        assert list(none) == []


@pytest.mark.parametrize(("boxes", "scores", "message"), [
    ([[1, 2, 3]], [0.5], r"Detections.boxes must have shape \(N,4\); got \(1, 3\)"),
    ([1, 2, 3, 4], [0.5], r"Detections.boxes must have shape \(N,4\); got \(4,\)"),
    ([[1, 2, 3, 4]], [0.5, 0.5], "Detections.scores must have 1 rows like the first field; got 2"),
])
def test_a_wrong_shape_is_named(boxes: list, scores: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Detections(boxes, scores, [0])


@given(arrays(np.float32, st.integers(1, 40), elements=unit), st.integers(1, 10))
def test_top_is_a_stable_sort(probs: np.ndarray, k: int) -> None:
    expected = sorted(range(len(probs)), key=lambda i: (-probs[i], i))[:k]
    assert [i for i, _ in Scores(probs).top(k)] == expected


def test_scores_payload_has_the_five_best() -> None:
    payload = Scores(np.linspace(0, 0.6, 7)).to_dict(list("abcdefg"))
    assert [(e["label"], e["score"]) for e in payload["scores"]] == [
        ("g", 0.6), ("f", 0.5), ("e", 0.4), ("d", 0.3), ("c", 0.2),
    ]


def test_a_frame_knows_its_size() -> None:
    assert Frame(np.zeros((480, 640, 3), np.uint8), 0, 0.0).size_wh == (640, 480)


def test_empty_lists_are_a_frame_with_nothing_in_it() -> None:
    """What a loop over one's own boxes gives on such a frame."""
    assert Detections([], [], []).boxes.shape == (0, 4)
    assert Tracks([], [], [], [], [], []).ids.dtype == np.int64
    assert Landmarks([], [], []).points.shape == (0, 0, 2)
    with pytest.raises(DataError, match=r"scores must have 0 rows like the first field; got 1"):
        Detections([], [0.5], [])


@pytest.mark.parametrize(("make", "message"), [
    (lambda: ClassMap(np.full((2, 3), 300)), "ClassMap.labels must fit uint8; got int64 300 to 300"),
    (lambda: ClassMap(np.array([[0, -1]])), "must fit uint8; got int64 -1 to 0"),
    (lambda: ClassMap(np.full((2, 3), 0.7)), "must fit uint8; got float64 0.7 to 0.7"),
    (lambda: Detections([[0, 0, 1, 1]], [0.5], [1.5]), "Detections.labels must fit int64; got float64 1.5"),
    (lambda: Detections([[0, 0, 1, 1], [0]], [1, 1], [0, 0]), "Detections.boxes must be an array of numbers"),
    (lambda: Scores(["cat"]), "Scores.probs must be an array of numbers"),
])
def test_numbers_are_not_changed_on_the_way_in(make: Callable[[], object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()
    assert ClassMap(np.array([[0, 255]])).labels.tolist() == [[0, 255]]        # int64, as argmax has it
    assert Detections([[0, 0, 1, 1]], [0.5], [2.0]).labels.tolist() == [2]      # floats, as a table has them


def test_a_result_says_what_it_is_on_a_line() -> None:
    few = Detections([[1, 2, 3, 4]], [0.712345], [7])
    assert repr(few) == "Detections(boxes=[[1.0, 2.0, 3.0, 4.0]], scores=[0.7123], labels=[7])"
    many = Detections(np.zeros((40, 4)), np.ones(40), np.zeros(40), weak=few)
    assert repr(many) == f"Detections(boxes=(40,4) float32, scores=(40) float32, labels=(40) int64, weak={few!r})"
    assert repr(ClassMap(np.zeros((480, 640), np.uint8))) == "ClassMap(labels=(480,640) uint8)"
    frame = Frame(np.zeros((4, 5, 3), np.uint8), 2, 0.5, "a.mp4", captured=1.0)
    assert repr(frame) == "Frame(image=(4,5,3) uint8, index=2, time=0.5, source='a.mp4', gap=0.0, captured=1.0)"
    assert len(repr(Poses.empty())) < 120
    assert frame._repr_png_().startswith(b"\x89PNG")
