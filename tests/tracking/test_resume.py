"""What remembers can be put down and taken up again: what follows is the same to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision import Follow, Frame, Info, read, state
from vision.errors import UsageError
from vision.tracking import FOLLOWERS, METHODS, Counter, Scene, Tracker, mot, read_scene
from vision.tracking.camera import CameraMotion
from vision.tracking.heatmap import HeatMap
from vision.tracking.scene import Ground
from vision.tracking.speed import Speedometer
from vision.types import Detections, Tracks

DATA = Path(__file__).parent / "data"
GROUND = Ground(((100, 500), (700, 500), (500, 200), (300, 200)), ((0, 0), (10, 0), (10, 20), (0, 20)))


def check(
    make: Callable[[], Any], step: Callable[[Any, Any], Any], inputs: Sequence[Any], cuts: Sequence[int],
    again: Callable[[], Any] | None = None,
) -> None:
    """An undisturbed run, and one that is put down before each of `cuts` and taken up by a fresh instance;
    each state is also as it was after the run has gone on."""
    whole, one = make(), make()
    states, packed = [], []
    for n, given_ in enumerate(inputs):
        if n in cuts:
            states.append(one.state())
            packed.append(state.dumps(states[-1]))
            one = (again or make)()
            one.restore(state.loads(packed[-1]))
        assert bits(step(one, given_)) == bits(step(whole, given_))
    assert state.dumps(one.state()) == state.dumps(whole.state())
    assert [state.dumps(s) for s in states] == packed


def bits(result: Any) -> Any:
    """What can be compared: arrays as their bytes."""
    if isinstance(result, np.ndarray):
        return result.dtype.str, result.shape, result.tobytes()
    if isinstance(result, (tuple, list)):
        return [bits(part) for part in result]
    if isinstance(result, dict):
        return [(key, bits(value)) for key, value in result.items()]
    if hasattr(result, "__dataclass_fields__"):
        return type(result), [bits(getattr(result, name)) for name in result.__dataclass_fields__]
    return result


def vtest(classes: int, frames: int = 120) -> list[tuple[float, Detections]]:
    """Real people, a third of their boxes weak, called by one of several names."""
    rng = np.random.default_rng(classes)
    out = []
    for time, found in list(mot.Sequence.read(DATA / "vtest").detections())[:frames]:
        named = Detections(found.boxes, found.scores, rng.integers(0, classes, len(found)))
        strong = rng.random(len(found)) < 0.67
        weak = named[~strong]
        shown = named[strong]
        out.append((time, Detections(shown.boxes, shown.scores, shown.labels, weak=weak)))
    return out


VTEST = {classes: vtest(classes) for classes in (1, 3)}
some_cuts = st.sets(st.integers(0, 119), min_size=1, max_size=5)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(METHODS)), st.sampled_from([1, 3]), st.booleans(), some_cuts)
def test_a_tracker(method: str, classes: int, seen_and_shaken: bool, cuts: set[int]) -> None:
    rng = np.random.default_rng(0)
    inputs = []
    for time, found in VTEST[classes]:
        looks = rng.normal(size=(len(found.everything), 6)).astype(np.float32) if seen_and_shaken else None
        camera = np.array([[1, 0, rng.normal()], [0, 1, rng.normal()]]) if seen_and_shaken else None
        inputs.append((found, time, camera, looks))
    check(
        lambda: Tracker(method, lost_after=1.0, min_score=0.475),
        lambda tracker, i: tracker(i[0], i[1], camera=i[2], looks=i[3]), inputs, sorted(cuts),
    )


def test_a_tracker_that_has_seen_nothing_and_one_that_is_used_again() -> None:
    check(Tracker, lambda tracker, i: tracker(i[1], i[0]), VTEST[1][:20], [0, 1])
    used = Tracker()
    for time, found in VTEST[3]:
        used(found, time)
    check(Tracker, lambda tracker, i: tracker(i[1], i[0]), VTEST[1][:40], [20], again=lambda: used)


TRACKED = [(tracker(found, time), time) for tracker in [Tracker(min_score=0.475)] for time, found in VTEST[3]]


@settings(max_examples=15, deadline=None)
@given(some_cuts, st.booleans())
def test_a_counter(cuts: set[int], ground: bool) -> None:
    scene = read_scene(DATA / "vtest.toml")
    zone = read_scene(DATA / "one-by-one.toml").zones
    scene = Scene(scene.lines, zone, GROUND if ground else None, scene.anchor)

    def step(counter: Counter, i: tuple[Tracks, float]) -> Any:
        return counter(*i), counter.summary(), counter.dwells

    check(lambda: Counter(scene, lost_after=0.5), step, TRACKED, sorted(cuts))


def test_what_a_counter_says_at_the_end_is_the_same() -> None:
    scene = read_scene(DATA / "vtest.toml")
    one, whole = Counter(scene), Counter(scene)
    for tracks, time in TRACKED:
        whole(tracks, time)
        one(tracks, time)
        fresh = Counter(scene)
        fresh.restore(state.loads(state.dumps(one.state())))
        one = fresh
    assert one.close() == whole.close()
    assert (one.totals, one.dwells) == (whole.totals, whole.dwells)
    assert sum(whole.totals["path"].values()) >= 1


@settings(max_examples=15, deadline=None)
@given(some_cuts)
def test_a_speedometer(cuts: set[int]) -> None:
    scene = Scene(ground=GROUND)
    inputs = [(t.ids, scene.anchors(t.boxes), np.full(len(t), 40.0), time) for t, time in TRACKED]
    check(lambda: Speedometer(GROUND), lambda meter, i: meter(*i), inputs, sorted(cuts))


@settings(max_examples=15, deadline=None)
@given(some_cuts)
def test_a_heat_map(cuts: set[int]) -> None:
    inputs = [(Scene().anchors(tracks.boxes), time) for tracks, time in TRACKED]

    def step(heat: HeatMap, i: tuple[np.ndarray, float]) -> np.ndarray:
        heat.add(*i)
        return heat.seconds.copy()

    check(lambda: HeatMap((768, 576)), step, inputs, sorted(cuts))


def film(frames: int) -> list[np.ndarray]:
    """A textured object that moves, grows and goes for a while, before a wall that shakes."""
    rng = np.random.default_rng(0)
    smooth = [cv2.GaussianBlur(rng.normal(size=shape), (0, 0), 3) for shape in ((280, 360), (48, 48))]
    wall, thing = (cv2.normalize(t, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8) for t in smooth)
    out = []
    for n in range(frames):
        dx, dy = 20 + round(6 * np.sin(n / 5)), 20 + round(4 * np.cos(n / 7))
        grey = wall[dy : dy + 240, dx : dx + 320] // 3 + 40
        if not 14 <= n < 22:
            side = 48 + n // 2
            x, y = 60 + 3 * n, 80 + n
            grey[y : y + side, x : x + side] = cv2.resize(thing, (side, side))
        out.append(np.repeat(grey[..., None], 3, axis=2))
    return out


FILM = film(36)
BOX = np.array([60, 80, 108, 128], np.float32)


@pytest.mark.parametrize("cuts", [[0], [1, 2, 3], [7, 13, 16, 23, 30], [20]])
@pytest.mark.parametrize("name", ["dsst", "ivt"])
def test_a_follower(name: str, cuts: list[int]) -> None:
    """The one that takes over was begun on another picture, with another box, at another time."""
    inputs = [(image, (n + 1) / 30) for n, image in enumerate(FILM[1:])]
    other = np.random.default_rng(1).integers(0, 255, (60, 90, 3), np.uint8)
    check(
        lambda: FOLLOWERS[name](FILM[0], BOX, 0.0), lambda follower, i: follower(*i), inputs, cuts,
        again=lambda: FOLLOWERS[name](other, np.array([5, 6, 25, 40], np.float32), 9.0),
    )
    follower = FOLLOWERS[name](FILM[0], BOX, 0.0)
    lost = [follower(*i).lost for i in inputs]
    assert not lost[0]
    assert any(lost)                                     # or the test would not see that state


@pytest.mark.parametrize("name", ["dsst", "ivt"])
def test_a_follower_that_is_put_down_before_its_next_frame(name: str) -> None:
    info, shots = Info("made", "video", (320, 240)), [Frame(image, n, n / 30) for n, image in enumerate(FILM[:12])]
    one, between, other = (Follow(box="60,80:108,128", follower=name).open(info, None) for _ in range(3))
    for shot in shots[:8]:
        one.begin(shot, {})()
    between.restore(state.loads(state.dumps(one.state())))
    other.restore(state.loads(state.dumps(between.state())))
    for shot in shots[8:]:
        assert bits(other.begin(shot, {})()) == bits(one.begin(shot, {})())


def test_mil_says_that_it_cannot_be_put_down() -> None:
    mil = FOLLOWERS["mil"](FILM[0], BOX, 0.0)
    for what in (mil.state, lambda: mil.restore({})):
        with pytest.raises(UsageError, match="MIL of OpenCV keeps its state to itself; use dsst or ivt"):
            what()


@pytest.mark.parametrize("cuts", [[0], [1], [5, 6, 20]])
def test_the_motion_of_a_camera(cuts: list[int]) -> None:
    inputs = [(image, np.array([[60 + 3 * n, 80 + n, 110 + 3 * n, 130 + n]], np.float32))
              for n, image in enumerate(FILM)]
    check(CameraMotion, lambda camera, i: camera(*i), inputs, cuts)
    camera = CameraMotion()
    moved = [camera(*i)[:, 2] for i in inputs[:6]]
    assert np.abs(moved[1:]).max() > 0.5                 # or nothing would be remembered


@pytest.mark.realdata
@pytest.mark.parametrize("cuts", [[3], [10, 11, 25]])
@pytest.mark.parametrize("name", ["dsst", "ivt"])
def test_a_follower_on_a_real_clip(data: Path, name: str, cuts: list[int]) -> None:
    frames = real(data, 40)
    first = next(found for time, found in VTEST[1] if len(found))
    box = first.boxes[0]
    check(
        lambda: FOLLOWERS[name](frames[0][0], box, 0.0), lambda follower, i: follower(*i), frames[1:], cuts,
        again=lambda: FOLLOWERS[name](FILM[0], BOX, 0.0),
    )


@pytest.mark.realdata
def test_a_tracker_with_the_motion_of_a_real_camera(data: Path) -> None:
    clip = data / "videos" / "dashcam_solidWhiteRight.mp4"
    with read(clip) as source:
        nothing = np.empty((0, 4), np.float32)
        frames = [(frame.image, nothing) for frame, _ in zip(source, range(12), strict=False)]
    check(CameraMotion, lambda camera, i: camera(*i), frames, [1, 5, 6])


def real(data: Path, count: int) -> list[tuple[np.ndarray, float]]:
    with read(data / "videos" / "vtest.avi") as source:
        return [(frame.image, frame.time) for frame, _ in zip(source, range(count), strict=False)]
