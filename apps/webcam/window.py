"""A camera in a window, with keys that change what is looked for while it runs. Copy it, and make it yours.

    python -m apps.webcam.window            # camera 0
    python -m apps.webcam.window street.mp4 # a file plays a camera
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

import cv2
import numpy as np

from vision import Item, JsonLines, Sink, Spec, VideoFile
from vision.errors import VisionError
from vision.record import line
from vision.sinks.show import Window, captioned
from vision.steps.plan import handed, plan_of
from vision.watch import Watch

Planned = Callable[[Sequence[str]], list[Spec]]              # a plan of tasks by name
TASKS = {"d": "detect", "t": "track", "i": "instances", "s": "segment", "f": "faces", "p": "pose", "a": "action",
         "c": "classify"}
HELP = ("d detect  t track  i instances  s segment  f faces  p pose  a action  c classify",
        "+ and a letter: together   space pause   m mirror   r record   w write a picture   q quit")


class Webcam:
    """What the window shows and what its keys do.

    watch: the camera. planned: a plan of tasks by name. folder: where recordings and pictures go.
    """

    def __init__(self, watch: Watch, planned: Planned, folder: Path, mirror: bool) -> None:
        self.watch, self.planned, self.folder, self.mirror = watch, planned, folder, mirror
        self.item: Item | None = None
        self.paused, self.together, self.said = False, False, ""
        self.film: Path | None = None                        # that is recorded
        self.recording: list[Sink] = []                      # what writes it and its records, from its first item on
        self.delays: deque[float] = deque(maxlen=120)        # seconds from the camera to the screen
        self.shown: deque[float] = deque(maxlen=60)          # when

    def press(self, key: str) -> None:
        """A key: the letter of a task shows it alone; after a plus it adds it, or takes it away."""
        together, self.together, self.said = self.together, key in "+=,", ""
        if key in TASKS:
            try:
                self.watch.switch(self.together_with(TASKS[key]) if together else self.planned([TASKS[key]]))
            except VisionError as error:                 # a plan that is not possible: what runs goes on
                self.said = str(error)
        elif self.together:
            self.said = "+ and a letter: with what runs, or without it"
        elif key == " ":
            self.paused = not self.paused
        elif key == "m":
            self.mirror = not self.mirror
        elif key == "r":
            self.record()
        elif key == "w" and self.item is not None:
            path = self.folder / f"webcam-{datetime.now():%Y%m%d-%H%M%S-%f}.png"
            cv2.imwrite(str(path), self.item.drawn)
            path.with_suffix(".json").write_text(line(self.item.record), encoding="utf-8")
            self.said = f"written: {path}"

    def together_with(self, task: str) -> list[Spec]:
        """What was asked for last, as it is, and a task with what it needs; or that without the task and what needs it,
        where something is left."""
        now = list(self.watch.wanted)                    # which may not run yet: keys come faster than models
        gone = {one.key for one in now if one.task == task}
        if not gone:
            keys = {one.key for one in now}
            more = handed(self.planned([*(one.task for one in now), task]), [task])
            return [*now, *(one for one in more if one.key not in keys)]
        return [one for one in now if one.task != task and not gone & set(one.needs)] or now

    def record(self) -> None:
        """Begin a recording, a film and its records, with the next item; or end the one that goes on."""
        if self.film is None:
            self.film = self.folder / f"webcam-{datetime.now():%Y%m%d-%H%M%S}.mp4"
            return
        sinks, path = self.recording, self.film
        self.recording, self.film = [], None
        for sink in sinks:
            sink.end({}, True)
            sink.close()
        self.said = f"written: {path} and its records" if sinks else "nothing came, and nothing was recorded"

    def take(self, item: Item) -> None:
        """Show an item and, while recording, write it down."""
        self.item = item
        if self.film is not None and not self.recording:
            specs = VideoFile(self.film), JsonLines(self.film.with_suffix(".jsonl"))
            for one in specs:                                # its time begins here; the source's sound would not fit
                sink = one.open(self.watch.plan)
                sink.begin(replace(self.watch.info, start=item.frame.time, whole=False))
                self.recording.append(sink)
        for sink in self.recording:
            sink.take(item)
        self.delays.append(monotonic() - item.frame.captured)
        self.shown.append(monotonic())

    def picture(self) -> np.ndarray:
        """What the window shows: (H,W,3) uint8 BGR."""
        image = np.full((480, 640, 3), 48, np.uint8)
        if self.item is not None:
            image = self.item.mirrored if self.mirror else self.item.drawn
        return captioned(image, (self.line(), self.watch.status or self.said or HELP[0], HELP[1]))

    def line(self) -> str:
        """Plan, models, back end, frames a second, delay, frames skipped."""
        item, watch = self.item, self.watch
        if item is None or len(self.shown) < 2:
            return watch.name
        about: list[dict[str, Any]] = [item.about(key) for key in item]
        models = " ".join(dict.fromkeys(f"{one.get('model')} {one.get('backend', '')}".strip() for one in about))
        rate = (len(self.shown) - 1) / max(1e-3, self.shown[-1] - self.shown[0])
        half, most = np.percentile(self.delays, [50, 95]) * 1000
        state = "  paused" if self.paused else "  recording" if self.film else ""
        return (f"{' + '.join(item)}   {models}   {rate:.0f}/s   {half:.0f} ms, 95 %: {most:.0f}   "
                f"{watch.skipped} skipped{state}")


def show(watch: Watch, planned: Planned, folder: Path, mirror: bool) -> None:
    """Show a camera until the user closes the window. Raises SinkError where there is no display."""
    with Window("vision webcam") as window:
        webcam = Webcam(watch, planned, folder, mirror)
        drawn = 0.0
        try:
            while not window.closed:
                item = watch.newest(0.01)
                if item is not None and not webcam.paused:
                    webcam.take(item)
                fresh = item is not None and not webcam.paused
                if fresh or monotonic() - drawn > 0.25:      # a state line lives on without a camera
                    window.show(webcam.picture())
                    drawn = monotonic()
                if key := window.key():
                    webcam.press(key)
                    drawn = 0.0
        finally:                                             # Ctrl-C ends it, too
            if webcam.film is not None:
                webcam.record()


def main() -> None:
    """Camera 0, or the source that is named."""
    try:
        with Watch(sys.argv[1] if len(sys.argv) > 1 else "0", plan_of(["track"])) as watch:
            show(watch, plan_of, Path(), mirror=True)
    except VisionError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
