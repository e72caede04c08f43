"""Follow me: a person is chosen, followed, found again by the looks, and velocity commands come out, 20 a second.

    python -m apps.robot.follow 0                               # the nearest person; commands as JSON lines
    python -m apps.robot.follow 0 --by hand --publish zenoh://robot/cmd_vel

A command is {"forward": m/s, "turn": rad/s, left positive}. It is a stop while the newest frame is older than
`--max-latency`, and while the person was not seen for half a second.
"""

import json
from threading import Thread
from time import monotonic, sleep

import typer

from vision import Detect, EstimatePose, Run, Track, read
from vision.messages.wire import Address, Sender
from vision.tracking.leader import Leader
from vision.tracking.pilot import Pilot


def watch(source: str, leader: Leader, pilot: Pilot) -> None:
    """Tell the pilot where the leader is, frame by frame."""
    plan = [Detect(), Track(), *([EstimatePose()] if leader.by == "hand" else [])]
    with Run(read(source, realtime=True), plan, max_latency=pilot.max_latency) as run:
        for item in run:
            tracks, person = item["track"], list(item.names("track")).index("person")
            people = tracks[tracks.labels == person]
            box = leader.box(people, item.frame.image, item.results.get("pose"))
            pilot.see(box, item.frame.size_wh, item.frame.captured)


def main(source: str, by: str = "nearest", fov: float = 60, max_latency: float = 0.3, publish: str = "") -> None:
    """Follow a person in front of SOURCE, a camera. by: nearest or hand. fov: degrees across. publish: zenoh://KEY."""
    pilot, leader = Pilot(fov, max_latency), Leader("hand" if by == "hand" else "nearest")
    sender = Sender(Address.parse(publish)) if publish else None
    watching = Thread(target=watch, args=(source, leader, pilot), daemon=True)
    watching.start()
    while watching.is_alive():
        line = json.dumps(dict(zip(("forward", "turn"), pilot.command(monotonic()), strict=True)))
        if sender is None:
            print(line, flush=True)
        else:
            sender.put(line.encode(), "application/json")
        sleep(1 / pilot.rate)


if __name__ == "__main__":
    typer.run(main)
