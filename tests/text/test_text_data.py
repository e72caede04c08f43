"""Word lists, photographs with words, made words, figures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import get_data_path

from tests.text.written import page
from vision.data.made_words import Typesetter
from vision.data.scenes import find_scenes
from vision.data.words import find_words, has_words, in_folds
from vision.errors import DataError
from vision.metrics.text import Icdar, edits, read_figures
from vision.text.found import Place

FONTS = Path(get_data_path()) / "fonts/ttf"


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    rows = ["image,text,scene"]
    for i, text in enumerate(("STOP", "Exit", "A-12", "Zoo", "Bus", "gate")):
        cv2.imwrite(str(tmp_path / f"w{i}.png"), page([(text, (4, 2), 24)], (80, 32)))
        rows.append(f"w{i}.png,{text},{i // 2}")
    (tmp_path / "words.csv").write_text("\n".join([*rows, "gone.png,Gone,9"]) + "\n")
    return tmp_path


def test_scenes_are_held_out_whole(crops: Path) -> None:
    words = find_words(crops, tuple("abc"))
    assert (len(words), words.texts[2], words.skipped) == (6, "A-12", 1)
    held = [in_folds(crops, (), fold, 3)[1].texts for fold in range(3)]
    assert held == [("STOP", "Exit"), ("A-12", "Zoo"), ("Bus", "gate")]
    learnt, _ = in_folds(crops, (), 1, 3)
    assert learnt.texts == ("STOP", "Exit", "Bus", "gate")
    with pytest.raises(DataError, match="3 scenes cannot be held out in 5 parts"):
        in_folds(crops, (), 0, 5)


def test_icdars_list_of_crops(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "word_1.png"), page([("x", (2, 2), 20)], (30, 30)))
    (tmp_path / "gt.txt").write_text('word_1.png, "Genaxis, Theatre\u2028\x85!"\n', encoding="utf-8")
    assert find_words(tmp_path).texts == ("Genaxis, Theatre\u2028\x85!",)
    (tmp_path / "gt.txt").write_text("nonsense\n")
    with pytest.raises(DataError, match="line 1 is not"):
        find_words(tmp_path)
    assert not has_words(tmp_path / "elsewhere")
    (tmp_path / "words.csv").write_text("picture,word\na,b\n")
    with pytest.raises(DataError, match="must have the columns"):
        find_words(tmp_path)


def test_icdars_photographs(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "img_1.jpg"), page([], (60, 40)))
    (tmp_path / "gt_img_1.txt").write_text("\ufeff1,2,21,2,21,12,1,12,Hello, you\n30,2,50,2,50,12,30,12,###\n")
    (scene,) = find_scenes(tmp_path)
    assert [(place.text, place.ignored) for place in scene.words] == [("Hello, you", False), ("###", True)]
    assert scene.words[0].quad.tolist() == [[1, 2], [21, 2], [21, 12], [1, 12]]
    (tmp_path / "gt_img_1.txt").write_text("1,2,3,Hello\n")
    with pytest.raises(DataError, match="line 1 is not x1,y1"):
        find_scenes(tmp_path)
    (tmp_path / "scenes.json").write_text('[{"file_name": "img_1.jpg", "words": [{"quad": [1, 2], "text": "x"}]}]')
    with pytest.raises(DataError, match="four corners"):
        find_scenes(tmp_path)


@given(st.text("abc", max_size=7), st.text("abc", max_size=7))
def test_edits_are_the_twin_by_recursion(one: str, other: str) -> None:
    def twin(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        return min(twin(a[1:], b) + 1, twin(a, b[1:]) + 1, twin(a[1:], b[1:]) + (a[0] != b[0]))

    assert edits(one, other) == twin(one[:5], other[:5]) if max(len(one), len(other)) <= 5 else True


def test_words_and_characters_that_are_right() -> None:
    figures = read_figures(["STOP", "exit", "Gatc"], ["stop", "exit", "Gate"])
    assert figures == (pytest.approx(2 / 3), pytest.approx(1 / 3), pytest.approx(1 / 12), 3)


def _quad(x: float, w: float = 20) -> np.ndarray:
    return np.array([[x, 0], [x + w, 0], [x + w, 10], [x, 10]], np.float32)


def test_icdars_protocol() -> None:
    metric = Icdar()
    truth = [Place(_quad(0), "one", False), Place(_quad(30), "two", False), Place(_quad(60), "###", True)]
    found = np.stack([_quad(2), _quad(1, 18), _quad(40), _quad(61), _quad(100)])
    # the first two overlap `one`, which counts once; the third overlaps `two` by a third only; the fourth is nobody's
    metric.add(found, ["x", "ONE", "two", "y", "z"], truth)
    assert metric.detection == (pytest.approx(1 / 4), pytest.approx(1 / 2), pytest.approx(1 / 3))
    assert metric.end_to_end.recall == pytest.approx(1 / 2)        # the better of the two says one
    metric.add(np.empty((0, 4, 2), np.float32), [], truth[:1])
    assert metric.detection.recall == pytest.approx(1 / 3)


def test_made_words_are_functions_of_their_seed(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("street\nhotel\nparking\nopen\n")
    maker = Typesetter(FONTS, tmp_path / "list")
    assert any("DejaVuSans.ttf" in str(font) for font in maker.fonts)
    assert not any("cmex10" in str(font) for font in maker.fonts)   # has no letters

    def made(seed: int) -> tuple[str, np.ndarray]:
        random = np.random.default_rng(seed)
        text = maker.text(random)
        return text, maker.picture(text, random)

    for seed in range(30):
        text, picture = made(seed)
        again = made(seed)
        assert text == again[0]
        np.testing.assert_array_equal(picture, again[1])
        assert text
        assert 8 <= picture.shape[0] <= 48
        assert picture.std() > 1                                    # there is something to be seen
    assert len({made(seed)[0] for seed in range(30)}) > 12


def test_without_fonts_or_words_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="apt install fonts-dejavu"):
        Typesetter(tmp_path, tmp_path / "none")
    with pytest.raises(DataError, match="apt install wamerican"):
        Typesetter(FONTS, tmp_path / "none")
