"""A lens from boards: made ones with a known lens, the real ones, the command."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from vision import read
from vision.cli import app
from vision.errors import DataError, UsageError
from vision.geometry import Board, Camera, calibrate, read_setup
from vision.types import Frame

LENS = Camera((640, 480), (520.0, 520.0), (319.5, 239.5), (-0.2, 0.05, 0.0, 0.0))


@cache
def directions() -> np.ndarray:
    """Where each pixel of LENS looks."""
    y, x = np.mgrid[:480, :640]
    return LENS.rays(np.column_stack([x.ravel() + 0.5, y.ravel() + 0.5]))


def board_picture(turn: tuple[float, float, float], at: tuple[float, float, float]) -> np.ndarray:
    """A board of 7x5 inner corners as LENS sees it: drawn large, and each pixel of the frame looked up on it."""
    rays = directions()
    rotation, _ = cv2.Rodrigues(np.array(turn, np.float64))
    plane = np.column_stack([rotation[:, 0], rotation[:, 1], at])                 # board metres -> camera
    there = np.column_stack([rays, np.ones(len(rays))]) @ np.linalg.inv(plane).T
    u, v = (there[:, :2] / there[:, 2:] / 0.03).T                                 # squares
    dark = ((np.floor(u) + np.floor(v)) % 2 == 0) & (u > -1) & (u < 7) & (v > -1) & (v < 5)
    grey = np.where(dark, 30, 220).astype(np.uint8).reshape(480, 640)
    return cv2.cvtColor(cv2.GaussianBlur(grey, (3, 3), 0.7), cv2.COLOR_GRAY2BGR)


@pytest.fixture(scope="module")
def pictures() -> list[Frame]:
    places = [((0.0, 0.0, 0.0), (-0.1, -0.06, 0.35)), ((0.4, 0.1, 0.0), (-0.16, -0.1, 0.4)),
              ((-0.4, 0.2, 0.1), (0.0, -0.08, 0.42)), ((0.1, 0.5, -0.2), (-0.12, 0.02, 0.38)),
              ((0.2, -0.5, 0.3), (-0.05, -0.02, 0.36)), ((-0.3, -0.3, 0.0), (-0.2, 0.0, 0.45)),
              ((0.5, 0.3, 0.2), (0.02, 0.0, 0.4))]
    frames = [Frame(board_picture(*place), n, n, f"p{n}.png") for n, place in enumerate(places)]
    return [*frames, Frame(np.full((480, 640, 3), 90, np.uint8), 7, 7, "empty.png"),
            Frame(np.full((100, 90, 3), 90, np.uint8), 8, 8, "other.png")]


def test_a_made_lens_is_found(pictures: list[Frame]) -> None:
    found = calibrate(pictures, Board((7, 5), 0.03))
    assert found.camera.error < 0.4
    assert found.camera.focal == (pytest.approx(520, rel=0.01), pytest.approx(520, rel=0.01))
    assert found.camera.distortion[0] == pytest.approx(-0.2, abs=0.03)
    assert len(found.used) == 7
    assert found.left_out == (("empty.png", "no whole board of 7x5 inner corners found"),
                              ("other.png", "its size is 90x100, not 640x480"))
    assert 0.4 < found.coverage < 1
    corners = Board((7, 5), 0.03).find(pictures[0].image)
    assert corners is not None
    true = LENS.pixels((Board((7, 5), 0.03).corners[:, :2] + (-0.1, -0.06)) / 0.35) - 0.5
    assert np.abs(np.sort(corners, axis=0) - np.sort(true, axis=0)).max() < 0.7


@pytest.mark.parametrize(("source", "name"), [
    ("clip.mp4", "clip.mp4, frame 6"), ("{}/p.png", "p.png"), ("", "frame 6"),
])
def test_a_board_that_does_not_fit_is_left_out_whatever_its_picture_is_called(
    pictures: list[Frame], source: str, name: str
) -> None:
    """Of a video every board has one name; the last is seen by another lens."""
    frames = [replace(frame, source=source.format(frame.index)) for frame in pictures[:7]]
    x, y = np.meshgrid(np.arange(640, dtype=np.float32), np.arange(480, dtype=np.float32))
    waves = cv2.remap(frames[6].image, x + 4 * np.sin(y / 15), y + 4 * np.sin(x / 15), cv2.INTER_LINEAR)
    found = calibrate([*frames[:6], replace(frames[6], image=waves)], Board((7, 5), 0.03))
    assert len(found.used) == 6
    (left_out, why), = found.left_out
    assert left_out == name
    assert "times the others'" in why
    assert "over 6 of 7 pictures" in found.report[0]
    assert found.used[0][0] == name.replace("6", "0")


def test_boards_that_are_not_found(pictures: list[Frame]) -> None:
    with pytest.raises(DataError, match=r"9x6 inner corners was found in 0 pictures, and 5 are needed. First: p0.png"):
        calibrate(pictures, Board((9, 6)))
    with pytest.raises(UsageError, match="3 to 50 inner corners"):
        Board((2, 6))


def test_the_command(pictures: list[Frame], tmp_path: Path) -> None:
    for frame in pictures[:8]:
        cv2.imwrite(str(tmp_path / frame.source), frame.image)
    done = CliRunner().invoke(app, ["calibrate", str(tmp_path), "--board", "7x5", "--square", "0.03", "--height", "1.2",
                                    "-o", str(tmp_path / "camera.toml")])
    assert done.exit_code == 0, done.output
    assert "over 7 of 8 pictures of 640x480" in done.output
    assert "left out: empty.png: no whole board" in done.output
    setup = read_setup(tmp_path / "camera.toml")
    assert setup.camera is not None
    assert setup.camera.focal[0] == pytest.approx(520, rel=0.01)
    assert setup.mounting is not None
    assert setup.mounting.height == 1.2
    wrong = CliRunner().invoke(app, ["calibrate", str(tmp_path), "--board", "nine"])
    assert "--board is its inner corners" in str(wrong.exception)
    for options, said in ((["--pitch", "2"], "--pitch and --roll are of a mounted camera: say how high it is"),
                          (["--roll", "0"], "--pitch and --roll are of a mounted camera: say how high it is"),
                          (["--height", "1.2"], "are written down, not measured: name a file, -o camera.toml")):
        wrong = CliRunner().invoke(app, ["calibrate", str(tmp_path), "--board", "7x5", *options])
        assert isinstance(wrong.exception, UsageError)
        assert said in str(wrong.exception)


@pytest.mark.realdata
def test_the_real_boards(data: Path) -> None:
    frames = list(read(data / "driving/calibration"))
    board = Board((9, 6))
    found = calibrate(frames, board)
    assert found.camera.error < 1.0
    assert len(found.used) == 10
    names = [name for name, _ in found.used]
    for out in ((0, 1), (2, 9), (4, 7), (6, 8), (3, 5)):                          # any 8 of them
        kept = {name for i, name in enumerate(names) if i not in out}
        some = [frame for frame in frames if Path(frame.source).name in kept]
        other = calibrate(some, board).camera
        assert other.focal == (pytest.approx(found.camera.focal[0], rel=0.02),
                               pytest.approx(found.camera.focal[1], rel=0.02))
        assert other.centre == (pytest.approx(found.camera.centre[0], rel=0.02),
                                pytest.approx(found.camera.centre[1], rel=0.02))


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (9, 300), (17, 40), (30, 40)])
def test_a_picture_that_is_too_small_has_no_board(size: tuple[int, int]) -> None:
    assert Board((9, 6), 0.02).find(np.zeros((*size, 3), np.uint8)) is None
