"""An RTSP camera on loopback: GStreamer's server, run by the system's Python, which has its bindings.

    /usr/bin/python3 rtsp_server.py PORT WIDTH HEIGHT

It prints `ready`, and sends a bright picture with a moving ball, 25 a second, until it is ended.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PIPELINE = (
    "( videotestsrc is-live=true pattern=ball background-color=0xffd0d0d0 foreground-color=0xff2060c0"
    " ! video/x-raw,width={1},height={2},framerate=25/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=12 ! rtph264pay name=pay0 pt=96 )"
)

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(PIPELINE.format(*sys.argv[1:]))
factory.set_shared(True)
server.get_mount_points().add_factory("/camera", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
