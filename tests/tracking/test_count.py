from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision import Count, Info, Track
from vision.errors import DataError
from vision.tracking import Counter, Scene, read_scene
from vision.tracking.count import Event
from vision.tracking.heatmap import HeatMap
from vision.tracking.scene import Ground, Line, Zone
from vision.types import Frame, Tracks

# looking down the picture, the right hand is to the west
DOOR = Line("door", (100, 0), (100, 200), right="west", left="east")
ROOM = Zone("room", ((100, 0), (300, 0), (300, 200), (100, 200)))
SIZE = 40.0                                                              # of every box: a margin of 4 pixels


def tracks(*feet: tuple[int, float, float]) -> Tracks:
    """Boxes of 40x40 whose feet stand at (id, x, y)."""
    boxes = np.array([[x - 20, y - 40, x + 20, y] for _, x, y in feet]).reshape(-1, 4)
    ids = np.array([i for i, _, _ in feet], np.int64)
    ones = np.ones(len(ids))
    return Tracks(boxes, 0.9 * ones, 0 * ones, ids, ones, -ones)


def walk(counter: Counter, xs: list[float], i: int = 1, y: float = 100, dt: float = 0.1) -> list[Event]:
    return [e for n, x in enumerate(xs) for e in counter(tracks((i, x, y)), n * dt).events]


def test_a_crossing_has_its_track_side_time_and_place() -> None:
    counter = Counter(Scene(lines=(DOOR,)))
    events = walk(counter, [70, 80, 90, 110, 120], i=7)
    assert events == [Event("cross", "door", 7, 0, "east", pytest.approx(0.25), pytest.approx((100, 100)))]
    assert counter.totals == {"door": {"west": 0, "east": 1}}
    assert walk(Counter(Scene(lines=(DOOR,))), [130, 95, 70])[0].side == "west"


def test_wavering_on_the_line_counts_once_on_either_side_of_the_margin() -> None:
    wavering = [70, 98, 102, 97, 103, 99, 101, 103.5, 96.5]
    assert walk(Counter(Scene(lines=(DOOR,))), wavering) == []
    assert len(walk(Counter(Scene(lines=(DOOR,))), [*wavering, 105, 97, 103, 106])) == 1
    without = Counter(Scene(lines=(DOOR,)), hysteresis=0)
    assert len(walk(without, wavering)) > 3


def test_who_first_appears_on_the_line_has_no_side_yet() -> None:
    assert walk(Counter(Scene(lines=(DOOR,))), [98, 103, 110, 130]) == []
    assert len(walk(Counter(Scene(lines=(DOOR,))), [98, 94, 103, 110])) == 1


def test_past_the_ends_of_a_line_is_no_crossing() -> None:
    assert walk(Counter(Scene(lines=(DOOR,))), [70, 130], y=201) == []
    assert len(walk(Counter(Scene(lines=(DOOR,))), [70, 130], y=199)) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 200), min_size=2, max_size=60))
def test_crossings_alternate_and_add_up(xs: list[float]) -> None:
    counter = Counter(Scene(lines=(DOOR,)))
    sides = [e.side for e in walk(counter, xs)]
    assert all(a != b for a, b in pairwise(sides))
    beyond = [x > 100 for x in xs if abs(x - 100) > 4]
    changes = sum(a != b for a, b in pairwise(beyond))     # the brute-force twin
    assert len(sides) == changes
    assert counter.totals["door"] == {s: sides.count(s) for s in ("west", "east")}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 400), min_size=1, max_size=40), st.integers(0, 40))
def test_who_enters_leaves_and_pickling_changes_nothing(xs: list[float], cut: int) -> None:
    scene = Scene(lines=(DOOR,), zones=(ROOM,))
    counter, split = Counter(scene), Counter(scene)
    events, again = [], []
    for n, x in enumerate(xs):
        result = counter(tracks((1, x, 100)), n * 0.1)
        events += result.events
        if n == cut:
            split = pickle.loads(pickle.dumps(split))
        again += split(tracks((1, x, 100)), n * 0.1).events
        entered = sum(e.kind == "enter" for e in events) - sum(e.kind == "leave" for e in events)
        assert result.inside == {"room": entered}
        assert entered in (0, 1)
    assert events == again
    left = [e for e in events + counter.close() if e.kind == "leave"]
    assert len(left) == sum(e.kind == "enter" for e in events)
    assert counter.dwells["room"] == [e.dwell for e in left]
    assert all(0 <= e.dwell <= 0.1 * len(xs) for e in left)


def test_dwell_is_from_border_to_border() -> None:
    counter = Counter(Scene(zones=(ROOM,)))
    enter, leave = walk(counter, [90, 110, *[200] * 8, 290, 310], dt=0.5)
    assert (enter.side, enter.time) == ("in", pytest.approx(0.25))
    assert (leave.side, leave.time, leave.dwell) == ("out", pytest.approx(5.25), pytest.approx(5.0))


def test_who_ends_in_a_zone_leaves_it_where_last_seen() -> None:
    counter = Counter(Scene(zones=(ROOM,)), lost_after=1.0)
    walk(counter, [200, 210, 220])
    assert counter(tracks(), 1.1).events == ()
    events = counter(tracks(), 1.3).events
    assert [(e.kind, e.side, e.time, e.dwell) for e in events] == [("leave", "lost", 0.2, pytest.approx(0.2))]
    assert counter(tracks(), 1.4).inside == {"room": 0}
    assert counter.close() == []


@pytest.mark.parametrize(("own", "expected"), [
    (None, [("enter", "in"), ("cross", "east")]),
    (0.5, [("enter", "in"), ("leave", "lost"), ("enter", "in")]),
])
def test_who_is_hidden_for_as_long_as_the_tracker_waits_is_still_there(
    own: float | None, expected: list[tuple[str, str]]
) -> None:
    """The line lies within the zone, and is crossed in 3 s of which nothing is seen."""
    info = Info("made", "video", (640, 480))
    tracker = Track(lost_after=5.0).open(info, None)
    step = Count(line=("200,0:200,200",), zone=("100,0:300,0:300,200:100,200",), lost_after=own).open(info, None)
    step.join({"track": tracker})
    image, events = np.zeros((480, 640, 3), np.uint8), []
    for n in range(50):
        seen = tracks((1, 150, 100)) if n < 10 else tracks((1, 250, 100)) if n >= 40 else tracks()
        events += step.begin(Frame(image, n, n / 10), {"track": seen})().events
    assert [(one.kind, "east" if one.side == "left" else one.side) for one in events] == expected


def test_the_totals_are_the_events_of_the_whole_run() -> None:
    counter = Counter(Scene(zones=(ROOM,)))
    events = walk(counter, [90, 200]) + walk(counter, [90, 200, 310], i=2)
    assert counter.totals == {"room": {"in": 2, "out": 1, "lost": 0}}
    events += counter.close()
    assert counter.totals == {"room": {"in": 2, "out": 1, "lost": 1}}
    assert [e.side for e in events].count("lost") == 1


def test_records_say_what_was_counted() -> None:
    scene = Scene(lines=(DOOR,), zones=(ROOM,))
    counter = Counter(scene)
    counter(tracks((1, 90, 100)), 0.0)
    record = counter(tracks((1, 110, 100)), 0.2).to_dict(["person"])
    assert record["totals"] == {"door": {"west": 0, "east": 1}, "room": {"in": 1, "out": 0, "lost": 0}}
    assert record["inside"] == {"room": 1}
    assert record["events"][0] == {
        "time_s": 0.1, "event": "cross", "place": "door", "side": "east", "id": 1, "label": "person",
        "x": 100.0, "y": 100.0,
    }


def test_the_summary_says_what_was_found() -> None:
    counter = Counter(Scene(lines=(DOOR,), zones=(ROOM,)), lost_after=0.5)
    assert counter.summary() == ["door: west 0, east 0", "room: in 0, out 0, lost 0"]
    for n, x in enumerate([90.0, 110, 200, 290, 310]):
        counter(tracks((1, x, 100), (2, 20, 20)), n * 0.1)
    counter.close()
    assert counter.summary() == ["door: west 0, east 1", "room: in 1, out 1, lost 0; 0.3 s inside on average"]


def test_an_event_has_the_class_that_its_track_has_then() -> None:
    counter, labels = Counter(Scene(lines=(DOOR,))), []
    for n, x in enumerate([90.0, 110, 110, 90]):
        found = replace(tracks((1, x, 100)), labels=np.array([int(n > 1)]))
        labels += [event.label for event in counter(found, n * 0.1).events]
    assert labels == [0, 1]


def test_speed_on_the_ground_and_its_uncertainty() -> None:
    """A ground of 10x20 m seen in perspective: the truth lies within two deviations as often as it should."""
    image, metres = ((100, 400), (500, 400), (400, 100), (200, 100)), ((0, 0), (10, 0), (10, 20), (0, 20))
    ground = Ground(image, metres, error=1.0)
    back = np.linalg.inv(ground.homography())
    rng = np.random.default_rng(0)
    z_scores = []
    for n in range(60):
        counter = Counter(Scene(ground=ground))
        start, velocity = rng.uniform((2, 2), (8, 10)), rng.uniform(-1.5, 1.5, 2)
        for k in range(26):
            metres = start + velocity * k / 25
            x, y, w = back @ [*metres, 1]
            at = np.array([x / w, y / w]) + rng.normal(0, 1.0, 2)
            result = counter(tracks((n + 1, at[0], at[1])), k / 25)
        assert result.to_dict()["speeds"][0]["speed_m_s"] == pytest.approx(float(result.speeds[0]), abs=1e-3)
        z_scores.append(abs(result.speeds[0] - np.linalg.norm(velocity)) / result.speed_errors[0])
    assert np.mean(np.array(z_scores) < 2) > 0.9
    assert np.mean(np.array(z_scores) < 0.1) < 0.7                      # and it is not merely large
    first = Counter(Scene(ground=ground))(tracks((1, 300, 300)), 0.0)
    assert np.isnan(first.speeds[0])
    assert "speeds" not in first.to_dict()


def test_beyond_the_horizon_no_speed_is_known() -> None:
    """The sides of this ground meet at (300, -200): there and above it a pixel is nowhere on the ground."""
    ground = Ground(((100, 400), (500, 400), (400, 100), (200, 100)), ((0, 0), (10, 0), (10, 20), (0, 20)))
    for y, known in ((150, True), (-195, False), (-200, False), (-300, False)):
        counter = Counter(Scene(ground=ground))
        for k in range(11):
            result = counter(tracks((1, 300 + 4 * k, y)), k / 10)
        assert [np.isfinite(v[0]) for v in (result.speeds, result.speed_errors)] == [known, known], y
        assert ("speeds" in result.to_dict()) == known


def test_heat_is_seconds_and_lies_where_they_were_spent() -> None:
    heat = HeatMap((64, 48))
    for n in range(11):
        heat.add(np.array([[10.0, 20.0], [200.0, 10.0]]), n * 0.5)
    assert heat.seconds.sum() == pytest.approx(5.0)
    assert heat.seconds[5, 2] == pytest.approx(5.0)
    ground = np.full((48, 64, 3), 90, np.uint8)
    picture = heat.picture(ground)
    assert picture.shape == ground.shape
    blue, _, red = picture[20, 10].tolist()
    assert red > 120 > blue
    assert abs(picture[47, 63].astype(int) - 90).max() <= 3


SCENE = """
size = [640, 480]
[[line]]
name = "door"
start = [100, 0]
end = [100, 200]
right = "west"
left = "east"
[[zone]]
name = "room"
points = [[100, 0], [300, 0], [300, 200], [100, 200]]
"""


def test_heat_on_the_border_of_a_frame_lies_in_it() -> None:
    """A box that is cut off by the frame's lower edge has its anchor on that edge; 50 and 46 are no whole cells."""
    heat = HeatMap((50, 46))
    for n in range(3):
        heat.add(np.array([[10.0, 46.0], [50.0, 46.0], [0.0, 0.0], [10.0, 46.1], [-0.1, 5.0]]), n * 0.5)
    assert [heat.seconds[11, 2], heat.seconds[11, 12], heat.seconds[0, 0]] == [1, 1, 1]
    assert heat.seconds.sum() == 3
    even = HeatMap((64, 48))
    for n in range(3):
        even.add(np.array([[10.0, 48.0], [64.0, 20.0]]), n * 0.5)
    assert [even.seconds[11, 2], even.seconds[5, 15]] == [1, 1]


def test_a_scene_is_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "scene.toml"
    path.write_text(SCENE)
    scene = read_scene(path)
    assert (scene.lines, scene.zones, scene.size_wh) == ((DOOR,), (ROOM,), (640, 480))
    scene.fits((640, 480))
    with pytest.raises(DataError, match="640x480 pixels, the frames have 1280x720"):
        scene.fits((1280, 720))


@pytest.mark.parametrize(("old", "new", "message"), [
    ("end = [100, 200]", "end = [100, 0]", "two points that differ"),
    ("end = [100, 200]", "end = [100]", "scene.toml"),
    ("end = [100, 200]", "", "'end' is missing"),
    ('left = "east"', 'left = "west"', "both directions"),
    ('name = "room"', 'name = "door"', "a name of its own"),
    ("[100, 200]]", "[100, 200]]\ncolour = 3", "unknown zone key 'colour'"),
    ("[300, 200], [100, 200]", "[100, 200], [300, 200]", "crosses itself"),
    ("[[100, 0], [300, 0], [300, 200], [100, 200]]", "[[1, 1], [5, 5], [9, 9]]", "no area"),
    ("[[100, 0], [300, 0], [300, 200], [100, 200]]", "[[1, 1], [5, 5]]", "at least three"),
    ("[300, 200], [100, 200]]", "[300, 200], [100, 200], [100, 0]]", r"twice in a row \(5 and 1\)"),
    ("[300, 200], [100, 200]]", "[300, 200], [100, nan]]", r"within 1e\+06 .* got \[100, nan\]"),
    ("[[line]]", "[line]", "double brackets"),
    ("[[zone]]", "[zone]", "double brackets"),
    ("size = [640, 480]", 'anchor = "left"', "'bottom' or 'centre'"),
    ("size = [640, 480]", "size = 640, 480", "as TOML"),
    ("size = [640, 480]", "size = [inf, 1]", "within"),
    ("size = [640, 480]", "size = " + 5000 * "[", "as TOML"),
    ("start = [100, 0]", f"start = [{10**400}, 0]", "within"),
    ("start = [100, 0]", "start = [1e308, 0]", "within"),
    ("start = [100, 0]", 'start = ["a", 0]', "two numbers"),
    ("start = [100, 0]", "start = 5", "two numbers"),
    ('name = "room"', "name = [1, 2]", "name of a zone is a text"),
    ('name = "door"', "name = 7", "name of a line is a text"),
    ("points = [[100", "points = [" + "[1, 2], " * 600 + "[100", "at most 500"),
    ("points = [[100, 0], [300, 0], [300, 200], [100, 200]]", "points = 3", "at most 500"),
    ("[[line]]\n", "line = 3\n[[zone]]\n", "as TOML|double|unknown"),
    ("size = [640, 480]", "ground = 3", "a ground is a table"),
    ("size = [640, 480]", "size = [640, 480]\n" + "[[zone]]\nname='a'\npoints=[]\n" * 501, "at most 500 lines"),
    ("size = [640, 480]", "size = [640, 480] #" + "x" * 2**20, "too large to be read as TOML"),
])
def test_a_scene_that_cannot_be_is_an_error(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "scene.toml"
    assert old in SCENE
    path.write_text(SCENE.replace(old, new))
    with pytest.raises(DataError, match=message):
        read_scene(path)


def test_reference_points_in_another_order_fix_no_ground() -> None:
    image = ((100, 400), (500, 400), (400, 100), (200, 100))
    mirrored = ((10, 0), (0, 0), (0, 20), (10, 20))
    assert Ground(image, mirrored).metres == mirrored
    with pytest.raises(DataError, match="in the same order"):
        Ground(image, ((0, 0), (10, 0), (0, 20), (10, 20)))
    with pytest.raises(DataError, match=r"metres has a point that is not finite"):
        Ground(image, ((0, 0), (10, 0), (10, np.inf), (0, 20)))


def test_reference_points_on_a_line_fix_no_ground() -> None:
    with pytest.raises(DataError, match="lie on a line"):
        Ground(((0, 0), (1, 1), (2, 2), (0, 5)), ((0, 0), (1, 0), (1, 1), (0, 1)))
