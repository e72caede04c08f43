"""Face detection: decoding, merging, tiles."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.boxes import iou
from vision.engine import FakeEngine
from vision.errors import EngineError, UsageError, WeightsError
from vision.people.face_detector import FaceDetector, _spread, merge
from vision.people.yunet import YunetEngine
from vision.types import Image
from vision.zoo import CARDS


def rows(*faces: tuple[float, float, float, float]) -> np.ndarray:
    """(A,17) answers of the graph: (centre x, centre y, size, score), every point at the centre."""
    return np.array([[x, y, s, s, *[x, y] * 6, score] for x, y, s, score in faces], np.float32)


def detector(*faces: tuple[float, float, float, float]) -> FaceDetector:
    answer = rows(*faces)
    return FaceDetector(
        FakeEngine(lambda batch: (np.repeat(answer[None], len(batch), axis=0),)), CARDS["blazeface-full"]
    )


def test_a_face_lands_in_frame_pixels():
    found = detector((96, 96, 40, 0.9), (20, 20, 10, 0.3))(np.zeros((300, 400, 3), np.uint8), min_face=1e6)
    scale = 400 / 192                                          # the longer side fills the input
    half = 20 * scale
    assert np.allclose(found.boxes, [[200 - half, 150 - half, 200 + half, 150 + half]])
    assert np.allclose(found.points, [[[200, 150]] * 6])
    assert np.allclose(found.scores, 0.9)                      # and the one below the threshold is not there


def test_several_pictures_at_once():
    wide, tall = np.zeros((100, 200, 3), np.uint8), np.zeros((200, 100, 3), np.uint8)
    found = detector((96, 96, 40, 0.9)).submit([wide, tall])()
    assert [f.points[0, 0].tolist() for f in found] == [[100, 50], [50, 100]]


def test_merging_averages_by_score():
    merged = merge(np.array([
        [0, 0, 10, 10, *[5.0] * 12, 0.9],
        [2, 0, 12, 10, *[7.0] * 12, 0.6],
        [50, 50, 60, 60, *[55.0] * 12, 0.7],
    ], np.float32))
    assert np.allclose(merged.boxes, [[0.8, 0, 10.8, 10], [50, 50, 60, 60]])      # 2 x 0.6 / 1.5
    assert np.allclose(merged.points[0], 5.8)
    assert np.allclose(merged.scores[:, 0], [0.9, 0.7])


def brute_force(table: np.ndarray, max_iou: float) -> list[np.ndarray]:
    left = sorted(range(len(table)), key=lambda i: -table[i, 16])
    out = []
    while left:
        best = left[0]
        overlaps = {i: iou(table[[best], :4], table[[i], :4])[0, 0] for i in left}
        group = [i for i in left if i == best or overlaps[i] > max_iou]
        total = sum(table[i, 16] for i in group)
        out.append(sum(table[i, :16] * table[i, 16] for i in group) / total)
        left = [i for i in left if i not in group]
    return out


@given(st.integers(0, 12), st.integers(0, 10_000))
def test_merging_is_its_plain_twin(count: int, seed: int):
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 40, (count, 2)), rng.uniform(1, 30, (count, 2))
    points, scores = rng.uniform(0, 50, (count, 12)), rng.permutation(count)[:, None] / 20 + 0.3
    table = np.concatenate([corner, corner + size, points, scores], axis=1).astype(np.float32)
    merged, expected = merge(table), brute_force(table, 0.3)
    assert len(merged) == len(expected)
    for got, six, want in zip(merged.boxes, merged.points, expected, strict=True):
        assert np.allclose(got, want[:4], atol=1e-3)
        assert np.allclose(six.ravel(), want[4:], atol=1e-3)


@given(st.integers(1, 5000), st.floats(50, 1000))
def test_tiles_cover_the_picture_and_overlap(length: int, side: float):
    tiles = _spread(length, side)
    assert (tiles[0][0], tiles[-1][1]) == (0, length)
    assert len({end - start for start, end in tiles}) == 1
    assert tiles[0][1] <= side + 1
    for (_, end), (start, _) in pairwise(tiles):
        assert end - start >= side / 7 - 2                     # pixels, for the rounding
    if length > side:
        assert (len(tiles) - 1) * side * 6 / 7 + side / 7 < length         # one fewer would not do


def test_a_face_in_two_tiles_is_one():
    """A white square in the middle, which every tile that shows it answers with its extent."""
    image = np.zeros((400, 900, 3), np.uint8)
    image[170:230, 420:480] = 255
    sizes = []

    def run(batch: np.ndarray) -> tuple[np.ndarray]:
        answers = []
        for picture in batch:
            sizes.append(picture.shape)
            y, x = np.nonzero(picture[..., 0] > 127)
            seen = len(x) > 0 and np.ptp(x) == np.ptp(y)            # cut off by a tile's edge it is no square
            face = (x.mean() + 0.5, y.mean() + 0.5, np.ptp(x) + 1, 0.9) if seen else (0, 0, 1, 0)
            answers.append(rows(face))
        return (np.stack(answers),)

    finder = FaceDetector(FakeEngine(run), CARDS["blazeface-full"])
    found = finder(image, min_face=24)
    whole, *tiles = sizes                                     # the whole, and two tiles of one other size
    assert len(tiles) == 2
    assert tiles[0] == tiles[1] != whole
    assert len(found) == 1
    assert np.abs(found.boxes - [420, 170, 480, 230]).max() < 5
    assert np.array_equal(finder.submit([image, image])()[1].boxes, found.boxes)
    assert len(sizes) == 3 + 2 * 3


def test_a_picture_of_one_column_has_tiles_of_a_size() -> None:
    finder = detector((96, 96, 40, 0.9))
    tiles = finder.tiles(np.zeros((1000, 1, 3), np.uint8), 40.0)
    assert len(tiles) > 1
    assert {tile.size_wh[0] for tile in tiles[1:]} == {32}


def test_only_some_tiles_are_looked_at():
    finder = detector((96, 96, 40, 0.9))
    image = np.zeros((720, 1280, 3), np.uint8)
    whole, *tiles = finder.tiles(image, 24)
    assert whole.box == (0, 0, 1280, 720)
    assert len(tiles) == 4
    for tile in tiles:
        (found,) = finder(image, tiles=[tile]).boxes
        left, top, right, bottom = tile.box
        width, height = tile.size_wh
        scale = max((right - left) / width, (bottom - top) / height)         # the tile is letterboxed
        aside = np.array([96 - width / 2, 96 - height / 2]) * scale
        middle = np.array([left + right, top + bottom]) / 2 + aside
        assert np.allclose((found[:2] + found[2:]) / 2, middle, atol=1.5)


def test_an_engine_of_one_size_gets_that_size():
    sizes = []

    def run(batch: np.ndarray) -> tuple[np.ndarray]:
        sizes.append(batch.shape)
        return (rows((96, 96, 40, 0.0))[None],)

    finder = FaceDetector(FakeEngine(run, (256, 256)), CARDS["blazeface-back"])
    assert len(finder(np.zeros((480, 640, 3), np.uint8), turned=True)) == 0
    assert sizes == 4 * (1 + 2 * 2) * [(1, 256, 256, 3)]


@pytest.mark.parametrize("options", [{"min_score": 1.5}, {"min_score": 0.0}, {"min_face": 0}])
def test_values_that_cannot_be(options: dict[str, float]):
    with pytest.raises(UsageError):
        detector((96, 96, 40, 0.9))(np.zeros((9, 9, 3), np.uint8), **options)


@pytest.mark.parametrize("name", ["blazeface-full", "blazeface-back"])
def test_both_faces_of_each_photograph(name: str, bus: Image, zidane: Image):
    from vision.engine import load

    finder = FaceDetector(load(CARDS[name]), CARDS[name])
    in_bus, in_zidane = finder.submit([bus, zidane], min_face=1e6)()
    centres = [np.sort((f.boxes[:, 0] + f.boxes[:, 2]) / 2) for f in (in_bus, in_zidane)]
    assert len(in_bus) == len(in_zidane) == 2
    assert np.abs(centres[0] - [135, 289]).max() < 12
    assert np.abs(centres[1] - [605, 985]).max() < 25
    eyes = in_zidane.points[np.argmax(in_zidane.boxes[:, 0])][:2]
    assert np.abs(eyes - [[965, 167], [1022, 172]]).max() < 12       # the subject's right one first


class FakeYunet:
    """OpenCV's detector: a face (x, y, w, h, five points, score) where the picture is bright."""

    def detect(self, picture: np.ndarray) -> tuple[int, np.ndarray | None]:
        if picture.max() == 0:
            return 1, None
        return 1, np.array([[10, 20, 40, 60, *range(1, 11), 0.8], [0, 0, 8, 8, *[4] * 10, 0.2]], np.float32)


def test_yunet_answers_as_blazeface_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cv2.FaceDetectorYN.create", lambda *args: FakeYunet())
    finder = FaceDetector(YunetEngine(Path("yunet.onnx"), (640, 640)), CARDS["yunet"])
    bright, dark = np.full((640, 640, 3), 200, np.uint8), np.zeros((640, 640, 3), np.uint8)
    nobody, found = finder.submit([dark, bright], min_face=1e6)()
    assert len(nobody) == 0
    assert found.boxes.tolist() == [[10, 20, 50, 80]]                       # the faint one is below 0.6
    assert found.points[0].tolist() == [[1, 2], [3, 4], [5, 6], [8, 9], [1, 2], [3, 4]]
    assert found.scores[0, 0] == pytest.approx(0.8)


def test_a_face_on_its_side_keeps_its_width_and_height(monkeypatch: pytest.MonkeyPatch):
    """A face that is 40 wide and 60 high in the picture that is turned to it lies 60 wide in the frame."""
    class Sideways(FakeYunet):
        def detect(self, picture: np.ndarray) -> tuple[int, np.ndarray | None]:
            return super().detect(picture) if picture[30, 30].max() else (1, None)

    monkeypatch.setattr("cv2.FaceDetectorYN.create", lambda *args: Sideways())
    finder = FaceDetector(YunetEngine(Path("yunet.onnx"), (640, 640)), CARDS["yunet"])
    boxes = []
    for y, x in ((30, 30), (30, 609), (609, 609), (609, 30)):
        image = np.zeros((640, 640, 3), np.uint8)
        image[y, x] = 200
        boxes += finder(image, min_face=1e6, turned=True).boxes.round(3).tolist()
    assert boxes == [[10, 20, 50, 80], [560, 10, 620, 50], [590, 560, 630, 620], [20, 590, 80, 630]]


def test_a_file_that_is_no_yunet(tmp_path: Path):
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(EngineError, match="cannot read"):
        YunetEngine(tmp_path / "bad.onnx", (640, 640))


def test_yunet_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from vision.people.landmarks import FaceLandmarker

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="vision weights pull yunet"):
        FaceLandmarker.load(detector="yunet")
