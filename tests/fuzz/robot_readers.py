"""The readers of what robots record and say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import robot_seeds
from mcap.writer import CompressionType
from rule import Reader

from vision.io.source import open_reader
from vision.messages.foxglove import picture_in
from vision.messages.ros import Definitions

PIXELS = 1 << 20                 # that a picture may have here


def defined(value: Any) -> None:
    """What a bag's definition of a type gives: names alone, that code may be made of."""
    for name, (constants, fields) in value.store.fielddefs.items():
        assert constants == []
        assert all(part.isidentifier() for part in name.split("/"))
        assert all(field.isidentifier() for field, _ in fields)


def carried(value: Any) -> None:
    """What a message of a picture gives."""
    stamp, picture = value
    assert type(stamp) is int
    assert type(picture.data) is bytes


def readers(frames: Callable[[Any], None]) -> dict[str, Reader]:
    """The readers. frames: looks at what a source gives."""
    return {
        "mcap": Reader(
            "r.mcap", lambda path: open_reader(str(path), max_pixels=PIXELS), frames,
            (robot_seeds.mcap("film"), robot_seeds.mcap("ros"), robot_seeds.mcap("json"),
             robot_seeds.mcap("film", index=False), robot_seeds.mcap("ros", CompressionType.ZSTD),
             robot_seeds.mcap("json", CompressionType.LZ4)),
        ),
        "db3": Reader(
            "r.db3", lambda path: open_reader(str(path), max_pixels=PIXELS), frames, (robot_seeds.db3(),),
        ),
        "ros-definition": Reader(
            "d.msg", lambda path: Definitions("sensor_msgs/msg/Image", path.read_text(errors="replace") or " "),
            defined,
            (robot_seeds.definition().encode(), b"std_msgs/Header header\nuint8[<=4] data\nstring A=\"x\"\n"),
        ),
        "ros-image": Reader(
            "i.cdr", lambda path: Definitions("sensor_msgs/msg/Image").picture(path.read_bytes()), carried,
            (robot_seeds.image_message(),),
        ),
        "foxglove-json": Reader(
            "i.json", lambda path: picture_in("foxglove.CompressedImage", "json", path.read_bytes()), carried,
            (robot_seeds.json_message(),),
        ),
    }
