"""Pixels to directions and back, with and without distortion; files in three formats."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.errors import DataError, UsageError
from vision.geometry import Camera, Ground, Mounting, Setup, read_setup, write_setup

BENT = Camera((1280, 720), (1135.0, 1127.0), (645.2, 361.7), (-0.21, -0.16, 0.0002, -0.001, 0.24), 0.85)
PLAIN = Camera((640, 480), (500.0, 510.0), (318.0, 242.0))


@given(st.floats(0, 1280), st.floats(0, 720))
def test_a_pixel_comes_back(x: float, y: float) -> None:
    back = BENT.pixels(BENT.rays([[x, y]]))[0]
    assert np.abs(back - (x, y)).max() < 0.01


def test_directions_are_opencvs() -> None:
    rays = np.array([[0.1, -0.2], [0.4, 0.3], [0, 0]])
    points, _ = cv2.projectPoints(np.column_stack([rays, np.ones(3)]), np.zeros(3), np.zeros(3), BENT.matrix,
                                  np.array(BENT.distortion))
    assert np.abs(BENT.pixels(rays) - (points.reshape(-1, 2) + 0.5)).max() < 1e-6       # pixel i spans i .. i + 1
    assert PLAIN.pixels([[0, 0]])[0].tolist() == [318.5, 242.5]


def test_half_the_size_sees_the_same() -> None:
    points = np.array([[100.0, 200.0], [900.0, 650.0]])
    assert np.abs(BENT.scaled((640, 360)).rays(points / 2) - BENT.rays(points)).max() < 1e-6


def test_another_aspect_is_refused() -> None:
    with pytest.raises(UsageError, match="1280x720, and the frames have 640x480: another aspect"):
        BENT.scaled((640, 480))
    assert BENT.scaled((1281, 721)).size_wh == (1281, 721)


def test_straight_lines_become_straight() -> None:
    line = np.column_stack([np.linspace(-0.5, 0.5, 60), np.full(60, 0.25)])
    image = np.zeros((720, 1280, 3), np.uint8)
    curve = np.rint(BENT.pixels(line) - 0.5).astype(np.int32)
    cv2.polylines(image, [curve], False, (255, 255, 255), 3)
    assert np.ptp(BENT.pixels(line)[:, 1]) > 8                              # it is bent in the frame
    view = BENT.undistorted(image)
    light = view.pixels[:, 150:1130, 0].astype(float)
    middles = (light * np.arange(720)[:, None]).sum(0) / light.sum(0)
    assert np.ptp(middles) < 2.5
    points = np.float32([[300, 200], [1200, 700]])
    assert np.abs(view.points_from_frame(view.points_to_frame(points)) - points).max() < 0.02


def test_where_a_lens_turns_back_there_is_no_direction() -> None:
    camera = Camera((640, 480), (300, 300), (320, 240), (-0.4, 0.0, 0.0, 0.0))
    assert np.isfinite(camera.rays([[320, 240]])).all()
    assert np.isnan(camera.rays([[2000, 1500]])).all()


@pytest.mark.parametrize("distortion", [
    (-0.369, 0.197, 0.0, 0.0, -0.068), (-0.4, 0.0, 0.0, 0.0), (-0.21, -0.16, 0.0002, -0.001, 0.24),
    (0.1, 0.0, 0.0, 0.0), (0.3, -0.2, 0.0, 0.0, 0.0, 0.7, 0.1, 0.05), (0.0, 0.0, 0.0, 0.0, 0.0, -0.5, 0.0, 0.0),
])
def test_pixels_go_outwards_as_rays_do_or_are_none(distortion: tuple[float, ...]) -> None:
    camera = Camera((640, 480), (400.0, 400.0), (319.5, 239.5), distortion)
    aside = np.tan(np.linspace(0, np.pi / 2, 700, endpoint=False))
    for x, y in ((1.0, 0.0), (0.6, -0.8)):
        pixels = camera.pixels(np.column_stack([x * aside, y * aside]))
        known = np.isfinite(pixels).all(axis=1)
        count = int(known.sum())
        assert known[:count].all()                                          # up to some angle, and not behind it
        out = (pixels[:count] - (320, 240)) @ (x, y)
        assert (np.diff(out) > -1e-2).all()
        bare, _ = cv2.projectPoints(np.array([[x, y, 1.0]]) * [[a, a, 1.0] for a in aside], np.zeros(3), np.zeros(3),
                                    camera.matrix, np.array(distortion))
        turned = np.diff((bare.reshape(-1, 2) - (319.5, 239.5)) @ (x, y)) < -1e-2
        assert count == len(aside) if not turned.any() else abs(count - np.argmax(turned)) <= 12


def test_a_straight_picture_is_black_where_the_lens_saw_nothing() -> None:
    camera = Camera((640, 480), (240.0, 240.0), (319.5, 239.5), (-0.369, 0.197, 0.0, 0.0, -0.068))
    view = camera.undistorted(np.full((480, 640, 3), 255, np.uint8))
    y, x = np.mgrid[:480, :640]
    places = view.points_to_frame(np.column_stack([x.ravel() + 0.5, y.ravel() + 0.5]))
    nothing = np.isnan(places).any(axis=1).reshape(480, 640)
    assert 1000 < nothing.sum() < 100_000
    assert (view.pixels[nothing] == 0).all()
    assert (view.pixels[200:280, 200:440] == 255).all()


@pytest.mark.parametrize(("focal", "centre"), [((500, 500), (60900.0, 172.0)), ((0.001, 0.001), (320, 240)),
                                               ((500, 1e7), (320, 240))])
def test_numbers_in_other_units_are_no_camera(focal: tuple[float, float], centre: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="no camera of 640x480 pixels has"):
        Camera((640, 480), focal, centre)


@pytest.mark.parametrize("name", ["c.toml", "c.yaml", "c.ros.yaml", "c.opencv.yaml"])
def test_files_come_back(name: str, tmp_path: Path) -> None:
    write_setup(tmp_path / name, Setup(BENT))
    back = read_setup(tmp_path / name).camera
    assert back is not None
    assert (back.size_wh, back.focal, back.centre, back.distortion) == (
        BENT.size_wh, BENT.focal, BENT.centre, BENT.distortion)


@pytest.mark.parametrize("name", ["c.toml", "c.yaml", "c.opencv.yaml"])
def test_the_smallest_numbers_come_back(name: str, tmp_path: Path) -> None:
    lens = Camera((640, 480), (500.0, 500.0), (320.0, 240.0), (1e-05, -0.1, 0.0, -3e-06, 2.5e-07), 1e-05)
    write_setup(tmp_path / name, Setup(lens))
    text = (tmp_path / name).read_text()
    assert "[1.0e-05, -0.1, 0.0, -3.0e-06, 2.5e-07]" in text
    assert ("avg_reprojection_error: 1.0e-05\n" in text) == (name == "c.opencv.yaml")
    (tmp_path / f"theirs-{name}").write_text(text.replace(".0e-", "e-"))             # as others write them
    for file in (name, f"theirs-{name}"):
        back = read_setup(tmp_path / file).camera
        assert back is not None
        assert back.distortion == lens.distortion


def test_opencv_reads_our_yaml_and_we_its(tmp_path: Path) -> None:
    write_setup(tmp_path / "ours.opencv.yaml", Setup(BENT))
    file = cv2.FileStorage(str(tmp_path / "ours.opencv.yaml"), cv2.FILE_STORAGE_READ)
    assert np.allclose(file.getNode("camera_matrix").mat(), BENT.matrix)
    theirs = cv2.FileStorage(str(tmp_path / "theirs.yaml"), cv2.FILE_STORAGE_WRITE)
    for key, value in (("image_width", 1280), ("image_height", 720), ("camera_matrix", BENT.matrix),
                       ("distortion_coefficients", np.array([BENT.distortion])), ("avg_reprojection_error", 0.85)):
        theirs.write(key, value)
    theirs.release()
    assert read_setup(tmp_path / "theirs.yaml").camera == BENT


ROS = """image_width: 640
image_height: 480
camera_name: narrow_stereo/left
camera_matrix:
  rows: 3
  cols: 3
  data: [438.783367, 0.000000, 305.593336, 0.000000, 437.302876, 243.738352, 0.000000, 0.000000, 1.000000]
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.361976, 0.110510, 0.001014, 0.000505, 0.000000]}
"""


def test_a_file_of_ros(tmp_path: Path) -> None:
    (tmp_path / "left.yaml").write_text(ROS)
    camera = read_setup(tmp_path / "left.yaml").camera
    assert camera is not None
    assert camera.focal == (438.783367, 437.302876)
    assert camera.distortion[0] == -0.361976


def test_a_whole_setup_comes_back(tmp_path: Path) -> None:
    mounting = Mounting(1.4, 3.0, -1.0, 0.5, pitch_error=0.2)
    points = (((100.0, 400.0), (500.0, 400.0), (600.0, 470.0), (20.0, 470.0)),
              ((20.0, 2.0), (20.0, -2.0), (8.0, -2.0), (8.0, 2.0)))
    setup = Setup(PLAIN, mounting, points, (640, 480), 1.5)
    write_setup(tmp_path / "all.toml", setup)
    back = read_setup(tmp_path / "all.toml")
    assert back.mounting == mounting
    assert (back.points, back.points_wh, back.points_error) == (points, (640, 480), 1.5)


@pytest.mark.parametrize(("name", "text", "what"), [
    ("c.yaml", "a: [1", "cannot be read as YAML"),
    ("c.yaml", "image_width: 640\n", "it has no 'image_height'"),
    ("c.yaml", ROS.replace("plumb_bob", "equidistant"), "distortion_model is 'equidistant'"),
    ("c.yaml", "!!python/object/apply:os.system ['true']\n", "cannot be read as YAML"),
    ("c.toml", "[camera]\nsize = [640]\n", "a list of 2 numbers"),
    ("c.toml", "[camra]\nsize = [640, 480]\n", "it has camra; expected"),
    ("c.toml", "[mounting]\nheigth = 1\n", "Nearest: height"),
    ("c.toml", "[mounting]\nheight = -1\n", "above the ground"),
    ("c.toml", "[mounting]\nheight = 1\nroll = 180\n", "upside down"),
    ("c.json", "{}", "a calibration is a .toml"),
    ("c.toml", "[ground]\nimage = [[0, 0]]\nmetres = [[0, 0]]\n", "takes four points; got 1"),
])
def test_what_is_no_calibration(name: str, text: str, what: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=what):
        read_setup(tmp_path / name)


def test_a_setup_has_a_ground_only_where_it_is_known() -> None:
    assert Setup(PLAIN).ground((640, 480)) is None
    assert isinstance(Setup(PLAIN, Mounting(1.4)).ground((320, 240)), Ground)
    with pytest.raises(UsageError, match="another aspect"):
        Setup(PLAIN, Mounting(1.4)).ground((640, 360))
