"""Messages of ROS 2 without ROS: pictures out of them, detections and ranges into them; through `rosbags`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np

from vision.errors import MissingExtra, SourceError
from vision.messages.annexb import CODECS
from vision.messages.pictures import Carried, Compressed, Packet, Raw

PICTURES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "foxglove_msgs/msg/CompressedVideo")
SECOND = 1_000_000_000
Layout = Literal["new", "old"]
_MAX_DEFINITION = 1 << 16                        # bytes of a message's definition, those that it needs included
_CDR = "cdr"

# vision_msgs is no part of a bare ROS, so that its definitions stand here. `new`: Galactic, Humble and later;
# `old`: Foxy and before.
_COMMON = {
    "vision_msgs/msg/Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections\n",
}
_LAYOUTS: dict[Layout, dict[str, str]] = {
    "new": {
        **_COMMON,
        "vision_msgs/msg/Detection2D": "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
                                       "vision_msgs/BoundingBox2D bbox\nstring id\n",
        "vision_msgs/msg/ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\n"
                                                    "geometry_msgs/PoseWithCovariance pose\n",
        "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score\n",
        "vision_msgs/msg/BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y\n",
        "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta\n",
        "vision_msgs/msg/Point2D": "float64 x\nfloat64 y\n",
    },
    "old": {
        **_COMMON,
        "vision_msgs/msg/Detection2D": "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
                                       "vision_msgs/BoundingBox2D bbox\nsensor_msgs/Image source_img\n"
                                       "bool is_tracking\nstring tracking_id\n",
        "vision_msgs/msg/ObjectHypothesisWithPose": "string id\nfloat64 score\n"
                                                    "geometry_msgs/PoseWithCovariance pose\n",
        "vision_msgs/msg/BoundingBox2D": "geometry_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y\n",
    },
}


@cache
def types(layout: Layout = "new") -> Any:
    """The types of ROS 2 with those of vision_msgs, as `rosbags.typesys` has them. Raises MissingExtra."""
    try:
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ImportError:
        raise MissingExtra("rosbags", "robot", "a ROS 2 bag") from None

    made = get_typestore(Stores.ROS2_HUMBLE if layout == "new" else Stores.ROS2_FOXY)
    for name, text in _LAYOUTS[layout].items():
        made.register(get_types_from_msg(text, name))
    return made


def stamp_of(header: Any) -> int:
    """The stamp of a std_msgs/Header, in nanoseconds."""
    return int(header.stamp.sec) * SECOND + int(header.stamp.nanosec)


def header(store: Any, stamp_ns: int, frame_id: str) -> Any:
    """A std_msgs/Header. stamp_ns: nanoseconds."""
    kinds = store.types
    seconds, nanos = divmod(stamp_ns, SECOND)
    return kinds["std_msgs/msg/Header"](kinds["builtin_interfaces/msg/Time"](seconds, nanos), frame_id)


def detections_message(payload: Mapping[str, Any], head: Any, layout: Layout = "new") -> Any:
    """A vision_msgs/Detection2DArray of the objects in a task's payload: classes by name, boxes by centre and size in
    pixels, and a track's id. head: the header, which each detection has too."""
    kinds = types(layout).types
    of = {name.rpartition("/")[2]: kind for name, kind in kinds.items() if name.startswith("vision_msgs/")}
    pose = _no_pose(kinds)
    found = []
    for entry in payload.get("objects", ()):
        left, top, right, bottom = entry["box"]
        x, y, size = (left + right) / 2, (top + bottom) / 2, (right - left, bottom - top)
        what = entry.get("label", entry.get("text", ""))         # a covered face has neither, and no score
        label, score, track = str(what), float(entry.get("score", 1.0)), str(entry.get("id", ""))
        if layout == "new":
            guess = of["ObjectHypothesisWithPose"](of["ObjectHypothesis"](label, score), pose)
            box = of["BoundingBox2D"](of["Pose2D"](of["Point2D"](x, y), 0.0), *size)
            found.append(of["Detection2D"](head, [guess], box, track))
        else:
            guess = of["ObjectHypothesisWithPose"](label, score, pose)
            box = of["BoundingBox2D"](kinds["geometry_msgs/msg/Pose2D"](x, y, 0.0), *size)
            found.append(of["Detection2D"](head, [guess], box, _no_image(kinds, head), bool(track), track))
    return of["Detection2DArray"](head, found)


def _no_pose(kinds: Mapping[str, Any]) -> Any:
    point = kinds["geometry_msgs/msg/Point"](0.0, 0.0, 0.0)
    turn = kinds["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
    return kinds["geometry_msgs/msg/PoseWithCovariance"](
        kinds["geometry_msgs/msg/Pose"](point, turn), np.zeros(36, np.float64))


def _no_image(kinds: Mapping[str, Any], head: Any) -> Any:
    return kinds["sensor_msgs/msg/Image"](head, 0, 0, "", 0, 0, np.empty(0, np.uint8))


def scan_message(
    angles: Sequence[float], ranges: Sequence[float], head: Any, *, most: float, layout: Layout = "new"
) -> Any:
    """A sensor_msgs/LaserScan of free space: how far one may go in each direction.

    angles: radians to the left of straight ahead, growing or falling. ranges: metres; what is not known is NaN, what is
    free as far as can be seen is infinite. most: metres that can be seen. ROS wants angles that grow by equal steps:
    others are made so, and a direction has the shortest way of those around it. Raises ValueError for fewer than two.
    """
    at, far = np.asarray(angles, np.float64), np.asarray(ranges, np.float32)
    if at.shape != far.shape or at.ndim != 1 or len(at) < 2 or not abs(at[-1] - at[0]) > 0:
        raise ValueError(f"as many ranges as angles, two at least; got {far.shape} and {at.shape}")
    if at[0] > at[-1]:
        at, far = at[::-1], far[::-1]
    even = np.linspace(at[0], at[-1], len(at))
    if not np.allclose(at, even, atol=1e-4):
        near = np.abs(at - even[:, None]) <= max(even[1] - even[0], float(np.diff(at).max()))
        at, far = even, np.where(near, far, np.inf).min(axis=1)
    kind = types(layout).types["sensor_msgs/msg/LaserScan"]
    return kind(head, float(at[0]), float(at[-1]), float(even[1] - even[0]), 0.0, 0.0, 0.0, float(most),
                np.ascontiguousarray(far), np.empty(0, np.float32))


def diagnostics_message(name: str, level: int, said: str, values: Mapping[str, Any], head: Any) -> Any:
    """A diagnostic_msgs/DiagnosticArray of one status. level: 0 well, 1 a warning, 2 an error, 3 nothing is heard."""
    kinds = types().types
    pairs = [kinds["diagnostic_msgs/msg/KeyValue"](key, str(value)) for key, value in values.items()]
    status = kinds["diagnostic_msgs/msg/DiagnosticStatus"](level, name, said, "", pairs)
    return kinds["diagnostic_msgs/msg/DiagnosticArray"](head, [status])


def packed(message: Any, layout: Layout = "new") -> bytes:
    """A message as CDR, which `rclpy` publishes as it is."""
    return bytes(types(layout).serialize_cdr(message, message.__msgtype__))


class Definitions:
    """Reads messages of one type by the definition that a bag has of it.

    name: the type, such as `sensor_msgs/msg/Image`. text: its definition with those that it needs, as `ros2msg` writes
    it; empty for ROS's own. encoding: `cdr`, or `ros1`. Raises SourceError for a definition that cannot be read.
    """

    def __init__(self, name: str, text: str = "", encoding: str = _CDR) -> None:
        self.name, self.encoding = name, encoding
        self.store = _registered(name, text) if text else types()

    def message(self, data: bytes) -> Any:
        """A message. Raises SourceError for bytes that are not one."""
        try:
            if self.encoding == _CDR:
                return self.store.deserialize_cdr(data, self.name)
            return self.store.deserialize_ros1(data, self.name)
        except Exception as error:               # rosbags raises whatever its generated code trips over
            raise SourceError(f"a message is no {self.name} ({type(error).__name__}: {error}).") from error

    def picture(self, data: bytes) -> tuple[int, Carried]:
        """The stamp in nanoseconds and the picture of a message of one of `PICTURES`. Raises SourceError."""
        return self.carried(self.message(data))

    def carried(self, made: Any) -> tuple[int, Carried]:
        """The same of a message that was read."""
        try:
            if self.name == "foxglove_msgs/msg/CompressedVideo":
                if made.format not in CODECS:
                    raise SourceError(f"a film as {made.format!r} cannot be read; there are: {', '.join(CODECS)}.")
                stamp = int(made.timestamp.sec) * SECOND + int(made.timestamp.nanosec)
                return stamp, Packet(str(made.format), bytes(made.data))
            if self.name == "sensor_msgs/msg/CompressedImage":
                return stamp_of(made.header), Compressed(str(made.format), bytes(made.data))
            return stamp_of(made.header), Raw(
                int(made.width), int(made.height), str(made.encoding), int(made.step), bytes(made.data),
                bool(made.is_bigendian))
        except (AttributeError, TypeError, ValueError) as error:
            raise SourceError(f"a message is no {self.name} ({type(error).__name__}: {error}).") from error


def _registered(name: str, text: str) -> Any:
    """A store of the types of a bag that `name` is made of: of foreign text, so that its names are looked at before
    code is made of them, and its constants are left out."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    if len(text) > _MAX_DEFINITION:
        raise SourceError(f"the definition of {name} has {len(text)} characters; {_MAX_DEFINITION} are allowed.")
    try:
        known = get_types_from_msg(text, name)
        needed: dict[str, Any] = {}
        asked = [name]
        while asked:
            one = asked.pop()
            if one in needed:
                continue
            _, fields = known[one] if one in known else get_typestore(Stores.ROS2_HUMBLE).fielddefs[one]
            if not all(part.isidentifier() for part in (*one.split("/"), *(field for field, _ in fields))):
                raise ValueError(f"{one!r} has names that are none")
            needed[one] = ([], fields)
            asked += [kind for _, field in fields for kind in _names_in(field)]
        store = get_typestore(Stores.EMPTY)
        store.register(needed)
    except Exception as error:                   # the parser's own, and whatever odd text makes it trip over
        said = f"{type(error).__name__}: {error}"
        raise SourceError(f"the bag's definition of {name} cannot be read ({said}).") from error
    return store


def _names_in(field: Any) -> list[str]:
    """The type that a field is of, where it is no plain one."""
    from rosbags.interfaces import Nodetype

    kind, value = field
    if kind == Nodetype.NAME:
        return [value]
    return _names_in(value[0]) if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE) else []

