"""Reading pictures: what ships on pictures with known text, and on what should not be text."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.text.written import page
from vision.card import Boxes, Card, Input
from vision.drawing import draw
from vision.engine import FakeEngine
from vision.errors import ModelError, UsageError, WeightsError
from vision.text import quads
from vision.text.finder import TextFinder
from vision.text.lines import Texts
from vision.text.reader import TextReader
from vision.types import Image

PAGE = page([("PLATFORM 4", (30, 30), 34), ("Mind the gap", (30, 90), 26), ("Way out 120 m", (30, 140), 26)])


@pytest.fixture(scope="module")
def read(reader: TextReader) -> Texts:
    return reader(PAGE)


def test_words_lines_and_places(read: Texts) -> None:
    assert read.text == "PLATFORM 4\nMind the gap\nWay out 120 m"
    assert read.texts.tolist() == ["PLATFORM", "4", "Mind", "the", "gap", "Way", "out", "120", "m"]
    assert read.lines.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert read.scores.min() > 0.9
    ink = PAGE[..., 0] > 150
    for box in read.boxes.round().astype(int):              # each word's box holds ink, and letters' gaps lie between
        assert ink[box[1] : box[3], box[0] : box[2]].mean() > 0.1
    _, line, _ = np.split(read.boxes, [2, 5])[:3]
    assert (line[1:, 0] > line[:-1, 2] - 2).all()           # words of a line do not overlap


def test_the_record_holds_words_and_lines(read: Texts) -> None:
    record = read.to_dict()
    assert [line["text"] for line in record["lines"]] == ["PLATFORM 4", "Mind the gap", "Way out 120 m"]
    assert record["objects"][0]["text"] == "PLATFORM"
    np.testing.assert_allclose(record["objects"][0]["quad"], read.quads[0], atol=0.006)


def test_vertical_text_is_read_from_its_side(reader: TextReader) -> None:
    for turns in (1, 3):
        found = reader(np.ascontiguousarray(np.rot90(PAGE[:80], turns)))
        assert found.texts.tolist() == ["PLATFORM", "4"]
        assert (quads.boxes_of(found.quads)[0, 3] - quads.boxes_of(found.quads)[0, 1]) > 120


def test_upside_down_takes_an_option(reader: TextReader) -> None:
    over = np.ascontiguousarray(PAGE[:80][::-1, ::-1])
    assert "PLATFORM" not in reader(over).texts.tolist()
    assert reader(over, turned=True).texts.tolist() == ["PLATFORM", "4"]


def test_an_alphabet_changes_what_is_read(reader: TextReader) -> None:
    assert set("".join(reader(PAGE, alphabet="digits").texts.tolist())) <= set("0123456789")
    with pytest.raises(UsageError, match=r"cannot read 1 of the characters asked for: ж \(Cyrillic\)"):
        reader(PAGE, alphabet="ж")


@pytest.mark.parametrize("picture", [
    np.zeros((1, 1, 3), np.uint8), np.full((320, 480, 3), 255, np.uint8), page([("tiny", (20, 20), 3)]),
])
def test_nothing_to_read_is_no_rows(reader: TextReader, picture: Image) -> None:
    found = reader(picture)
    assert len(found) == 0
    assert found.text == ""
    assert found.to_dict() == {"objects": [], "lines": []}


def test_empty_pictures_are_refused(reader: TextReader) -> None:
    with pytest.raises(UsageError, match="with a pixel at least"):
        reader(np.zeros((0, 10, 3), np.uint8))
    with pytest.raises(UsageError, match="min_text lies in"):
        reader(PAGE, min_text=1.5)


def test_what_is_covered_cannot_be_read(reader: TextReader) -> None:
    found = reader.submit([PAGE], cover=True)()[0]
    assert found.covered is not None
    hidden = draw(found, PAGE)
    assert len(reader(hidden)) == 0
    assert (hidden[250:] == PAGE[250:]).all()               # the rest of the picture is as it was
    assert (draw(found, PAGE) != PAGE).any()


def _fake(batches: list[int]) -> TextReader:
    def network(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        batches.append(batch.shape[2])
        probs = np.zeros((len(batch), batch.shape[2] // 8, 6906), np.float32)
        probs[:, :, 1] = 0.95
        return (probs,)

    card = Card(name="fake", task="text", file="", licence="", source="", names=tuple("abc"), min_score=0.5,
                input=Input((320, 48), "corner"))
    found = Card(name="fake", task="text-boxes", file="", licence="", source="", input=Input((64, 64), "letterbox"),
                 boxes=Boxes("db"))
    finder = TextFinder(FakeEngine(lambda b: (np.zeros((len(b), 1, *b.shape[1:3]), np.float32),)), found)
    return TextReader(finder, FakeEngine(network), card)


def _crops(count: int) -> Iterator[Image]:
    random = np.random.default_rng(0)
    for _ in range(count):
        height = int(random.integers(8, 60))
        yield np.zeros((height, int(height * random.uniform(0.5, 25)), 3), np.uint8)


def test_crops_of_any_width_come_in_few_widths() -> None:
    batches: list[int] = []
    read = [reading.text for reading in _fake(batches).words(_crops(500))]
    assert read == ["a"] * 500
    assert set(batches) == {320, 576, 1184}                 # each a graph of its own: memory is flat


@pytest.mark.slow
def test_memory_is_flat_over_ten_thousand_crops() -> None:
    reader = _fake([])
    list(reader.words(_crops(300)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in reader.words(_crops(10_000))) == 10_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000            # kB; the answers have 40 GB


def test_files_of_others_say_what_is_wrong(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(WeightsError, match="not a readable ONNX"):
        TextReader.load(broken)
    with pytest.raises(WeightsError, match="not a readable ONNX"):
        TextFinder.load(broken)
    shipped = Path(__file__).parents[2] / "weights"
    with pytest.raises(ModelError, match="does not say which characters"):
        TextReader.load(shipped / "ppocrv6-tiny-det.onnx")
    with pytest.raises(ModelError, match="finds no text"):
        TextFinder.load(shipped / "iris.onnx")
    with pytest.raises(WeightsError, match="pip install --no-deps rapidocr"):
        TextReader.load("ppocrv6-small-rec")


@pytest.mark.realdata
def test_golden_words_of_a_photograph(reader: TextReader, data: Path) -> None:
    import cv2

    found = reader(cv2.imread(str(data / "icdar2015/scenes/img_486.jpg")))
    lines = found.text.splitlines()
    assert lines[:2] == ["NEW & EXCITING", "SHOPS COMING UP"]
    assert {"CAFE MONDO", "SANS & SANS", "TANUKI RAW"} <= set(lines)
    expected = {"NEW": [67.7, 55.5, 136.1, 93.1], "EXCITING": [167.5, 64.0, 271.2, 104.6]}
    for word, box in expected.items():
        np.testing.assert_allclose(found.boxes[found.texts.tolist().index(word)], box, atol=3)
