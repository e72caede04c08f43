"""Follow me: a person is chosen, followed, found again by the looks, and velocity commands come out, 20 a second.

    python -m apps.robot.follow 0                               # the nearest person; commands as JSON lines
    python -m apps.robot.follow 0 --by hand --publish zenoh://robot/cmd_vel

A command is {"forward": m/s, "turn": rad/s, left positive}. It is a stop while the newest frame is older than
`--max-latency`, while the person was not seen for half a second, and at the end, whatever ends it.
"""

import json
import sys
from contextlib import ExitStack
from signal import SIGTERM, default_int_handler, signal
from threading import Thread
from time import monotonic, sleep

import typer

from vision import Detect, EstimatePose, Run, Track, read
from vision.errors import VisionError
from vision.messages.wire import Address, Sender
from vision.tracking.leader import Leader
from vision.tracking.pilot import Pilot


def watch(source: str, leader: Leader, pilot: Pilot, failed: list[Exception]) -> None:
    """Tell the pilot where the leader is, frame by frame. failed: takes what goes wrong."""
    plan = [Detect(), Track(), *([EstimatePose()] if leader.by == "hand" else [])]
    try:
        with Run(read(source, realtime=True), plan, max_latency=pilot.max_latency) as run:
            for item in run:
                tracks, person = item["track"], list(item.names("track")).index("person")
                people = tracks[tracks.labels == person]
                box = leader.box(people, item.frame.image, item.results.get("pose"))
                pilot.see(box, item.frame.size_wh, item.frame.captured)
    except Exception as error:
        failed.append(error)


def main(source: str, by: str = "nearest", fov: float = 60, max_latency: float = 0.3, publish: str = "") -> None:
    """Follow a person in front of SOURCE, a camera. by: nearest or hand. fov: degrees across. publish: zenoh://KEY."""
    pilot, leader, failed = Pilot(fov, max_latency), Leader("hand" if by == "hand" else "nearest"), list[Exception]()
    sender = Sender(Address.parse(publish)) if publish else None
    watching = Thread(target=watch, args=(source, leader, pilot, failed), daemon=True)

    def say(forward: float, turn: float) -> None:
        line = json.dumps({"forward": forward, "turn": turn})
        sender.put(line.encode(), "application/json") if sender else print(line, flush=True)

    with ExitStack() as ending:
        ending.callback(sender.close if sender else lambda: None)
        ending.callback(say, 0.0, 0.0)                   # before it: whatever ends this, the robot stops
        watching.start()
        while watching.is_alive():
            say(*pilot.command(monotonic()))
            sleep(1 / pilot.rate)
    if failed:
        raise failed[0]


if __name__ == "__main__":
    signal(SIGTERM, default_int_handler)                 # as Ctrl-C
    try:
        typer.run(main)
    except VisionError as error:
        sys.exit(f"{type(error).__name__}: {error}")
