"""Pictures out of messages and results into them, against values worked out by hand."""

from __future__ import annotations

import base64
import json
from typing import Any

import cv2
import numpy as np
import pytest

from vision.errors import SourceError
from vision.messages import foxglove, ros
from vision.messages.annexb import is_key, unit_types
from vision.messages.pictures import Compressed, Raw, check_compressed, raw_picture, to_raw

STAMP = 1_700_000_000_123_456_789
RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (4, 6, 3), np.uint8)


def raw(encoding: str, pixels: np.ndarray, pad: int = 0, big: bool = False) -> Raw:
    rows = pixels.reshape(len(pixels), -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, pad)), constant_values=9)
    return Raw(pixels.shape[1], pixels.shape[0], encoding, padded.shape[1], padded.tobytes(), big)


@pytest.mark.parametrize("pad", [0, 5])
@pytest.mark.parametrize(("encoding", "pixels"), [
    ("bgr8", PICTURE), ("rgb8", PICTURE[..., ::-1].copy()), ("8UC3", PICTURE),
    ("bgra8", np.dstack([PICTURE, PICTURE[..., :1]])), ("rgba8", np.dstack([PICTURE[..., ::-1], PICTURE[..., :1]])),
])
def test_colours_are_what_they_were(encoding: str, pixels: np.ndarray, pad: int) -> None:
    assert np.array_equal(raw_picture(raw(encoding, pixels, pad), "x", 100), PICTURE)


def test_greys_of_eight_and_sixteen_bits() -> None:
    grey = PICTURE[..., 0].copy()
    wide = grey.astype(np.uint16) * 256 + 77
    for one in (raw("mono8", grey), raw("mono16", wide.astype("<u2")), raw("mono16", wide.astype(">u2"), big=True)):
        assert np.array_equal(raw_picture(one, "x", 100), np.dstack([grey] * 3))


def test_a_bayer_pattern_is_read_by_its_first_row() -> None:
    """A picture that is red alone has values where RGGB has red: the even rows' even columns."""
    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[::2, ::2] = 200
    inner = raw_picture(raw("bayer_rggb8", mosaic), "x", 100)[2:6, 2:6]
    assert (inner[..., 2] == 200).all()
    assert (inner[..., :2] == 0).all()


def test_yuv_of_two_bytes_a_pixel() -> None:
    grey = np.full((2, 4), 128, np.uint8)
    for encoding, order in (("yuv422", (128, 90)), ("yuv422_yuy2", (90, 128))):
        packed = np.tile(np.array(order, np.uint8), (2, 4)).reshape(2, 4, 2)
        found = raw_picture(raw(encoding, packed), "x", 100)
        assert found.shape == (*grey.shape, 3)
        assert np.ptp(found.astype(int)) <= 2, "grey"
        assert abs(int(found.mean()) - round((90 - 16) * 255 / 219)) <= 2


@pytest.mark.parametrize(("one", "said"), [
    (Raw(2, 2, "16UC1", 4, bytes(8)), "depth picture"),
    (Raw(2, 2, "32FC1", 8, bytes(16)), "depth picture"),
    (Raw(2, 2, "nv99", 4, bytes(8)), "has the encoding 'nv99'. There are: .*bgr8"),
    (Raw(2, 2, "rgb8", 6, bytes(11)), "11 bytes, too few for 2x2 rgb8"),
    (Raw(2, 2, "rgb8", 5, bytes(12)), "too few"),
    (Raw(0, 2, "rgb8", 0, b""), "0x2 pixels"),
    (Raw(11, 10, "mono8", 11, bytes(110)), "has 11x10 pixels; 1 to 100 are allowed"),
    (Raw(3, 2, "yuv422", 6, bytes(12)), "no size of yuv422"),
])
def test_pixels_that_are_none(one: Raw, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        raw_picture(one, "x", 100)


def test_compressed_depth_is_told_apart() -> None:
    check_compressed(Compressed("bgr8; jpeg compressed bgr8", b""), "x")
    for form in ("16UC1; compressedDepth png", "32FC1; compressedDepth", "compressed_depth"):
        with pytest.raises(SourceError, match="compressed depth"):
            check_compressed(Compressed(form, b""), "x")


def test_units_of_annex_b() -> None:
    """Start codes of three and of four bytes; H.265 has its type elsewhere."""
    assert list(unit_types(b"\0\0\0\1\x67\0\0\1\x68\0\0\0\1\x65abc")) == [7, 8, 5]
    assert is_key(b"\0\0\1\x65a")
    assert not is_key(b"\0\0\1\x41a")
    assert is_key(b"\0\0\1" + bytes([19 << 1, 1]), "h265")
    assert not is_key(b"\0\0\1" + bytes([1 << 1, 1]), "h265")
    assert list(unit_types(b"")) == list(unit_types(b"\0\0\1")) == []


@pytest.mark.parametrize("layout", ["new", "old"])
def test_detections_in_both_layouts(layout: ros.Layout) -> None:
    store = ros.types(layout)
    head = ros.header(store, STAMP, "front")
    objects = [{"label": "car", "class_id": 2, "score": 0.75, "box": [10.0, 20.0, 30.0, 60.0], "id": 7},
               {"label": "person", "class_id": 0, "score": 0.5, "box": [0.0, 0.0, 5.0, 9.0]}]
    message = ros.detections_message({"objects": objects}, head, layout)
    back = store.deserialize_cdr(ros.packed(message, layout), "vision_msgs/msg/Detection2DArray")
    assert ros.stamp_of(back.header) == STAMP
    car, person = back.detections
    if layout == "new":
        assert (car.results[0].hypothesis.class_id, car.results[0].hypothesis.score) == ("car", 0.75)
        assert (car.bbox.center.position.x, car.bbox.center.position.y) == (20.0, 40.0)
        assert (car.id, person.id) == ("7", "")
    else:
        assert (car.results[0].id, car.results[0].score) == ("car", 0.75)
        assert (car.bbox.center.x, car.bbox.center.y) == (20.0, 40.0)
        assert (car.is_tracking, car.tracking_id, person.is_tracking) == (True, "7", False)
    assert (car.bbox.size_x, car.bbox.size_y, car.header.frame_id) == (20.0, 40.0, "front")


def test_the_layouts_are_those_of_the_package() -> None:
    """The new one's bytes, laid out by hand: CDR, little endian, aligned from behind its four bytes."""
    head = ros.header(ros.types(), 3 * 10**9 + 5, "f")
    message = ros.detections_message({"objects": [{"label": "a", "score": 0.5, "box": [0, 0, 2, 4]}]}, head)
    header = (3).to_bytes(4, "little") + (5).to_bytes(4, "little") + (2).to_bytes(4, "little") + b"f\0"
    body = ros.packed(message)[4:]
    assert body.startswith(header + b"\0\0" + (1).to_bytes(4, "little") + header)
    assert np.array([1.0, 2.0, 0.0, 2.0, 4.0]).tobytes() in body


def test_free_space_as_a_scan() -> None:
    head = ros.header(ros.types(), STAMP, "base")
    message = ros.scan_message([0.2, 0.1, 0.0, -0.1, -0.2], [1, 2, np.inf, np.nan, 5], head, most=30.0)
    back = ros.types().deserialize_cdr(ros.packed(message), "sensor_msgs/msg/LaserScan")
    assert np.allclose([back.angle_min, back.angle_max, back.angle_increment], [-0.2, 0.2, 0.1])
    assert np.array_equal(back.ranges, np.float32([5, np.nan, np.inf, 2, 1]), equal_nan=True), "angles that grow"
    assert (back.range_min, back.range_max) == (0.0, 30.0)
    for angles, ranges in (([0, 1], [1, 1, 1]), ([0], [1]), ([0, 0], [1, 1])):
        with pytest.raises(ValueError, match="as many"):
            ros.scan_message(angles, ranges, head, most=1.0)


def test_directions_of_a_cameras_columns_are_made_even() -> None:
    """Between two of them the shorter way is told, so that nothing is free which was not."""
    angles = np.arctan(np.linspace(-1, 1, 9))
    ranges = [5, 6, np.inf, 8, 2, 8, np.nan, 6, 5]
    message = ros.scan_message(angles, ranges, ros.header(ros.types(), STAMP, "base"), most=30.0)
    even, step = np.linspace(angles[0], angles[-1], 9), np.diff(angles).max()
    for angle, found in zip(even, message.ranges, strict=True):
        around = [r for a, r in zip(angles, ranges, strict=True) if abs(a - angle) <= step]
        assert np.array_equal(found, np.float32(np.min(around)), equal_nan=True)
    for angle, wanted in zip(angles, ranges, strict=True):               # what is in the way is nowhere lost
        nearest = message.ranges[np.abs(even - angle).argmin()]
        assert np.isnan(nearest) or np.isnan(wanted) or nearest <= wanted
    assert np.allclose([message.angle_min, message.angle_max], [angles[0], angles[-1]])


def image_message(**changed: Any) -> bytes:
    kinds = ros.types().types
    values = {"height": 4, "width": 6, "encoding": "bgr8", "is_bigendian": 0, "step": 18, "data": PICTURE.ravel()}
    return ros.packed(kinds["sensor_msgs/msg/Image"](ros.header(ros.types(), STAMP, "cam"), **{**values, **changed}))


def test_an_image_of_ros_by_the_definition_of_a_bag() -> None:
    text, _ = ros.types().generate_msgdef("sensor_msgs/msg/Image", ros_version=2)
    for defined in (ros.Definitions("sensor_msgs/msg/Image"), ros.Definitions("sensor_msgs/msg/Image", text)):
        stamp, carried = defined.picture(image_message())
        assert stamp == STAMP
        assert np.array_equal(raw_picture(carried, "x", 100), PICTURE)


def test_a_definition_with_more_fields_is_believed() -> None:
    """A fork of ROS whose header has a number before the stamp: bytes lie elsewhere, and are found."""
    text = ("std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\nuint8 is_bigendian\nuint32 step\n"
            f"uint8[] data\n{'=' * 80}\nMSG: std_msgs/Header\n"
            "uint32 seq\nbuiltin_interfaces/Time stamp\nstring frame_id\n")
    defined = ros.Definitions("sensor_msgs/msg/Image", text)
    kinds = defined.store.types
    head = kinds["std_msgs/msg/Header"](5, kinds["builtin_interfaces/msg/Time"](3, 4), "f")
    made = kinds["sensor_msgs/msg/Image"](head, 4, 6, "bgr8", 0, 18, PICTURE.ravel())
    data = bytes(defined.store.serialize_cdr(made, "sensor_msgs/msg/Image"))
    assert defined.picture(data)[0] == 3 * 10**9 + 4
    with pytest.raises(SourceError, match="is no sensor_msgs/msg/Image"):
        ros.Definitions("sensor_msgs/msg/Image").picture(data)


@pytest.mark.parametrize("text", [
    "uint8", "nothing/There x", "uint8 x\nuint8 __import__('os').system('id')", "=" * 70_000,
    "uint8[] data\n" + "=" * 80 + "\nMSG: a/b'); import os; os.system('touch /tmp/never')\nuint8 x\n",
])
def test_a_definition_that_is_none(text: str) -> None:
    with pytest.raises(SourceError, match="definition of"):
        ros.Definitions("sensor_msgs/msg/Image", text)


def test_constants_of_a_definition_are_left_out() -> None:
    text = ("string EVIL=\"'+__import__('os').getcwd()+'\"\nuint8 BIG=7\n"
            "std_msgs/Header header\nstring format\nuint8[] data")
    store = ros.Definitions("sensor_msgs/msg/CompressedImage", text).store
    assert store.fielddefs["sensor_msgs/msg/CompressedImage"][0] == []
    assert not hasattr(store.types["sensor_msgs/msg/CompressedImage"], "EVIL")


def test_a_definition_without_a_picture() -> None:
    defined = ros.Definitions("sensor_msgs/msg/Image", "uint8 x")
    with pytest.raises(SourceError, match="is no sensor_msgs/msg/Image"):
        defined.picture(b"\0\1\0\0\5")


@pytest.mark.parametrize("data", [b"", b"\0\1\0\0", b"\0\1\0\0" + bytes(7), b"\xff" * 40, image_message()[:-3]])
def test_bytes_that_are_no_message(data: bytes) -> None:
    with pytest.raises(SourceError, match="is no sensor_msgs/msg/Image"):
        ros.Definitions("sensor_msgs/msg/Image").picture(data)


def test_foxgloves_pictures_as_json() -> None:
    jpeg = cv2.imencode(".jpg", PICTURE)[1].tobytes()
    text = {"timestamp": {"sec": 1, "nsec": 2}, "format": "jpeg", "data": base64.b64encode(jpeg).decode()}
    stamp, carried = foxglove.picture_in("foxglove.CompressedImage", "json", json.dumps(text).encode())
    assert (stamp, carried) == (1_000_000_002, Compressed("jpeg", jpeg))
    for wrong in (b"{}", b"[]", b"1", b'{"data": "?"}', b'{"data": 5}', b"[" * 100_000, b"\xff"):
        with pytest.raises(SourceError):
            foxglove.picture_in("foxglove.CompressedImage", "json", wrong)
    with pytest.raises(SourceError, match="'av1' cannot be read"):
        foxglove.picture_in("foxglove.CompressedVideo", "json", json.dumps({**text, "format": "av1"}).encode())


def test_foxgloves_raw_image() -> None:
    kind = foxglove.message_type("foxglove.RawImage")
    made = kind(width=6, height=4, encoding="bgr8", step=18, data=PICTURE.tobytes())
    _, carried = foxglove.picture_in("foxglove.RawImage", "protobuf", made.SerializeToString())
    assert np.array_equal(raw_picture(carried, "x", 100), PICTURE)
    assert carried[:5] == to_raw(PICTURE)[:5]
    with pytest.raises(SourceError, match=r"is no foxglove.RawImage"):
        foxglove.picture_in("foxglove.RawImage", "protobuf", b"\xff\xff\xff")
    with pytest.raises(SourceError, match="protobuf or JSON; got 'cbor'"):
        foxglove.picture_in("foxglove.RawImage", "cbor", b"")
