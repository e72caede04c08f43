"""The node for ROS 2 against a small double of rclpy: it gets bytes as ROS would send them, and says bytes that are
read by `rosbags`."""

from __future__ import annotations

import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import robot_made
from robot_made import BEGAN, HEIGHT, WIDTH, frames, plan_of_square

from vision.messages import ros


class Publisher:
    """What a topic was told."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.heard = threading.Condition()

    def publish(self, message: bytes) -> None:
        assert type(message) is bytes, "rclpy publishes bytes as they are, and nothing else that is no message"
        with self.heard:
            self.said.append(message)
            self.heard.notify_all()

    def wait(self, count: int) -> list[bytes]:
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.said) >= count, 10)
            return list(self.said)


class Node:
    """The double of `rclpy.node.Node`."""

    given: ClassVar[dict[str, Any]] = {}

    def __init__(self, name: str) -> None:
        self.name, self.declared = name, dict[str, Any]()
        self.subscriptions: dict[str, Callable[[bytes], None]] = {}
        self.publishers: dict[str, Publisher] = {}
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.warnings: list[str] = []

    def declare_parameter(self, name: str, value: Any, descriptor: Any = None) -> Any:
        assert name not in self.declared
        self.declared[name] = self.given.get(name, value)
        return SimpleNamespace(value=self.declared[name])

    def create_subscription(self, kind: type, topic: str, callback: Any, qos: Any, *, raw: bool) -> None:
        assert (raw, qos) == (True, "sensor data")
        self.subscriptions[topic] = callback

    def create_publisher(self, kind: type, topic: str, depth: int) -> Publisher:
        return self.publishers.setdefault(topic, Publisher())

    def create_timer(self, period: float, callback: Callable[[], None]) -> None:
        self.timers.append((period, callback))

    def get_logger(self) -> Any:
        return SimpleNamespace(warning=self.warnings.append)

    def get_clock(self) -> Any:
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=BEGAN))

    def destroy_node(self) -> None:
        self.subscriptions.clear()


def doubles(layout: str) -> dict[str, ModuleType]:
    """The modules that the node imports where ROS is."""
    made: dict[str, dict[str, Any]] = {
        "rclpy": {"init": lambda: None, "spin": lambda node: None},
        "rclpy.node": {"Node": Node}, "rclpy.qos": {"qos_profile_sensor_data": "sensor data"},
        "rcl_interfaces": {}, "rcl_interfaces.msg": {"ParameterDescriptor": lambda dynamic_typing: None},
        "sensor_msgs": {}, "diagnostic_msgs": {}, "vision_msgs": {},
        "sensor_msgs.msg": {"Image": type("Image", (), {}), "CompressedImage": type("CompressedImage", (), {})},
        "diagnostic_msgs.msg": {"DiagnosticArray": type("DiagnosticArray", (), {})},
        "vision_msgs.msg": {
            "Detection2D": type("Detection2D", (), {"tracking_id": ""} if layout == "old" else {"id": ""}),
            "Detection2DArray": type("Detection2DArray", (), {}),
        },
    }
    modules = {}
    for name, values in made.items():
        modules[name] = ModuleType(name)
        vars(modules[name]).update(values)
    return modules


@pytest.fixture(params=["new", "old"])
def layout(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def node(layout: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, module in doubles(layout).items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "apps.robot.ros2_node", raising=False)
    module = importlib.import_module("apps.robot.ros2_node")
    monkeypatch.setattr(module, "plan_of", lambda names: plan_of_square()[: len(names)])
    monkeypatch.setattr(Node, "given", {"track.lost_after": 0.7})
    made = module.Vision()
    yield made
    made.destroy_node()


def image(index: int, frame_id: str = "front") -> bytes:
    picture = frames(index + 1)[index].image
    head = ros.header(ros.types(), BEGAN + index * 10**8, frame_id)
    kind = ros.types().types["sensor_msgs/msg/Image"]
    return ros.packed(kind(head, HEIGHT, WIDTH, "rgb8", 0, 3 * WIDTH, picture[..., ::-1].ravel()))


def test_a_picture_becomes_detections_with_its_header(node: Any, layout: Any) -> None:
    for i in range(3):
        node.subscriptions["image"](image(i))
        node.publishers["detections"].wait(i + 1)
    for i, data in enumerate(node.publishers["detections"].said):
        found = ros.types(layout).deserialize_cdr(data, "vision_msgs/msg/Detection2DArray")
        assert (ros.stamp_of(found.header), found.header.frame_id) == (BEGAN + i * 10**8, "front")
        if i == 2:                                       # a track by then
            (one,) = found.detections
            centre = one.bbox.center.position if layout == "new" else one.bbox.center
            assert (centre.x, centre.y, one.bbox.size_x) == pytest.approx((4 + 2 * i + 20, 60, 40), abs=1.5)
            assert (one.id if layout == "new" else one.tracking_id) == "1"


def test_a_stamp_that_goes_back_ends_nothing(node: Any, layout: Any) -> None:
    """As of a second publisher, or of a recording that begins again."""
    order = (1, 2, 3, 0, 4, 5, 6)
    for i, n in enumerate(order):
        node.subscriptions["image"](image(n))
        node.publishers["detections"].wait(i + 1)
    heads = [ros.types(layout).deserialize_cdr(data, "vision_msgs/msg/Detection2DArray").header
             for data in node.publishers["detections"].said]
    assert [ros.stamp_of(head) - BEGAN for head in heads] == [n * 10**8 for n in order]
    assert node.failed == ""


def test_compressed_pictures_are_heard_too(node: Any, layout: Any) -> None:
    kind = ros.types().types["sensor_msgs/msg/CompressedImage"]
    data = cv2.imencode(".png", frames(1)[0].image)[1].ravel()
    node.subscriptions["image/compressed"](ros.packed(kind(ros.header(ros.types(), BEGAN, "c"), "png", data)))
    (said,) = node.publishers["detections"].wait(1)
    assert ros.stamp_of(ros.types(layout).deserialize_cdr(said, "vision_msgs/msg/Detection2DArray").header) == BEGAN


def test_parameters_are_the_fields_of_the_steps(node: Any) -> None:
    assert {"do", "detect.min_score", "detect.every", "track.lost_after", "track.tracker"} <= node.declared.keys()
    assert not {"detect.key", "track.on"} & node.declared.keys()
    assert [one.lost_after for one in node.run.plan if one.key == "track"] == [0.7]


def test_what_is_no_picture_is_a_warning(node: Any) -> None:
    node.subscriptions["image"](b"\0\1\0\0nothing")
    kind = ros.types().types["sensor_msgs/msg/Image"]
    depth = kind(ros.header(ros.types(), BEGAN, "d"), 2, 2, "16UC1", 0, 4, np.zeros(8, np.uint8))
    node.subscriptions["image"](ros.packed(depth))
    assert ["is no sensor_msgs/msg/Image" in node.warnings[0], "depth picture" in node.warnings[1]] == [True, True]
    node.subscriptions["image"](image(0))
    node.publishers["detections"].wait(1)


def status(node: Any) -> tuple[int, str, dict[str, str]]:
    node.timers[0][1]()
    data = node.publishers["/diagnostics"].said[-1]
    (one,) = ros.types().deserialize_cdr(data, "diagnostic_msgs/msg/DiagnosticArray").status
    return one.level, one.message, {pair.key: pair.value for pair in one.values}


def test_diagnostics(node: Any) -> None:
    node.subscriptions["image"](image(0))
    node.publishers["detections"].wait(1)
    assert status(node)[:2] == (0, "pictures come")
    node.heard -= 2.5
    level, said, values = status(node)
    assert (level, said[:17], values["heard"]) == (1, "no picture for 2.", "1")
    node.failed = "EngineError: no"
    assert status(node)[:2] == (2, "EngineError: no")


def test_the_newest_picture_alone_waits(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is worked on, of those that come the newest stays."""
    busy = threading.Event()
    monkeypatch.setattr(robot_made, "FREE", busy)
    node.subscriptions["image"](image(0))
    time.sleep(0.1)
    for i in range(1, 20):
        node.subscriptions["image"](image(i))
    busy.set()
    said = node.publishers["detections"].wait(2)
    time.sleep(0.2)
    stamps = [ros.stamp_of(ros.types(node.layout).deserialize_cdr(data, "vision_msgs/msg/Detection2DArray").header)
              for data in node.publishers["detections"].said]
    assert stamps[0] == BEGAN
    assert stamps[-1] == BEGAN + 19 * 10**8
    assert len(stamps) <= 5
    assert len(said) >= 2
