"""Foxglove's messages as protobuf: film, and annotations that its viewer draws over it; and pictures out of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from vision.drawing import colour
from vision.errors import MissingExtra, SourceError
from vision.messages.annexb import CODECS
from vision.messages.pictures import Carried, Compressed, Packet, Raw

if TYPE_CHECKING:
    from vision.view import View

PICTURES = ("foxglove.CompressedVideo", "foxglove.CompressedImage", "foxglove.RawImage")
SECOND = 1_000_000_000
_POINTS, _LINE_LOOP = 1, 2                       # foxglove.PointsAnnotation.Type
_FONT = 14.0                                     # pixels


@cache
def message_type(name: str) -> Any:
    """A class of protobuf by its name, such as `foxglove.ImageAnnotations`. Raises MissingExtra."""
    short = name.removeprefix("foxglove.")
    try:
        return getattr(import_module(f"foxglove_schemas_protobuf.{short}_pb2"), short)
    except ImportError:
        raise MissingExtra("foxglove-schemas-protobuf", "robot", "Foxglove's messages") from None


def schema(name: str) -> bytes:
    """What an MCAP file says of a type: its file descriptor and those that it needs, as a `FileDescriptorSet`."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    files = FileDescriptorSet()
    seen: set[str] = set()

    def add(file: Any) -> None:
        if file.name not in seen:
            seen.add(file.name)
            for one in file.dependencies:
                add(one)
            file.CopyToProto(files.file.add())

    add(message_type(name).DESCRIPTOR.file)
    return bytes(files.SerializeToString(deterministic=True))


def video_message(packet: bytes, stamp_ns: int, frame_id: str) -> bytes:
    """A foxglove.CompressedVideo of one frame of H.264, as Annex B has it."""
    kind = message_type("foxglove.CompressedVideo")
    return bytes(kind(timestamp=_time(stamp_ns), data=packet, format="h264", frame_id=frame_id).SerializeToString())


def annotations_message(payloads: Iterable[Mapping[str, Any]], stamp_ns: int, view: View | None = None) -> bytes:
    """A foxglove.ImageAnnotations of all objects of some payloads of a record, in pixels of the frame or of a `view` of
    it: the box of each with its name and score, and its points."""
    across, down = (1.0, 1.0) if view is None else view.scale
    right_by, down_by = (0.0, 0.0) if view is None else view.offset
    points: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    for entry in (entry for payload in payloads for entry in payload.get("objects", ())):
        blue, green, red = colour(entry.get("id") or entry.get("class_id", 0))
        tint = {"r": red / 255, "g": green / 255, "b": blue / 255, "a": 1.0}
        if len(entry.get("box", ())) == 4:
            left, top, right, bottom = entry["box"]
            left, right = left * across + right_by, right * across + right_by
            top, bottom = top * down + down_by, bottom * down + down_by
            corners = [{"x": left, "y": top}, {"x": right, "y": top}, {"x": right, "y": bottom},
                       {"x": left, "y": bottom}]
            points.append({"type": _LINE_LOOP, "points": corners, "outline_color": tint, "thickness": 2.0})
            texts.append({"position": {"x": left, "y": top - 4}, "text": _words(entry), "font_size": _FONT,
                          "text_color": tint})
        if entry.get("points"):
            named = [{"x": x * across + right_by, "y": y * down + down_by} for x, y, *_ in entry["points"]]
            points.append({"type": _POINTS, "points": named, "outline_color": tint, "thickness": 3.0})
    kind = message_type("foxglove.ImageAnnotations")
    return bytes(kind(timestamp=_time(stamp_ns), points=points, texts=texts).SerializeToString())


def _words(entry: Mapping[str, Any]) -> str:
    parts = [str(entry["id"])] if entry.get("id") else []
    parts += [str(entry.get("label", ""))]
    parts += [f"{entry['score']:.2f}"] if "score" in entry else []
    return " ".join(parts)


def _time(stamp_ns: int) -> dict[str, int]:
    seconds, nanos = divmod(stamp_ns, SECOND)
    return {"seconds": seconds, "nanos": nanos}


def picture_in(name: str, encoding: str, data: bytes) -> tuple[int, Carried]:
    """The stamp in nanoseconds and the picture of a message.

    name: its type, one of `PICTURES`. encoding: `protobuf` or `json`. data: the message. Raises SourceError for another
    encoding and a message that is not one."""
    if encoding == "json":
        return _picture_of(name, _from_json(data))
    if encoding != "protobuf":
        raise SourceError(f"{name} is read as protobuf or JSON; got {encoding!r}.")
    from google.protobuf.message import DecodeError

    try:
        made = message_type(name).FromString(data)
    except DecodeError as error:
        raise SourceError(f"a message is no {name} ({error}).") from error
    stamp = made.timestamp.seconds * SECOND + made.timestamp.nanos
    values = {field: getattr(made, field) for field in ("data", "format", "width", "height", "encoding", "step")
              if hasattr(made, field)}
    return _picture_of(name, {**values, "stamp_ns": stamp})


def _from_json(data: bytes) -> dict[str, Any]:
    """The fields of a message in JSON, whose bytes are base64 and whose stamp is `{"sec", "nsec"}`."""
    try:
        values = json.loads(data)
        stamp = values.get("timestamp", {})
        values["stamp_ns"] = int(stamp.get("sec", 0)) * SECOND + int(stamp.get("nsec", 0))
        values["data"] = base64.b64decode(values["data"], validate=True)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError) as error:
        raise SourceError(f"a message is not the JSON that it should be ({type(error).__name__}).") from error
    return dict(values)


def _picture_of(name: str, values: Mapping[str, Any]) -> tuple[int, Carried]:
    stamp, data = values["stamp_ns"], values["data"]
    try:
        if name == "foxglove.RawImage":
            width, height = int(values["width"]), int(values["height"])
            return stamp, Raw(width, height, str(values["encoding"]), int(values.get("step", 0)), data)
        form = str(values["format"])
    except (LookupError, ValueError, TypeError, OverflowError) as error:
        raise SourceError(f"a message is no {name} ({type(error).__name__}: {error}).") from error
    if name == "foxglove.CompressedImage":
        return stamp, Compressed(form, data)
    if form not in CODECS:
        raise SourceError(f"a film as {form!r} cannot be read; there are: {', '.join(CODECS)}.")
    return stamp, Packet(form, data)
