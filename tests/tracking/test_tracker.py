from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.boxes import iou
from vision.errors import DataError, UsageError
from vision.tracking import METHODS, Counter, Scene, Tracker, motion
from vision.tracking.scene import Line
from vision.types import Detections, Tracks

RATE = 25.0


def boxes_at(time: float) -> np.ndarray:
    """Three walkers: one to the right, one to the left in its way, one that stands."""
    return np.array([
        [100 + 60 * time, 100, 140 + 60 * time, 200],
        [400 - 60 * time, 130, 440 - 60 * time, 250],
        [600, 100, 650, 220],
    ])


def seen(boxes: np.ndarray, score: float = 0.9, label: int = 0) -> Detections:
    return Detections(boxes, np.full(len(boxes), score), np.full(len(boxes), label))


EMPTY_FIRST = (-1 / RATE, Detections.empty())        # what comes after it is new in a scene that is known


def walk(tracker: Tracker, frames: list[tuple[float, Detections]]) -> list[Tracks]:
    return [tracker(detections, time) for time, detections in frames]


def scene(frames: int = 60, seed: int = 0, misses: float = 0.1) -> list[tuple[float, Detections]]:
    """The walkers as a detector sees them: jitter, misses, and a false box here and there."""
    rng = np.random.default_rng(seed)
    out = []
    for n in range(frames):
        boxes = boxes_at(n / RATE) + rng.normal(0, 1.0, (3, 4))
        boxes = boxes[rng.random(3) >= misses]
        if rng.random() < 0.2:
            corner = rng.uniform(0, 500, 2)
            boxes = np.concatenate([boxes, [[*corner, *(corner + 40)]]])
        out.append((n / RATE, Detections(boxes, rng.uniform(0.2, 1, len(boxes)), np.zeros(len(boxes)))))
    return out


def same(a: list[Tracks], b: list[Tracks], scale: float = 1.0) -> None:
    for x, y in zip(a, b, strict=True):
        assert x.ids.tolist() == y.ids.tolist()
        np.testing.assert_allclose(x.boxes, y.boxes, atol=0.011)             # rounded to hundredths
        np.testing.assert_allclose(x.ages * scale, y.ages, atol=6e-4 * (1 + scale))


@pytest.mark.parametrize("method", METHODS)
def test_ids_last_and_count_from_one(method: str) -> None:
    frames = [(n / RATE, seen(boxes_at(n / RATE))) for n in range(50)]
    results = walk(Tracker(method), [EMPTY_FIRST, *frames])[1:]
    hits = METHODS[method].hits
    assert [len(r) for r in results[: hits - 1]] == [0] * (hits - 1)        # unconfirmed: no id yet
    assert all(r.ids.tolist() == [1, 2, 3] for r in results[hits - 1 :])
    for n, tracks in enumerate(results[10:], 10):
        order = [int(np.argmin(abs(boxes_at(n / RATE)[:, 0] - left))) for left in tracks.boxes[:, 0]]
        assert sorted(order) == [0, 1, 2]
        np.testing.assert_allclose(tracks.boxes, boxes_at(n / RATE)[order], atol=3)
        assert order == [int(np.argmin(abs(boxes_at(0.4)[:, 0] - left))) for left in results[10].boxes[:, 0]]
    np.testing.assert_allclose(results[-1].ages, 49 / RATE, atol=1e-6)


def test_ids_are_consecutive_in_the_order_of_confirmation() -> None:
    tracker = Tracker()
    ids = [i for r in walk(tracker, scene(200, misses=0.3)) for i in r.ids.tolist()]
    first_seen = list(dict.fromkeys(ids))
    assert first_seen == list(range(1, len(first_seen) + 1))
    assert all((np.diff(r.ids) > 0).all() for seed in range(5) for r in walk(Tracker(), scene(60, seed, 0.3)))


def test_two_trackers_share_nothing() -> None:
    one, other = Tracker(), Tracker()
    walk(one, scene())
    assert walk(other, scene())[-1].ids.min() == 1
    one.reset()
    same(walk(one, scene()), walk(Tracker(), scene()))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(sorted(METHODS)))
def test_the_order_of_detections_changes_nothing(seed: int, method: str) -> None:
    rng = np.random.default_rng(seed)
    frames = scene(30, seed)
    mixed = [(time, d[rng.permutation(len(d))]) for time, d in frames]
    same(walk(Tracker(method), frames), walk(Tracker(method), mixed))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 30), st.sampled_from(sorted(METHODS)))
def test_pickling_in_mid_run_changes_nothing(seed: int, cut: int, method: str) -> None:
    frames = scene(30, seed)
    whole = walk(Tracker(method), frames)
    tracker = Tracker(method)
    first = walk(tracker, frames[:cut])
    second = walk(pickle.loads(pickle.dumps(tracker)), frames[cut:])
    same(whole, first + second)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(0.25, 4))
def test_scaling_time_and_velocity_together_changes_nothing(seed: int, scale: float) -> None:
    frames = scene(40, seed)
    slow = [(time * scale, d) for time, d in frames]
    method = METHODS["default"]
    stretched = replace(method, recent=method.recent * scale, reach=method.reach / scale)
    plain = walk(Tracker(lost_after=1.5), frames)
    with pytest.MonkeyPatch.context() as patch:              # the same noise in the new unit of time
        patch.setattr(motion, "DRIFT", motion.DRIFT / scale**0.5)
        patch.setattr(motion, "PUSH", motion.PUSH / scale**1.5)
        patch.setattr(motion, "START", motion.START / scale)
        same(plain, walk(Tracker(stretched, lost_after=1.5 * scale), slow), scale)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(-300, 300), st.floats(-300, 300))
def test_a_shifted_picture_gives_shifted_tracks(seed: int, dx: float, dy: float) -> None:
    frames = scene(30, seed)
    moved = [(t, Detections(d.boxes + np.float32([dx, dy, dx, dy]), d.scores, d.labels)) for t, d in frames]
    for a, b in zip(walk(Tracker(), frames), walk(Tracker(), moved), strict=True):
        assert a.ids.tolist() == b.ids.tolist()
        np.testing.assert_allclose(a.boxes + np.array([dx, dy, dx, dy]), b.boxes, atol=0.01)


@pytest.mark.parametrize("rate", [5.0, 10.0, 25.0, 60.0])
def test_the_frame_rate_changes_nothing(rate: float) -> None:
    frames = [(n / rate, seen(boxes_at(n / rate))) for n in range(int(3 * rate))]
    results = walk(Tracker(), frames)
    assert {i for r in results for i in r.ids.tolist()} == {1, 2, 3}


def test_dropped_frames_and_a_variable_rate_change_no_id() -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.02, 0.3, 25))
    results = walk(Tracker(), [(t, seen(boxes_at(t))) for t in times])
    assert all(r.ids.tolist() == [1, 2, 3] for r in results[1:])
    np.testing.assert_allclose(results[-1].ages, times[-1] - times[0], atol=6e-4)


@pytest.mark.parametrize("rate", [10.0, 30.0])
@pytest.mark.parametrize(("gap", "kept"), [(1.0, True), (1.4, True), (1.7, False)])
def test_lost_after_is_a_duration(rate: float, gap: float, kept: bool) -> None:
    tracker = Tracker(lost_after=1.5)
    still = np.array([[50.0, 50, 100, 150]])
    walk(tracker, [(n / rate, seen(still)) for n in range(20)])
    end = 19 / rate
    steps = int(gap * rate)
    for n in range(1, steps):
        assert len(tracker(Detections.empty(), end + n / rate)) == 0
    ids = [tracker(seen(still), end + gap + n / rate).ids.tolist() for n in range(2)]
    assert ids == ([[1], [1]] if kept else [[], [2]])


def test_a_gap_of_one_long_step_is_a_gap() -> None:
    tracker = Tracker(lost_after=1.5)
    still = seen(np.array([[50.0, 50, 100, 150]]))
    walk(tracker, [(n / 10, still) for n in range(20)])
    assert [tracker(still, t).ids.tolist() for t in (10.0, 10.1)] == [[2], [2]]


def drive(method: str, label_of: Callable[[float], int], rate: float = RATE) -> list[Tracks]:
    """One vehicle of 80x60 that drives down at 100 pixels a second, and what it is called at each place."""
    rng = np.random.default_rng(0)
    frames = []
    for n in range(round(2.4 * rate)):
        y = 100 + 100 * n / rate
        box = np.array([[300, y - 60, 380, y]]) + rng.normal(0, 1.5, 4)
        frames.append((n / rate, seen(box, 0.9, label_of(y))))
    return walk(Tracker(method), frames)


@pytest.mark.parametrize("rate", [10.0, 25.0, 60.0])
@pytest.mark.parametrize("method", METHODS)
def test_a_car_that_becomes_a_truck_is_one_track_and_is_called_what_it_was_called_most(
    method: str, rate: float
) -> None:
    assert {(r.ids.tolist()[0], len(r)) for r in drive(method, lambda y: int(y >= 200), rate)} == {(1, 1)}
    labels = [int(r.labels[0]) for r in drive(method, lambda y: int(y >= 180), rate)]
    n = labels.index(1)                                     # 80 pixels a car, then as many a truck, and one
    assert n / rate == pytest.approx(1.6, abs=1.01 / rate)
    assert labels == [0] * n + [1] * (len(labels) - n)
    counter = Counter(Scene(lines=(Line("gate", (0, 200), (640, 200)),)))
    for n, tracks in enumerate(drive(method, lambda y: int(y >= 200), rate)):
        counter(tracks, n / rate)
    assert counter.totals == {"gate": {"right": 1, "left": 0}}


@pytest.mark.parametrize("method", METHODS)
def test_a_class_that_flickers_from_the_start_is_one_track(method: str) -> None:
    results = drive(method, lambda y: int(y / 4) % 3)
    assert {i for r in results for i in r.ids.tolist()} == {1}
    assert [len(r) for r in results].count(1) >= len(results) - METHODS[method].hits


def test_two_boxes_of_one_object_are_one_track_and_both_vote() -> None:
    still = np.array([[50.0, 50, 100, 150], [51, 50, 101, 151]])
    both = [Detections(still, scores, [0, 2]) for scores in ([0.9, 0.8], [0.5, 0.9], [0.5, 0.9])]
    results = walk(Tracker(), [(n / 10, found) for n, found in enumerate(both)])
    assert [r.ids.tolist() for r in results] == [[1]] * 3
    assert [r.labels.tolist() for r in results] == [[0], [2], [2]]          # 0.9 to 0.8, then 1.4 to 1.7
    assert [r.rows.tolist() for r in results] == [[0], [1], [1]]            # the better of the two
    apart = Detections(np.add(still, [[0.0], [30.0]]), [0.9, 0.8], [0, 2])
    assert Tracker()(apart, 0.0).labels.tolist() == [0, 2]
    alike = Detections(still, [0.9, 0.8], [0, 0])                           # one class: the detector's to say
    assert Tracker()(alike, 0.0).ids.tolist() == [1, 2]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3), st.floats(0.25, 1, width=32)), max_size=9))
def test_boxes_in_one_place_are_gathered_under_the_best(found: list[tuple[int, int, float]]) -> None:
    """The brute-force twin: best first, each takes those of other classes that nobody took before."""
    boxes = np.array([[left, 0, left + 40, 40] for left, _, _ in found], np.float32).reshape(-1, 4)
    detections = Detections(boxes, [score for *_, score in found], [label for _, label, _ in found])
    tracker = Tracker()
    order = tracker._usable(detections)
    best, scores = tracker._objects(detections[order])
    left, expected = order.tolist(), {}
    overlap = iou(boxes, boxes)
    while left:
        first = left[0]
        others = {j for j in left if overlap[first, j] >= 0.8 and found[j][1] != found[first][1]}
        group = {first, *others}
        left = [j for j in left if j not in group]
        expected[first] = {label: max(found[j][2] for j in group if found[j][1] == label)
                           for label in {found[j][1] for j in group}}
    assert order[best].tolist() == list(expected)
    for row, votes in zip(scores, expected.values(), strict=True):
        assert {tracker._classes[k]: row[k] for k in np.flatnonzero(row)} == votes


def test_what_is_of_another_class_elsewhere_is_another_object() -> None:
    """A rider's track does not go on under the bicycle's box, of which it covers 45 %."""
    rider, bicycle = np.array([[100.0, 50, 140, 150]]), np.array([[95.0, 90, 145, 160]])
    frames = [(n / RATE, seen(rider)) for n in range(5)]
    frames += [(n / RATE, seen(bicycle, label=1)) for n in range(5, 10)]
    assert walk(Tracker(), frames)[-1].ids.tolist() == [2]
    both = Detections(np.concatenate([rider, bicycle]), [0.9, 0.9], [0, 1])
    assert [r.labels.tolist() for r in walk(Tracker(), [(n / RATE, both) for n in range(5)])] == [[0, 1]] * 5


def test_its_own_class_comes_before_a_better_place() -> None:
    """The car's box moves on by a third, and a truck's takes its place."""
    start, ahead = np.array([[100.0, 100, 160, 140]]), np.array([[120.0, 100, 180, 140]])
    tracker = Tracker()
    walk(tracker, [(n / RATE, seen(start)) for n in range(5)])
    found = tracker(Detections(np.concatenate([start, ahead]), [0.9, 0.9], [1, 0]), 5 / RATE)
    assert (found.ids.tolist(), found.rows.tolist()) == ([1], [1])


def test_another_class_long_after_is_another_object() -> None:
    still = np.array([[50.0, 50, 100, 150]])
    for gap, ids in ((0.4, [1]), (0.7, [2])):
        frames = [(n / 10, seen(still)) for n in range(10)]
        frames += [(0.9 + n / 10, Detections.empty()) for n in range(1, round(gap * 10))]
        frames += [(0.9 + gap + n / 10, seen(still, label=1)) for n in range(2)]
        assert walk(Tracker(), frames)[-1].ids.tolist() == ids


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(sorted(METHODS)), st.integers(1, 3))
def test_rows_are_what_each_track_saw(seed: int, method: str, classes: int) -> None:
    """A filter that trusts its boxes entirely shows which one it saw; each is seen by one track at most."""
    rng = np.random.default_rng(seed)
    tracker = Tracker(replace(METHODS[method], robust=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "MEASURED", 1e-4)
        patch.setattr(motion, "DRIFT", 10.0)
        for time, found in scene(25, seed):
            found = Detections(found.boxes, found.scores, rng.integers(0, classes, len(found)))
            shown = found.scores >= 0.45
            tracks = tracker(replace(found[shown], weak=found[~shown]), time)
            everything = replace(found[shown], weak=found[~shown]).everything
            np.testing.assert_allclose(everything.boxes[tracks.rows], tracks.boxes, atol=0.2)
            np.testing.assert_array_equal(everything.rounded().scores[tracks.rows], tracks.scores)
            assert len(set(tracks.rows.tolist())) == len(tracks)
            if len(tracks):
                best = iou(tracks.boxes, everything.boxes).argmax(axis=1)       # the brute-force twin
                assert best.tolist() == tracks.rows.tolist()


def test_rows_count_the_weak_behind_what_is_shown() -> None:
    still, tracker = np.array([[50.0, 50, 100, 150], [300, 50, 350, 150]]), Tracker()
    tracker(seen(still), 0.0)
    found = replace(seen(still[1:]), weak=seen(still[:1], 0.3))
    assert tracker(found, 0.1).rows.tolist() == [1, 0]
    flat = Detections(np.concatenate([[[0.0, 0, 0, 5]], still]), [0.95, 0.9, 0.9], [0, 0, 0])
    assert tracker(flat, 0.2).rows.tolist() == [1, 2]              # what is ignored is counted


def test_weak_detections_continue_a_track_and_begin_none() -> None:
    still = np.array([[50.0, 50, 100, 150]])
    weak = [(n / 10, seen(still, 0.3)) for n in range(5)]
    assert all(len(r) == 0 for r in walk(Tracker(), weak))
    strong_then_weak = [(n / 10, seen(still, 0.9 if n < 3 else 0.3)) for n in range(8)]
    assert [r.ids.tolist() for r in walk(Tracker("bytetrack"), strong_then_weak)] == [[1]] * 8
    assert [len(r) for r in walk(Tracker("sort"), strong_then_weak)] == [1, 1, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("method", METHODS)
def test_the_first_frame_is_confirmed_at_once_and_a_later_newcomer_after_its_hits(method: str) -> None:
    there, comes = np.array([[50.0, 50, 100, 150]]), np.array([[400.0, 50, 450, 150]])
    frames = [(n / RATE, seen(there if n < 10 else np.concatenate([there, comes]))) for n in range(20)]
    ids = [r.ids.tolist() for r in walk(Tracker(method), frames)]
    assert ids == [[1]] * (9 + METHODS[method].hits) + [[1, 2]] * (11 - METHODS[method].hits)


def test_a_box_of_one_frame_gets_no_id() -> None:
    there, false = np.array([[50.0, 50, 100, 150]]), np.array([[400.0, 50, 450, 150]])
    frames = [(n / RATE, seen(np.concatenate([there, false]) if n % 2 else there)) for n in range(20)]
    assert [r.ids.tolist() for r in walk(Tracker(), frames)] == [[1]] * 20


@pytest.mark.parametrize("rate", [10.0, 30.0])
@pytest.mark.parametrize(("hidden", "found"), [(0.1, True), (0.4, True), (0.7, False)])
def test_a_weak_detection_finds_what_was_lost_a_moment_ago(rate: float, hidden: float, found: bool) -> None:
    """However many frames the moment had."""
    still, tracker = np.array([[50.0, 50, 100, 150]]), Tracker()
    walk(tracker, [(n / rate, seen(still)) for n in range(10)])
    misses = round(hidden * rate)
    walk(tracker, [((9 + n) / rate, Detections.empty()) for n in range(1, misses)])
    assert len(tracker(seen(still, 0.3), (9 + misses) / rate)) == found


@pytest.mark.parametrize(("rate", "reach", "ids"), [
    (30.0, 0.0, [1]), (30.0, 0.5, [1]), (4.0, 0.0, []), (4.0, 0.5, [1]),
])
def test_a_newcomer_is_found_again_at_a_low_rate(rate: float, reach: float, ids: list[int]) -> None:
    """A runner of 40x100 pixels, 140 pixels a second: at 4 frames a second the boxes hardly touch."""
    def at(time: float) -> Detections:
        return seen(np.array([[100 + 140 * time, 100, 140 + 140 * time, 200]]))

    tracker = Tracker(replace(METHODS["default"], reach=reach))
    results = walk(tracker, [(-1 / rate, Detections.empty()), *((n / rate, at(n / rate)) for n in range(6))])
    assert results[-1].ids.tolist() == ids


@pytest.mark.parametrize(("rate", "score", "reach", "ids"), [
    (25.0, 0.9, 0.0, [1]), (4.0, 0.9, 0.0, [2]), (4.0, 0.9, 0.5, [1]),
    (25.0, 0.45, 0.0, [1]), (10.0, 0.45, 0.0, []), (10.0, 0.45, 1.0, [1]),
])
def test_who_turns_back_is_found_again_at_a_low_rate(
    rate: float, score: float, reach: float, ids: list[int]
) -> None:
    """40x100 pixels at 60 pixels a second to the right, after two seconds to the left, from then on seen with
    `score`: a quarter of a second later the prediction is 30 pixels off."""
    def at(time: float) -> Detections:
        left = 100 + 60 * min(time, 4 - time)
        return seen(np.array([[left, 100, left + 40, 200]]), 0.9 if time <= 2 else score)

    tracker = Tracker(replace(METHODS["default"], reach=reach))
    frames = [EMPTY_FIRST, *((n / rate, at(n / rate)) for n in range(int(3 * rate)))]
    assert walk(tracker, frames)[-1].ids.tolist() == ids


@pytest.mark.parametrize(("hidden", "last"), [(10, 1), (15, 2)])
def test_a_stop_behind_an_occluder_is_recovered_by_the_last_observation(hidden: int, last: int) -> None:
    """It walks in, is hidden, and stands where it vanished: the prediction has run past it. Within half a
    second it is found again; later whoever stands there may be somebody else."""
    def at(n: int) -> np.ndarray:
        left = 100 + 4.0 * min(n, 24)
        return np.array([[left, 100, left + 30, 180]])

    def seen_at(n: int) -> Detections:
        return Detections.empty() if 24 < n < 25 + hidden else seen(at(n))

    frames = [(n / RATE, seen_at(n)) for n in range(50)]
    assert walk(Tracker(replace(METHODS["default"], min_iou_last=0.4)), frames)[-1].ids.tolist() == [last]
    assert walk(Tracker(), frames)[-1].ids.tolist() == [2]


@pytest.mark.parametrize(("method", "rows", "speed"), [("default", 2.8, 7.5), ("bytetrack", 20.0, 54.7)])
def test_a_box_that_is_cut_by_what_hides_it_leads_its_track_less_astray(
    method: str, rows: float, speed: float
) -> None:
    """40x100 pixels at 50 pixels a second, 10 frames a second; in the last one the lower half is hidden. A
    plain filter takes the jump of the centre, 25 pixels, for a motion upwards."""
    def at(n: int) -> Detections:
        left = 100 + 5.0 * n
        return seen(np.array([[left, 100, left + 40, 150 if n == 20 else 200]]))

    tracker = Tracker(method)
    walk(tracker, [(n / 10, at(n)) for n in range(21)])
    centre, velocity = tracker._tracks["state"][0, :2]
    np.testing.assert_allclose(centre[:2], [220, 150 - rows], atol=0.1)
    np.testing.assert_allclose(velocity[:2], [50, -speed], atol=0.1)


def test_a_weak_box_moves_its_track_by_the_odds_of_its_score() -> None:
    """Three to one against it, where the method's own limit is one to one: three times the variance."""
    tracker = Tracker()
    walk(tracker, [(n / RATE, seen(np.array([[100.0, 100, 140, 200]]))) for n in range(10)])
    state = tracker._tracks["state"].copy()
    tracker(seen(np.array([[101.0, 101, 141, 201]]), 0.25), 10 / RATE)
    motion.predict(state, 1 / RATE)
    motion.update(state, np.array([[121.0, 151, 40, 100]]), np.array([[3.0]]))
    np.testing.assert_allclose(tracker._tracks["state"], state, rtol=1e-6)


def test_reupdate_is_as_if_the_gap_had_been_seen_along_a_straight_line() -> None:
    def at(n: int) -> Detections:
        left = 100.0 + (4 * n if n < 20 else 76 + 1.5 * (n - 19))
        return seen(np.array([[left, 100, left + 60, 220]]))

    hidden, plain = Tracker("ocsort"), Tracker(replace(METHODS["ocsort"], reupdate=False))
    walk(hidden, [(n / RATE, Detections.empty() if 20 <= n < 30 else at(n)) for n in range(31)])
    walk(plain, [(n / RATE, at(n)) for n in range(31)])
    np.testing.assert_allclose(hidden._tracks["state"], plain._tracks["state"], rtol=1e-6)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_track_of_one_observation_prefers_neither_side(side: int) -> None:
    """OC-SORT: of two boxes beside where it was once, the one that overlaps more continues it."""
    tracker = Tracker(replace(METHODS["ocsort"], hits=1))
    tracker(seen(np.array([[100.0, 100, 200, 200]])), 0.0)
    near, far = 100.0 - 10 * side, 100.0 + 12 * side
    tracks = tracker(seen(np.array([[near, 100, near + 100, 200], [far, 100, far + 100, 200]])), 1 / RATE)
    assert tracks.boxes[tracks.ids == 1][0, 0] == pytest.approx(near, abs=6)
    assert (tracks.boxes[tracks.ids == 1][0, 0] < 100) == (side > 0)


def test_a_moving_camera_is_taken_out() -> None:
    """Every frame the view jumps by half a box; with the camera's motion known the ids last."""
    frames = []
    for n in range(30):
        shift = 40.0 * (n % 2)
        frames.append((n / RATE, seen(np.array([[100 + shift, 100, 140 + shift, 180.0]]))))
    tracker, ids = Tracker(), []
    for n, (time, detections) in enumerate(frames):
        jump = 40.0 * ((n % 2) - ((n - 1) % 2)) if n else 0.0
        ids.append(tracker(detections, time, camera=np.array([[1, 0, jump], [0, 1, 0.0]])).ids.tolist())
    assert ids[1:] == [[1]] * 29
    assert walk(Tracker(), frames)[-1].ids.tolist() != [1]


def test_looks_tell_apart_what_boxes_cannot() -> None:
    """Two objects in one place, one taller: after a jump each box lies nearer to the other's track."""
    start = np.array([[100.0, 100, 140, 200], [125.0, 100, 165, 200]])
    looks = np.array([[1.0, 0, 0], [0, 1.0, 0]], np.float32)
    for known, expected in ((looks, [1, 2]), (None, [2, 1])):
        tracker = Tracker()
        for n in range(5):
            tracker(seen(start), n / RATE, looks=known)
        for n in range(5, 20):                                       # a filter takes its time to follow
            swapped = tracker(seen(start[::-1]), n / RATE, looks=known)
        left_of = {i: b[0] for i, b in zip(swapped.ids.tolist(), swapped.boxes, strict=True)}
        first, second = sorted(left_of, key=lambda i: -left_of[i])
        assert [first, second] == expected


def test_a_model_whose_scores_run_low_is_tracked_from_where_it_decides() -> None:
    """Odds of 0.35 are 7/13: of them 0.6's (3/2) make 21/26, and 0.1's (1/9) make 7/117."""
    method = Tracker(min_score=0.35).method
    np.testing.assert_allclose((method.strong, method.start, method.weak), (0.35, 21 / 47, 7 / 124))
    assert replace(method, strong=0.5, start=0.6, weak=0.1) == METHODS["default"]
    same_as = Tracker(min_score=0.5).method
    np.testing.assert_allclose((same_as.strong, same_as.start, same_as.weak), (0.5, 0.6, 0.1), rtol=1e-12)

    frames = [EMPTY_FIRST, *((n / RATE, seen(boxes_at(n / RATE), 0.45)) for n in range(6))]
    assert walk(Tracker(), frames)[-1].ids.tolist() == []
    assert walk(Tracker(min_score=0.35), frames)[-1].ids.tolist() == [1, 2, 3]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.05, 0.95))
def test_scores_of_moved_odds_with_moved_thresholds_change_nothing(seed: int, min_score: float) -> None:
    def moved(d: Detections) -> Detections:
        odds = d.scores.astype(float) / (1 - d.scores.astype(float)) * min_score / (1 - min_score)
        return Detections(d.boxes, odds / (1 + odds), d.labels)

    frames = [(t, d[abs(d.scores - 0.5) > 1e-4]) for t, d in scene(30, seed)]
    frames = [(t, d[(abs(d.scores - 0.6) > 1e-4) & (abs(d.scores - 0.1) > 1e-4)]) for t, d in frames]
    low = walk(Tracker(min_score=min_score), [(t, moved(d)) for t, d in frames])
    same(walk(Tracker(), frames), low)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_box_that_is_not_finite_is_an_error(bad: float) -> None:
    with pytest.raises(DataError, match="not finite"):
        Tracker()(seen(np.array([[0, 0, bad, 5]])), 0.0)
    with pytest.raises(DataError, match="not finite"):
        Tracker()(Detections([[0, 0, 5, 5]], [np.nan], [0]), 0.0)


def test_boxes_without_an_area_are_ignored_and_those_outside_the_frame_are_not() -> None:
    flat = np.array([[10.0, 10, 10, 50], [50, 50, 40, 60], [-100, -80, -60, -20]])
    results = walk(Tracker(), [(n / RATE, seen(flat)) for n in range(4)])
    assert results[-1].ids.tolist() == [1]
    np.testing.assert_allclose(results[-1].boxes, [[-100, -80, -60, -20]], atol=0.5)


def test_time_may_repeat_and_must_not_go_back() -> None:
    tracker = Tracker()
    still = seen(np.array([[50.0, 50, 100, 150]]))
    assert [r.ids.tolist() for r in walk(tracker, [(1.0, still)] * 3)] == [[1], [1], [1]]
    for bad in (0.9, float("nan")):
        with pytest.raises(DataError, match=r"must not go back: it was 1\.0 s"):
            tracker(still, bad)
    tracker.reset()
    assert tracker(still, 0.0).ids.tolist() == [1]


def test_unknown_settings_are_errors() -> None:
    with pytest.raises(UsageError, match="ocsort"):
        Tracker("deepest")
    with pytest.raises(UsageError, match="min_score must lie between 0 and 1; got 1"):
        Tracker(min_score=1)
    with pytest.raises(UsageError, match="lost_after"):
        Tracker(lost_after=0)
    tracker = Tracker()
    tracker(seen(boxes_at(0)), 0.0, looks=np.ones((3, 4), np.float32))
    with pytest.raises(DataError, match=r"looks must have shape \(3,4\)"):
        tracker(seen(boxes_at(0)), 0.1)
