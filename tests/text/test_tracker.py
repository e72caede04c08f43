"""Text on a made video: each once, with its times; found again after a state was restored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.text.written import page
from vision import ReadText, Run, read
from vision.drawing import draw
from vision.io import Info
from vision.sinks import Alto, Events, Hocr, PlainText
from vision.sinks.film import VideoWriter
from vision.state import dumps, loads
from vision.text.ctc import Reading
from vision.text.found import TextQuads
from vision.text.lines import TextEvent, Texts, clock
from vision.text.looks import likeness, look_of
from vision.text.reader import Piece, TextReader, laid_out
from vision.text.tracker import TextTracker, matching
from vision.types import Frame, Image
from vision.zoo import CARDS

RATE = 10.0


@pytest.fixture(scope="module")
def film() -> list[Image]:
    """PLATFORM 4 from 0.5 to 2.4 s, moving; ABC 1234 from 1.5 s on."""
    frames = []
    for i in range(32):
        lines = []
        if 5 <= i < 25:
            lines.append(("PLATFORM 4", (20 + 4 * i, 40), 34))
        if i >= 15:
            lines.append(("ABC 1234", (200 - 2 * i, 140), 34))
        frames.append(page(lines, (352, 224)))
    return frames


@pytest.fixture(scope="module")
def followed(reader: TextReader, film: list[Image]) -> tuple[list[Texts], list[TextEvent]]:
    tracker = TextTracker(reader, lost_after=0.3)
    texts = [tracker(image, i / RATE) for i, image in enumerate(film)]
    return texts, [event for one in texts for event in one.events] + list(tracker.close())


def test_each_text_is_told_of_once(followed: tuple[list[Texts], list[TextEvent]]) -> None:
    texts, events = followed
    assert [(e.text, e.start, e.end) for e in events] == [
        ("PLATFORM 4", pytest.approx(0.5), pytest.approx(2.4)), ("ABC 1234", pytest.approx(1.5), pytest.approx(3.1))]
    expected = [["PLATFORM 4"] * (5 <= i < 25) + ["ABC 1234"] * (i >= 15) for i in range(len(texts))]
    assert [[line.line for line in one.by_line()] for one in texts] == expected
    assert {int(i) for one in texts for i in one.ids} == {1, 2}
    assert all(np.abs(one.boxes[0, 0] - (20 + 4 * i)) < 8 for i, one in enumerate(texts) if 5 <= i < 25)


def test_a_state_goes_on_where_it_was(
    reader: TextReader, film: list[Image], followed: tuple[list[Texts], list[TextEvent]]
) -> None:
    before = TextTracker(reader, lost_after=0.3)
    for i, image in enumerate(film[:20]):
        before(image, i / RATE)
    after = TextTracker(reader, lost_after=0.3)
    after.restore(loads(dumps(before.state())))
    for i, image in enumerate(film[20:], start=20):
        assert after(image, i / RATE).to_dict() == followed[0][i].to_dict()


def test_a_text_is_looked_for(reader: TextReader, film: list[Image]) -> None:
    tracker = TextTracker(reader, find=("abc*",), lost_after=0.3)
    texts = [tracker(image, i / RATE) for i, image in enumerate(film)]
    assert [i for i, one in enumerate(texts) if len(one)] == list(range(15, 32))
    assert [event.text for one in texts for event in one.events] == []
    assert [event.text for event in tracker.close()] == ["ABC 1234"]


def test_what_is_hidden_stays_hidden_when_it_is_missed(reader: TextReader, film: list[Image]) -> None:
    tracker = TextTracker(reader, cover=True)
    for i, image in enumerate(film[:8]):
        drawn = draw(tracker(image, i / RATE), image)
        assert len(reader(drawn)) == 0
    texts = tracker(np.full_like(film[7], 70), 0.8)                        # not to be seen in this frame
    assert len(texts) == 0
    assert texts.covered is not None
    assert len(texts.covered) == 1


class Told:
    """A reader, and its finder, that are told what stands where: of each text the score and the box, xyxy."""

    def __init__(self) -> None:
        self.card, self.detector = CARDS["ppocrv6-tiny-rec"], self
        self.there: dict[str, tuple[float, list[int]]] = {}

    def characters(self, *how: object) -> None:
        return None

    def __call__(self, image: Image, *, min_score: float | None = None) -> TextQuads:
        least = self.card.min_score if min_score is None else min_score
        found = [(score, [[a, b], [c, b], [c, d], [a, d]]) for score, (a, b, c, d) in self.there.values()]
        found = [one for one in found if one[0] >= least]
        return TextQuads([quad for _, quad in found], [score for score, _ in found])

    def read(self, image: Image, pieces: np.ndarray, **how: object) -> list[Piece]:
        texts = {(a, b): text for text, (_, (a, b, _, _)) in self.there.items()}
        said = [texts[quad[0, 0], quad[0, 1]] for quad in pieces]
        return [Piece(Reading(one, 0.95), np.linspace(0, 1, len(one)), quad)
                for one, quad in zip(said, pieces, strict=True)]


JOHN, SMITH = {"John": (0.9, [20, 40, 80, 60])}, {"Smith": (0.9, [86, 40, 150, 60])}


def test_a_phrase_in_two_pieces_is_covered_and_told_of() -> None:
    reader: Any = Told()
    blank = np.zeros((96, 240, 3), np.uint8)
    tracker = TextTracker(reader, find=("john smith",), cover=True, lost_after=0.3)
    covered = []
    for i in range(20):
        if i == 12:
            tracker.restore(loads(dumps(tracker.state())))
        other = {"Mary": (0.9, [20, 70, 80, 90])}
        reader.there = {**JOHN, **({} if i in (10, 13) else SMITH), **other}             # one is missed at times
        texts = tracker(blank, i / RATE)
        assert texts.line == ("" if i in (10, 13) else "John Smith")
        assert texts.covered is not None
        covered.append(sorted(texts.covered[:, 0, 0].tolist()))
    assert covered == [[20, 86]] * 20
    assert [(e.text, e.start, e.end) for e in tracker.close()] == [("John", 0.0, 1.9), ("Smith", 0.0, 1.9)]


def test_a_low_score_that_is_asked_for_is_followed() -> None:
    reader: Any = Told()
    reader.there = {"John": (0.1, [20, 40, 80, 60])}
    least = reader.card.min_score
    assert least > 0.1
    for asked, said in ((None, ""), (0.05, "John"), (0.0, "John")):
        tracker, blank = TextTracker(reader, min_score=asked), np.zeros((96, 240, 3), np.uint8)
        assert [tracker(blank, i / RATE).line for i in range(2)] == [said] * 2


def test_a_bracket_is_no_class_and_an_accent_may_stand_apart() -> None:
    quad = np.array([[0, 0], [60, 0], [60, 20], [0, 20]], np.float32)
    for text, pattern, found in (
        ("[A12]", "[a12]", True), ("A", "[a12]", False), ("x[1", "x[*", True), ("Caf\u00e9", "cafe\u0301", True),
        ("Cafe\u0301", "CAF\u00c9", True), ("Cafe\u0301", "caf?", True), ("a]", "a]", True),
    ):
        texts = laid_out([Piece(Reading(text, 1.0), np.linspace(0, 1, len(text)), quad)], 0.0)
        assert len(matching(texts, (pattern,))) == found, (text, pattern)


def test_patterns_are_of_words_and_of_lines(reader: TextReader) -> None:
    texts = reader(page([("Gate A12 north", (20, 20), 28), ("Gate B7", (20, 80), 28)]))
    assert matching(texts, ("a??",)).texts.tolist() == ["A12"]
    assert matching(texts, ("gate b*",)).texts.tolist() == ["Gate", "B7"]
    assert matching(texts, ("x*", "B7")).texts.tolist() == ["B7"]
    assert len(matching(texts, ("x*",))) == 0
    assert matching(texts, ()).text == texts.text


def test_a_run_writes_events_and_documents(tmp_path: Path, reader: TextReader, film: list[Image]) -> None:
    with VideoWriter(tmp_path / "film.mp4") as out:
        for i, image in enumerate(film):
            out.write(image, i / RATE)
    spec = ReadText(model=reader, lost_after=0.3)
    sinks = [Events(tmp_path / "e.jsonl"), Events(tmp_path / "e.csv"), PlainText(tmp_path / "t.txt"),
             Hocr(tmp_path / "t.html"), Alto(tmp_path / "t.xml")]
    with Run(read(str(tmp_path / "film.mp4")), spec, sinks) as run:
        frames = sum(len(item["text"]) > 0 for item in run)
    events = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert [(e["text"], e["start_s"], e["end_s"]) for e in events] == [("PLATFORM 4", 0.5, 2.4), ("ABC 1234", 1.5, 3.1)]
    assert (tmp_path / "e.csv").read_text().splitlines()[1].split(",")[2:4] == ["text", "PLATFORM 4"]
    assert (tmp_path / "t.txt").read_text() == (
        "0:00:00.500 - 0:00:02.400  PLATFORM 4\n0:00:01.500 - 0:00:03.100  ABC 1234\n")
    pages = ElementTree.parse(tmp_path / "t.xml").getroot().findall(".//{*}Page")
    assert len(pages) == frames == 27
    words = [word.get("CONTENT") for word in pages[0].findall(".//{*}String")]
    assert words == ["PLATFORM", "4"]
    html = ElementTree.parse(tmp_path / "t.html").getroot()
    found = [word for word in html.iter("{http://www.w3.org/1999/xhtml}span") if word.get("class") == "ocrx_word"]
    assert [word.text for word in found[:2]] == ["PLATFORM", "4"]
    assert int((found[0].get("title") or "").split()[1]) == pytest.approx(40, abs=4)


def test_times_are_readable() -> None:
    assert [clock(t) for t in (0, 61.5, 3661.0004, 59.9996)] == ["0:00:00.000", "0:01:01.500", "1:01:01.000",
                                                                 "0:01:00.000"]


def test_a_search_in_pictures_names_them(tmp_path: Path, reader: TextReader) -> None:
    import cv2

    for name, text in (("a", "Gate A12"), ("b", "Gate B7")):
        cv2.imwrite(str(tmp_path / f"{name}.png"), page([(text, (20, 20), 28)], (240, 96)))
    with Run(read(str(tmp_path)), ReadText(model=reader, find=("b?",), blur=True)) as run:
        found = [(item["text"].text, item["text"].covered, item.frame.image) for item in run]
        summary = list(run.told) if hasattr(run, "told") else []
    assert [text for text, _, _ in found] == ["", "B7"]
    assert [len(covered) for _, covered, _ in found] == [0, 1]
    assert reader(found[0][2]).text == "Gate A12"           # only what was looked for is hidden
    assert reader(found[1][2]).texts.tolist()[0] == "Gate"
    assert "B7" not in reader(found[1][2]).text
    assert summary in ([], ["b?: found once", "  'B7' in b.png"])


def test_what_was_found_in_pictures_is_told_after_a_state_was_restored(reader: TextReader) -> None:
    frames = [Frame(page([(text, (20, 20), 28)], (240, 96)), i, float(i), f"{text[-1]}.png")
              for i, text in enumerate(("Gate B7", "Gate A1", "Gate B9"))]
    spec = ReadText(model=reader, find=("b?",))
    first, second = (spec.open(Info("pages", "pictures"), reader) for _ in range(2))
    for frame in frames[:2]:
        first.begin(frame, {})()
    second.restore(loads(dumps(first.state())))
    second.begin(frames[2], {})()
    assert second.summary() == ["b?: found 2 times", "  'B7' in 7.png", "  'B9' in 9.png"]


def test_other_text_in_one_place_is_a_text_of_its_own(reader: TextReader) -> None:
    tracker = TextTracker(reader, lost_after=0.3)
    said = ["At this hour?"] * 8 + ["The train was late"] * 8 + ["12 OF 40"] * 8 + ["13 OF 40"] * 14
    texts = [tracker(page([(line, (20, 40), 26)], (352, 96)), i / RATE) for i, line in enumerate(said)]
    events = [event for one in texts for event in one.events] + list(tracker.close())
    assert [(e.text.replace(" ", ""), e.start) for e in events[:3]] == [
        ("Atthishour?", 0.0), ("Thetrainwaslate", pytest.approx(0.8)), ("12OF40", pytest.approx(1.6))]
    assert [e.end for e in events[:2]] == [pytest.approx(0.7), pytest.approx(1.5)]
    assert [e.text.replace(" ", "") for e in events[3:]] == ["13OF40"]     # a digit is noticed when it is read again
    assert events[3].start == pytest.approx(2.4, abs=1.0)
    assert events[2].end <= events[3].start
    assert [e.id for e in events] == [1, 2, 3, 4]
    assert [one.text for one in texts[7:9]] == ["At this hour?", "The train was late"]


def test_what_is_written_downwards_keeps_its_words(reader: TextReader) -> None:
    image = np.ascontiguousarray(np.rot90(page([("PLATFORM 4", (30, 20), 34)], (260, 80)), 3))
    tracker = TextTracker(reader)
    for time in (0.0, 0.1):
        texts = tracker(image, time)
        alone = reader(image)
        assert texts.texts.tolist() == ["PLATFORM", "4"]
        np.testing.assert_allclose(texts.boxes, alone.boxes, atol=0.02)


def test_pages_of_several_sources_have_numbers_of_their_own(tmp_path: Path, reader: TextReader) -> None:
    import cv2

    for name, text in (("a", "Gate A12"), ("b", "Gate B7")):
        cv2.imwrite(str(tmp_path / f"{name}.png"), page([(text, (20, 20), 28)], (240, 96)))
    sources = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    run = Run(sources, ReadText(model=reader), [Alto(tmp_path / "t.xml"), Hocr(tmp_path / "t.html")])
    run.finish()
    alto, hocr = (tmp_path / "t.xml").read_text(), (tmp_path / "t.html").read_text()
    for document in (alto, hocr):
        ids = [one.get(key) for one in ElementTree.fromstring(document).iter() for key in ("ID", "id") if one.get(key)]
        assert len(ids) == len(set(ids))
        assert [f"{tmp_path / name}.png" in document for name in "ab"] == [True, True]


def test_looks_tell_other_letters_and_mind_no_light() -> None:
    image = page([("PLATFORM", (20, 20), 30), ("PLATEAUS", (20, 80), 30)], (240, 140))
    first, second = (np.array([[20, y], [180, y], [180, y + 34], [20, y + 34]], np.float32) for y in (22, 82))
    look = look_of(image, first)
    assert look.shape == (16, 75)
    dim = (image * 0.5 + 20).astype(np.uint8)
    assert likeness(look, look_of(dim, first + np.float32(1.5))) > 0.8
    assert likeness(look, look_of(image, second)) < 0.5
    assert likeness(look_of(np.full_like(image, 9), first), look) == 1.0
