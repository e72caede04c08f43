"""A camera and its place in files: ROS `camera_info` YAML, OpenCV YAML, and TOML, which also has the mounting."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vision.errors import DataError, UsageError
from vision.files import read_toml, write_whole
from vision.geometry.camera import Camera
from vision.geometry.ground import Ground
from vision.geometry.mounting import Mounting
from vision.spec import nearest

_MAX_BYTES = 1 << 20
_SUFFIXES = (".toml", ".yaml", ".yml")
_LENSES = ("plumb_bob", "rational_polynomial", "")           # ROS's names for OpenCV's distortion
_CAMERA = {"size", "focal", "centre", "distortion", "error"}
_GROUND = {"image", "metres", "pixel_error", "size"}
_MOUNTING = {field.name for field in fields(Mounting)}


@dataclass(frozen=True)
class Setup:
    """What is known of a camera: any of its lens, its mounting, and four points on the ground.

    camera: the lens. mounting: where it stands and looks.
    points: four points in frame pixels, (x, y) each, and where they are, (forward, left) in metres. points_wh: pixels
        of the frames that they were found in. points_error: one standard deviation, in pixels.
    """

    camera: Camera | None = None
    mounting: Mounting | None = None
    points: tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]] | None = None
    points_wh: tuple[int, int] | None = None
    points_error: float = 2.0

    def ground(self, size_wh: tuple[int, int]) -> Ground | None:
        """The ground in frames of a size in pixels; None where neither a mounting nor points are known. Raises
        UsageError for frames of another aspect, and for a mounting that sees no ground."""
        camera = self.camera.scaled(size_wh) if self.camera is not None else None
        if self.points is not None:
            own = self.points_wh or (self.camera.size_wh if self.camera is not None else size_wh)
            lens = self.camera.scaled(own) if self.camera is not None else None
            made = Ground.from_points(own, *self.points, pixel_error=self.points_error, camera=lens)
            return made.scaled(size_wh)
        if camera is None or self.mounting is None:
            return None
        return Ground.of(camera, self.mounting)


def read_setup(path: str | Path) -> Setup:
    """What a file says of a camera.

    path: `.toml` (tables `[camera]`, `[mounting]`, `[ground]`), or `.yaml` of ROS's camera_info or of OpenCV.
    Raises DataError where it cannot be read, or says something else."""
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(f"{str(path)!r}: a calibration is a .toml, or a .yaml of ROS's camera_info or of OpenCV. Make "
                        "one: vision calibrate PICTURES --board 9x6 -o camera.toml")
    try:
        if path.suffix.lower() == ".toml":
            return _from_toml(read_toml(path))
        return Setup(_from_yaml(_yaml(path)))
    except (UsageError, ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{str(path)!r} is no calibration: {what}") from error


def write_setup(path: str | Path, setup: Setup, name: str = "camera") -> None:
    """Write what is known of a camera. path: `.toml`; `.ros.yaml` or `.opencv.yaml` for the lens alone, and a plain
    `.yaml` as ROS has it. name: of the camera, for ROS. Raises UsageError for another suffix or without a lens,
    SinkError where the file cannot be written."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(f"a calibration is written as .toml, .yaml (ROS) or .opencv.yaml; got {str(path)!r}.")
    if suffix != ".toml" and setup.camera is None:
        raise UsageError("YAML holds a lens, and there is none. Write a .toml.")
    if suffix == ".toml":
        text = _to_toml(setup)
    else:
        assert setup.camera is not None
        opencv = path.name.lower().removesuffix(suffix).endswith(".opencv")
        text = _to_opencv(setup.camera) if opencv else _to_ros(setup.camera, name)
    write_whole(path, text.encode())


def _from_toml(table: Mapping[str, Any]) -> Setup:
    unknown = sorted(table.keys() - {"camera", "mounting", "ground"})
    if unknown or not table:
        raise UsageError(f"it has {', '.join(unknown) or 'nothing'}; expected [camera], [mounting] or [ground].")
    setup = Setup()
    if "camera" in table:
        one = _known("camera", table["camera"], _CAMERA)
        across, down = _numbers(one["size"], 2)
        setup = replace(setup, camera=Camera(
            (_whole(across), _whole(down)), _pair(one["focal"]), _pair(one["centre"]),
            tuple(_numbers(one.get("distortion", ()))), float(one.get("error", math.nan))))
    if "mounting" in table:
        values = _known("mounting", table["mounting"], _MOUNTING)
        if "height" not in values:
            raise UsageError("[mounting] has no height, metres above the ground.")
        setup = replace(setup, mounting=Mounting(**{key: _number(value) for key, value in values.items()}))
    if "ground" in table:
        one = _known("ground", table["ground"], _GROUND)
        if len(one["image"]) != 4 or len(one["metres"]) != 4:
            raise UsageError(f"[ground] takes four points; got {len(one['image'])} in `image` and "
                             f"{len(one['metres'])} in `metres`.")
        points = tuple(map(_pair, one["image"])), tuple(map(_pair, one["metres"]))
        size = None
        if "size" in one:
            across, down = _numbers(one["size"], 2)
            size = _whole(across), _whole(down)
        setup = replace(setup, points=points, points_wh=size, points_error=_number(one.get("pixel_error", 2.0)))
    return setup


def _known(name: str, values: Any, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(values, dict):
        raise UsageError(f"[{name}] is a table.")
    for key in values:
        if key not in known:
            raise UsageError(f"[{name}] has no {key!r}. {nearest(key, known)}")
    return values


def _yaml(path: Path) -> Mapping[str, Any]:
    """A YAML file as plain values; OpenCV's matrices as mappings, its first line left out."""
    import yaml

    class Plain(yaml.SafeLoader):                            # type: ignore[misc]
        """Values alone: no tag but OpenCV's makes anything of them, and none stands for another one."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it has aliases, which no calibration needs")
            return super().compose_node(parent, index)

    power = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")       # 1e-05: a word to YAML 1.1
    Plain.add_implicit_resolver("tag:yaml.org,2002:float", power, list("-+.0123456789"))
    Plain.add_constructor("tag:yaml.org,2002:opencv-matrix", yaml.SafeLoader.construct_yaml_map)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"it has more than {_MAX_BYTES >> 10} kB.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read ({error.strerror}).") from error
    try:
        loaded = yaml.load(text.removeprefix("%YAML:1.0"), Plain)
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"it cannot be read as YAML ({str(error).splitlines()[0]}).") from error
    if not isinstance(loaded, dict):
        raise UsageError("it is a mapping of names to values; expected image_width, camera_matrix, ...")
    return loaded


def _from_yaml(values: Mapping[str, Any]) -> Camera:
    lens = str(values.get("distortion_model", ""))
    if lens not in _LENSES:
        raise UsageError(f"its distortion_model is {lens!r:.60}; expected one of OpenCV's, plumb_bob or "
                         "rational_polynomial. Another one: calibrate again with `vision calibrate`.")
    size = _whole(_number(values["image_width"])), _whole(_number(values["image_height"]))
    matrix = _numbers(values["camera_matrix"]["data"], 9)
    key = "distortion_coefficients"
    bends = _numbers(values[key]["data"]) if key in values else []
    error = values.get("avg_reprojection_error", math.nan)
    return Camera(size, (matrix[0], matrix[4]), (matrix[2], matrix[5]), tuple(bends), float(error))


def _to_toml(setup: Setup) -> str:
    lines = []
    if (camera := setup.camera) is not None:
        lines += ["[camera]", f"size = {list(camera.size_wh)}                 # pixels, width and height",
                  f"focal = {_list(camera.focal)}", f"centre = {_list(camera.centre)}",
                  f"distortion = {_list(camera.distortion)}     # OpenCV's k1, k2, p1, p2, k3, ..."]
        lines += [] if math.isnan(camera.error) else [f"error = {camera.error:.4g}     # pixels, root mean square"]
    if (mounting := setup.mounting) is not None:
        lines += ["", "[mounting]                       # metres, and degrees: pitch is positive looking down"]
        lines += [f"{field.name} = {_text(getattr(mounting, field.name))}" for field in fields(mounting)]
    if setup.points is not None:
        lines += ["", "[ground]                         # four points: pixels, and forward and left in metres"]
        lines += [f"{key} = [{', '.join(_list(point) for point in points)}]"
                  for key, points in zip(("image", "metres"), setup.points, strict=True)]
        lines += [f"size = {list(setup.points_wh)}"] if setup.points_wh else []
        lines += [f"pixel_error = {_text(setup.points_error)}"]
    return "\n".join(lines).strip() + "\n"


def _to_ros(camera: Camera, name: str) -> str:
    lens = "plumb_bob" if len(camera.distortion) <= 5 else "rational_polynomial"
    bends = list(camera.distortion) + [0.0] * max(0, 5 - len(camera.distortion))
    (fx, fy), (cx, cy) = camera.focal, camera.centre
    rows = {
        "camera_matrix": (3, 3, camera.matrix.ravel().tolist()), "distortion_coefficients": (1, len(bends), bends),
        "rectification_matrix": (3, 3, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]),
        "projection_matrix": (3, 4, [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]),
    }
    text = f"image_width: {camera.size_wh[0]}\nimage_height: {camera.size_wh[1]}\ncamera_name: {name}\n"
    for key, (high, wide, data) in rows.items():
        text += f"{key}:\n  rows: {high}\n  cols: {wide}\n  data: {_list(data)}\n"
        text += f"distortion_model: {lens}\n" if key == "camera_matrix" else ""
    return text


def _to_opencv(camera: Camera) -> str:
    text = f"%YAML:1.0\n---\nimage_width: {camera.size_wh[0]}\nimage_height: {camera.size_wh[1]}\n"
    bends = list(camera.distortion) or [0.0] * 5
    for key, high, wide, data in (("camera_matrix", 3, 3, camera.matrix.ravel().tolist()),
                                  ("distortion_coefficients", 1, len(bends), bends)):
        text += f"{key}: !!opencv-matrix\n   rows: {high}\n   cols: {wide}\n   dt: d\n   data: {_list(data)}\n"
    return text + ("" if math.isnan(camera.error) else f"avg_reprojection_error: {_text(camera.error)}\n")


def _list(values: Sequence[float]) -> str:
    return "[" + ", ".join(map(_text, values)) + "]"


def _text(value: float) -> str:
    """A number as all of TOML, YAML 1.1 and OpenCV read it: with a dot, which Python leaves out of 1e-05."""
    text = repr(float(value))
    return text if "." in text else text.replace("e", ".0e")


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UsageError(f"{value!r:.60} is no number.")
    return float(value)


def _numbers(values: Any, count: int | None = None) -> list[float]:
    if not isinstance(values, (list, tuple)) or count not in (None, len(values)):
        raise UsageError(f"expected a list of {count or ''} numbers; got {values!r:.60}".replace("  ", " "))
    return [_number(value) for value in values]


def _pair(values: Any) -> tuple[float, float]:
    first, second = _numbers(values, 2)
    return first, second


def _whole(value: float) -> int:
    if value != int(value) or not 1 <= value <= 1 << 16:
        raise UsageError(f"a side of a picture is 1 to {1 << 16} pixels; got {value:g}.")
    return int(value)
