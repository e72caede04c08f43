"""Follow me: a person is chosen, followed, found again by the looks, and velocity commands come out, 20 a second.

    python -m apps.robot.follow 0 --by hand --publish zenoh://robot/cmd_vel     # else: the nearest person; JSON lines

A command is {"forward": m/s, "turn": rad/s, left positive}. It is a stop while the newest frame is older than
`--max-latency`, while the person was not seen for half a second, and at the end, whatever ends it."""

import json
from signal import SIGTERM, default_int_handler, signal
from threading import Event, Thread
from time import monotonic

import typer

from vision import Detect, EstimatePose, Run, Track, VisionError, read
from vision.messages.wire import Address, Sender
from vision.tracking.leader import By, Leader
from vision.tracking.pilot import Pilot


def command(pilot: Pilot, sender: Sender | None, over: Event) -> None:
    """Say what to do until it is over, and then to stop."""
    last = False
    while not last:
        last = over.wait(1 / pilot.rate)
        line = json.dumps(dict(zip(("forward", "turn"), (0, 0) if last else pilot.command(monotonic()), strict=True)))
        sender.put(line.encode(), "application/json") if sender else print(line, flush=True)


def main(source: str, by: By = "nearest", fov: float = 60, max_latency: float = 0.3, publish: str = "") -> None:
    """Follow a person in front of SOURCE, a camera. by: nearest or hand. fov: degrees across. publish: zenoh://KEY."""
    pilot, leader, over = Pilot(fov, max_latency), Leader(by), Event()
    sender = Sender(Address.parse(publish)) if publish else None
    (commands := Thread(target=command, args=(pilot, sender, over))).start()     # whether pictures come or not
    try:
        plan = [Detect(), Track(), *([EstimatePose()] if leader.by == "hand" else [])]
        with Run(read(source, realtime=True), plan, max_latency=max_latency) as run:
            for item in run:
                tracks, person = item["track"], list(item.names("track")).index("person")
                box = leader.box(tracks[tracks.labels == person], item.frame.image, item.results.get("pose"))
                pilot.see(box, item.frame.size_wh, item.frame.captured)
    finally:                                             # whatever ends this, the robot stops
        over.set()
        commands.join()
        if sender:
            sender.close()


if __name__ == "__main__":
    signal(SIGTERM, default_int_handler)                 # as Ctrl-C
    try:
        typer.run(main)
    except VisionError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise SystemExit(error.exit_code) from None
