"""Small recordings of robots to begin fuzzing with: MCAP and SQLite, with a picture or two of 12x8 pixels."""

from __future__ import annotations

import sqlite3
import tempfile
from functools import cache
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from mcap.writer import CompressionType, Writer

from vision.messages import foxglove, ros
from vision.sinks.h264 import Packets

STAMP = 1_700_000_000_123_456_789
PICTURE = np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8)


@cache
def image_message() -> bytes:
    """A sensor_msgs/Image as CDR."""
    kind = ros.types().types["sensor_msgs/msg/Image"]
    head = ros.header(ros.types(), STAMP, "cam")
    return ros.packed(kind(head, 8, 12, "bgr8", 0, 36, PICTURE.ravel()))


@cache
def definition(name: str = "sensor_msgs/msg/Image") -> str:
    """A type's definition, with those that it needs."""
    text, _ = ros.types().generate_msgdef(name, ros_version=2)
    return str(text)


@cache
def json_message() -> bytes:
    """A foxglove.CompressedImage as JSON."""
    import base64
    import json

    data = base64.b64encode(cv2.imencode(".png", PICTURE)[1].tobytes()).decode()
    return json.dumps({"timestamp": {"sec": 1, "nsec": 2}, "frame_id": "cam", "format": "png", "data": data}).encode()


@cache
def mcap(kind: str, compression: CompressionType = CompressionType.NONE, index: bool = True) -> bytes:
    """A file with two messages, without checksums: a fuzzer gets past them. kind: `film`, `ros` or `json`."""
    out = BytesIO()
    writer = Writer(out, chunk_size=200, compression=compression, enable_crcs=False, use_chunking=index)
    writer.start()
    if kind == "film":
        packets = Packets()
        found = [*packets.put(PICTURE, STAMP), *packets.put(PICTURE, STAMP + 10**8), *packets.end()]
        data = [(stamp, foxglove.video_message(packet, stamp, "cam")) for stamp, packet in found]
        name, encoding, words = "foxglove.CompressedVideo", "protobuf", foxglove.schema("foxglove.CompressedVideo")
    elif kind == "ros":
        data = [(STAMP + i, image_message()) for i in range(2)]
        name, encoding, words = "sensor_msgs/msg/Image", "cdr", definition().encode()
    else:
        data = [(STAMP + i, json_message()) for i in range(2)]
        name, encoding, words = "foxglove.CompressedImage", "json", b"{}"
    schema = writer.register_schema(name, {"cdr": "ros2msg", "json": "jsonschema"}.get(encoding, encoding), words)
    channel = writer.register_channel("/cam", encoding, schema, {"clock": "film"} if kind == "film" else {})
    for stamp, message in data:
        writer.add_message(channel, stamp, message, stamp)
    writer.finish()
    return out.getvalue()


@cache
def db3() -> bytes:
    """A bag in SQLite with two messages."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.db3")
        base = sqlite3.connect(path)
        base.execute("PRAGMA page_size = 512")
        base.execute("CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT)")
        base.execute("CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)")
        base.execute("INSERT INTO topics VALUES (1, '/cam', 'sensor_msgs/msg/Image', 'cdr')")
        for i in range(2):
            base.execute("INSERT INTO messages VALUES (?, 1, ?, ?)", (i + 1, STAMP + i, image_message()))
        base.commit()
        base.close()
        return path.read_bytes()
