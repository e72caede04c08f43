"""The page of a segmenter's evaluation: what its cells show, and what a click marks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from vision.metrics.segmentation_page import Judged, judge, page
from vision.types import Image

NAMES = ("sky", "a & <b>", "road")
VOID = 255


def judged() -> list[Judged]:
    """Two pictures of 10x20 whose left half is sky and whose right half is road; of the first one 30 pixels of sky
    were taken for road, of the second 5 and 20 of road for class 1; a row of the second has no label."""
    truth = np.repeat([[0] * 10 + [2] * 10], 10, 0).astype(np.uint8)
    first, second, partly = truth.copy(), truth.copy(), truth.copy()
    first[:3, :10] = 2
    second[0, :5] = 2
    second[1:3, 10:] = 1
    partly[9] = VOID
    return [judge("x/one.png", first, truth, 3, VOID), judge("x/two.png", second, partly, 3, VOID)]


def black(name: str) -> Image:
    return np.zeros((10, 20, 3), np.uint8)


def test_pictures_are_judged_by_pixels() -> None:
    one, two = judged()
    assert one.counts.tolist() == [[70, 0, 30], [0, 0, 0], [0, 0, 100]]
    assert two.counts.tolist() == [[85, 0, 5], [0, 0, 0], [0, 20, 70]]
    assert (one.wrong, two.wrong) == (pytest.approx(30 / 200), pytest.approx(25 / 180))
    assert one.maps[0, :, 2].tolist() == [0] * 10 + [2] * 10
    assert one.maps[0, :, 1].tolist() == [2] * 20
    assert Judged("void", np.zeros((3, 3), np.int64), one.maps).wrong == 0


def test_the_page_has_the_figures_and_for_each_cell_its_pictures() -> None:
    text = page("t", {"Model": "m"}, judged(), 0.5, NAMES, black)
    assert "<b>" not in text
    assert "http" not in text
    (inside,) = re.findall(r'id="cells">(.*?)</script>', text)
    cells = json.loads(inside)
    assert cells == {"0 2": [0, 1], "2 1": [1], "0 0": [1, 0], "2 2": [0, 1]}
    assert "<th>mIoU</th><td>0.5238</td>" in text          # the mean of 155 / 190, 0 / 20 and 170 / 225
    assert ">18</td>" in text                              # 35 of 190 pixels of sky were taken for road
    assert text.index("one.png: 15.0 %") < text.index("two.png: 13.9 %")


def test_a_click_marks_the_pixels_of_its_cell(tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium (`make system`)")
    click = """<script>onload = () => {
      document.querySelector('td[data-at="0 2"]').click();
      document.title = [...document.querySelectorAll('#cell canvas')].map(canvas => {
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return data.filter((value, i) => i % 4 == 0 && value > 150).length;
      }).join(' ');
    }</script></body>"""
    shown = tmp_path / "page.html"
    shown.write_text(page("t", {}, judged(), 0.5, NAMES, black).replace("</body>", click), encoding="utf-8")
    ran = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--dump-dom", shown.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    assert "<title>30 5</title>" in ran.stdout
