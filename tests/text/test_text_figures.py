"""The figures of what ships, by the command that gives them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from vision.cli import app


@pytest.mark.slow
@pytest.mark.realdata
def test_words_and_photographs_of_icdar(data: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [
        "eval", "text", "--data", str(data / "icdar2015"), "--precision", "fp32", "--quiet",
        "--report", str(tmp_path / "r.json"),
    ])
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "r.json").read_text())
    assert figures["word_accuracy"] == pytest.approx(0.665, abs=0.01)
    assert figures["cer"] == pytest.approx(0.124, abs=0.01)
    assert figures["detection"]["hmean"] == pytest.approx(0.663, abs=0.01)
    assert figures["end_to_end"]["hmean"] == pytest.approx(0.451, abs=0.015)


def test_lines_without_a_picture_are_counted(tmp_path: Path) -> None:
    crop = np.full((48, 160, 3), 255, np.uint8)
    cv2.putText(crop, "HELLO", (8, 38), cv2.FONT_HERSHEY_SIMPLEX, 1.3, (0, 0, 0), 3)
    cv2.imwrite(str(tmp_path / "a.png"), crop)
    (tmp_path / "words.csv").write_text("image,text,scene\na.png,HELLO,1\ngone.png,Gone,2\n")
    done = CliRunner().invoke(app, ["eval", "text", "--data", str(tmp_path), "--precision", "fp32", "--quiet"])
    assert done.exit_code == 0, done.output
    assert "1 word crop\nlines without a picture, left out: 1\nword accuracy 1.0000" in done.stdout


def test_a_folder_without_text_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["eval", "text", "--data", str(tmp_path)])
    assert done.exit_code != 0
    assert "has neither crops" in str(done.exception)
