"""A ROS 2 node: pictures in, detections out, the newest alone. Where rclpy is:

    python -m apps.robot.ros2_node --ros-args -p do:=detect,track -p track.lost_after:=1.0 -r image:=/camera/image_raw

It hears `image` and `image/compressed`, and says `detections` (vision_msgs, in the layout that is installed) with the
picture's header, and `/diagnostics`. Its parameters are the fields of the steps that it is to do."""

from dataclasses import replace
from threading import Thread
from time import monotonic

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2D, Detection2DArray

from vision import Frame, Run, VisionError, latest
from vision.io.carried import Pictures
from vision.io.clock import Clock
from vision.io.prefetch import Channel
from vision.messages import ros
from vision.spec import options
from vision.steps.plan import plan_of

PIXELS, SILENT_S = 50_000_000, 1.0               # of a picture; after which silence is worth a warning


class Vision(Node):
    """Messages stay bytes at both ends (`raw`), so that no cv_bridge is needed."""

    def __init__(self) -> None:
        super().__init__("vision")
        kinds, pictures = ParameterDescriptor(dynamic_typing=True), Pictures("a picture", PIXELS, PIXELS)
        plan = plan_of(self.declare_parameter("do", "detect,track").value.split(","))
        for n, one in enumerate(plan):
            names = [field.name for field in options(type(one)) if field.name not in ("key", "on")]
            plan[n] = replace(one, **{
                name: self.declare_parameter(f"{one.key}.{name}", getattr(one, name), kinds).value for name in names})
        self.layout, self.clock = "old" if hasattr(Detection2D(), "tracking_id") else "new", Clock(1 / 30)
        self.frames, self.heard, self.count, self.failed = Channel[Frame](1, newest=True), monotonic(), 0, ""
        self.run = Run(latest(self.frames.receive()), plan)
        self.detections = self.create_publisher(Detection2DArray, "detections", 10)
        self.diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        for kind, topic in ((Image, "image"), (CompressedImage, "image/compressed")):
            reads = ros.Definitions(f"sensor_msgs/msg/{kind.__name__}")
            self.create_subscription(kind, topic, lambda data, reads=reads: self.hear(data, reads, pictures),
                                     qos_profile_sensor_data, raw=True)
        self.create_timer(1.0, self.tell)
        self.thread = Thread(target=self.work, daemon=True)
        self.thread.start()

    def hear(self, data: bytes, reads: ros.Definitions, pictures: Pictures) -> None:
        """A message: its frame takes the place of one that still waits."""
        try:
            message = reads.message(bytes(data))
            (stamp, image), *_ = pictures.put(*reads.carried(message))
        except VisionError as error:
            self.get_logger().warning(str(error))
            return
        self.frames.send(Frame(image, self.count, self.clock(stamp / 1e9), message.header.frame_id, stamp))
        self.heard, self.count = monotonic(), self.count + 1

    def work(self) -> None:
        """Publish what is found, until the node ends."""
        try:
            for item in self.run:
                head = ros.header(ros.types(self.layout), item.frame.stamp_ns, item.frame.source)
                found = next((item.record[key] for key in reversed(item.shown) if hasattr(item[key], "boxes")), {})
                self.detections.publish(ros.packed(ros.detections_message(found, head, self.layout), self.layout))
        except Exception as error:
            self.failed = f"{type(error).__name__}: {error}"

    def tell(self) -> None:
        """Say how it is going."""
        silent, head = monotonic() - self.heard, ros.header(ros.types(), self.get_clock().now().nanoseconds, "")
        level = 2 if self.failed else 1 if silent > SILENT_S else 0
        said = self.failed or (f"no picture for {silent:.1f} s" if level else "pictures come")
        values = {"heard": self.count, "done": self.run.report.written, "left out": self.frames.skipped}
        self.diagnostics.publish(ros.packed(ros.diagnostics_message("vision", level, said, values, head)))

    def destroy_node(self) -> None:
        """End the run, and the node."""
        self.frames.end(None)
        self.thread.join()
        self.run.close()
        super().destroy_node()


if __name__ == "__main__":
    rclpy.init()
    rclpy.spin(Vision())
