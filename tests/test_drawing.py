"""Drawing: legible at any size, on the frame, and the same colour for the same class."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vision import drawing
from vision.drawing import Canvas, Style, Trails, colour, draw, label, paint_trails, unit
from vision.errors import UsageError
from vision.tracking.count import Counter
from vision.tracking.scene import Line, Scene
from vision.types import ClassMap, Detections, Scores, Tracks

GREY = 128


def canvas(w: int, h: int) -> np.ndarray:
    return np.full((h, w, 3), GREY, np.uint8)


@pytest.mark.parametrize("size", [(64, 48), (320, 240), (1920, 1080), (3840, 2160), (1080, 1920)])
def test_a_label_is_whole_and_as_high_as_the_picture_asks(size: tuple[int, int]) -> None:
    w, h = size
    for corner in ((w // 2, h // 2), (0, 0), (w, h), (-50, -50), (w + 50, h + 50)):
        image = canvas(w, h)
        label(image, "dog 0.97", corner, (200, 0, 0))
        ys, xs = np.nonzero((image != GREY).any(axis=2))
        # moved inside: the patch is never cut at the top or the bottom, nor (where it fits) at a side
        patch_h = ys.max() - ys.min() + 1
        expected = cv2.getTextSize("dog 0.97", cv2.FONT_HERSHEY_SIMPLEX, 0.45 * unit(image), 1)[0][1]
        assert patch_h >= expected
        assert xs.max() - xs.min() + 1 > patch_h
        assert patch_h >= 8
        assert patch_h <= max(16, 0.12 * min(w, h)) + 8


def test_ink_stands_out_from_every_ground() -> None:
    for key in range(40):
        image = canvas(400, 400)
        ground = colour(key)
        label(image, "person 0.88", (100, 200), ground)
        patch = image[(image != GREY).any(axis=2)].astype(float)
        luma = patch @ [0.114, 0.587, 0.299]
        assert luma.max() - luma.min() > 100


def test_a_class_keeps_its_colour_and_neighbours_differ() -> None:
    shades = [np.array(colour(key), int) for key in range(8)]
    assert [colour(key) for key in range(8)] == [tuple(s) for s in shades]
    for i in range(8):
        for j in range(i):
            assert np.abs(shades[i] - shades[j]).sum() >= 60


def test_a_box_is_drawn_where_it_is_and_nowhere_else() -> None:
    image = canvas(640, 480)
    found = Detections([[100, 200, 300, 400]], [0.9], [2])
    drawn = draw(found, image, ["a", "b", "car"])
    assert (image == GREY).all()                                             # a copy
    changed = (drawn != GREY).any(axis=2)
    assert changed[200, 120:280].all()                                       # top edge
    assert changed[220:380, 100].all()                                       # left edge
    assert not changed[230:370, 130:270].any()                               # inside
    assert not changed[420:, :].any()
    assert tuple(drawn[300, 100]) == colour(2)


@pytest.mark.parametrize("result", [
    Detections([[-40, -40, 900, 700]], [0.5], [0]),
    Tracks([[630, 470, 640, 480]], [0.5], [0], [12345], [0.0], [0]),
    Detections.empty(),
    Detections([[-1e30, 3, float("inf"), float("nan")]], [0.5], [0]),
    Scores([0.2, 0.8]),
])
def test_anything_can_be_drawn_on_any_size(result: object) -> None:
    for w, h in ((640, 480), (32, 16), (1, 1)):
        drawn = draw(result, canvas(w, h), ["first"])
        assert drawn.shape == (h, w, 3)


def test_a_name_that_is_missing_is_its_number_and_unknown_results_are_refused() -> None:
    a = draw(Detections([[10, 100, 90, 190]], [0.5], [7]), canvas(200, 200), [])
    b = draw(Detections([[10, 100, 90, 190]], [0.5], [7]), canvas(200, 200), [*"abcdefg", "7"])
    np.testing.assert_array_equal(a, b)
    with pytest.raises(TypeError, match="no drawing for dict"):
        draw({}, canvas(10, 10))


def test_what_is_no_picture_is_told_before_there_is_anything_to_draw() -> None:
    for image in (np.zeros((48, 64, 3), np.float32), np.zeros((48, 64), np.uint8), None):
        with pytest.raises(UsageError, match="uint8 BGR"):
            draw(Detections.empty(), image)


def test_a_class_map_of_another_size_is_told() -> None:
    with pytest.raises(UsageError, match=r"its own frame, 6x4 pixels; this one is 64x48"):
        draw(ClassMap(np.zeros((4, 6), np.uint8)), np.zeros((48, 64, 3), np.uint8))


@pytest.fixture
def patches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int, int]]:
    """Where labels are put: left, top, right, bottom."""
    put, seen = drawing._put, []

    def noted(image: np.ndarray, patch: np.ndarray, left: float, top: float) -> None:
        seen.append((round(left), round(top), round(left) + patch.shape[1], round(top) + patch.shape[0]))
        put(image, patch, left, top)

    monkeypatch.setattr(drawing, "_put", noted)
    return seen


def crowd(seed: int, w: int, h: int, n: int) -> Detections:
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.04, 0.3, (n, 1)) * h * [0.4, 1]
    centre = rng.uniform(0, 1, (n, 2)) * [w, h]
    boxes = np.hstack([centre - size / 2, centre + size / 2]).clip(0, [w, h, w, h])
    return Detections(boxes, rng.uniform(0.3, 1, n), rng.integers(0, 3, n))


@pytest.mark.parametrize("size", [(320, 240), (340, 256), (1920, 1080), (3840, 2160)])
def test_labels_of_a_crowd_cover_neither_each_other_nor_most_of_another_box(
    size: tuple[int, int], patches: list[tuple[int, int, int, int]]
) -> None:
    w, h = size
    for seed in range(5):
        found = crowd(seed, w, h, 25)
        patches.clear()
        draw(found, canvas(w, h), ["person", "car", "dining table"])
        assert 5 <= len(patches) <= 25
        for i, (left, top, right, bottom) in enumerate(patches):
            assert min(left, top) >= 0
            assert right <= w + 1
            assert bottom <= h + 1
            for x, y, r, b in patches[:i]:
                assert right <= x + 1 or r <= left + 1 or bottom <= y + 1 or b <= top + 1
            covered = sorted(
                max(0, min(right, r) - max(left, x)) * max(0, min(bottom, b) - max(top, y)) / ((r - x) * (b - y))
                for x, y, r, b in found.boxes.tolist()
            )
            assert covered[-2] < 0.45                    # the most covered may be its own


def test_the_label_of_a_lone_box_stands_above_it_and_below_it_at_the_upper_edge(
    patches: list[tuple[int, int, int, int]]
) -> None:
    for top, stands in ((100, "above"), (2, "below")):
        patches.clear()
        draw(Detections([[50, top, 300, top + 60]], [0.9], [0]), canvas(640, 480), ["dog"])
        [(left, upper, _, lower)] = patches
        assert left == 50
        assert lower == top if stands == "above" else upper == top + 61


@pytest.mark.parametrize("size", [(320, 240), (340, 256), (640, 480)])
def test_text_is_at_least_11_pixels_high(size: tuple[int, int]) -> None:
    image = canvas(*size)
    label(image, "E", (100, 100), (0, 0, 0))
    rows = np.flatnonzero((image > 140).any(axis=(1, 2)))
    assert rows[-1] - rows[0] + 1 >= 11


def test_labels_say_what_is_asked_for() -> None:
    say = {words: Canvas(canvas(9, 9), Style(labels=words)).say(id=7, name="dog", score=0.876)
           for words in ("id,name,score", "id", "score, name", "none")}
    assert say == {"id,name,score": "7 dog 0.88", "id": "7", "score, name": "dog 0.88", "none": ""}
    box = Detections([[50, 100, 300, 160]], [0.9], [0])
    drawn = draw(box, canvas(640, 480), ["dog"], Style(labels="none"))
    assert (drawn[:98] == GREY).all()
    with pytest.raises(UsageError, match=r"got 'nam'\. Nearest: name"):
        Style(labels="nam")


def test_trails_are_the_paths_of_the_tracks_that_are_there_and_as_long_as_asked() -> None:
    trails = Trails(1.0)
    for n in range(31):
        boxes = [[10 + 10 * n, 50, 30 + 10 * n, 100], [10, 200, 30, 300]][: 2 if n < 30 else 1]
        tracks = Tracks(boxes, [0.9, 0.9][: len(boxes)], [0, 0][: len(boxes)], [3, 4][: len(boxes)],
                        [0.0, 0.0][: len(boxes)], [0, 1][: len(boxes)])
        if n == 20:                                      # a run that was killed goes on with them
            state, trails = trails.state(), Trails(1.0)
            trails.restore(state)
        paths = trails.add(n / 10, {"track": tracks, "detect": Detections.empty()})
    assert list(paths) == ["track"]
    sheet = Canvas(canvas(640, 480))
    paint_trails(paths["track"], sheet)
    columns = np.flatnonzero((sheet.image != GREY).any(axis=2)[98:103].any(axis=0))
    assert (columns.min(), columns.max()) == (pytest.approx(220, abs=3), pytest.approx(320, abs=3))
    assert (sheet.image[200:] == GREY).all()             # whoever is not there has none
    assert Trails(0).add(0.0, {"track": tracks}) == {}


def test_a_line_shows_which_side_is_called_what(patches: list[tuple[int, int, int, int]]) -> None:
    """A line from left to right: below it is the right hand."""
    counter = Counter(Scene(lines=(Line("door", (100, 240), (500, 240), right="in", left="out"),)))
    asked: list[str] = []
    board = Canvas(canvas(640, 480))
    plain = board.label
    board.label = lambda text, *a, **more: (asked.append(text), plain(text, *a, **more))[1]
    drawing.paint(counter(Tracks.empty(), 0.0), board, ())
    board.finished()
    assert asked == ["door", "in 0", "out 0"]
    places = dict(zip(asked, patches, strict=True))
    assert places["in 0"][1] > 250
    assert places["out 0"][3] < 230
    for text in ("in 0", "out 0"):                       # at the arrows, whose tips are 24 pixels away
        left, _, right, _ = places[text]
        assert left < 330
        assert right > 270


def test_trails_without_a_track_draw_nothing() -> None:
    sheet = Canvas(np.zeros((40, 40, 3), np.uint8), None)
    paint_trails(Trails(1.0).add(0.0, {"track": Tracks.empty()})["track"], sheet)
    assert not sheet.image.any()
