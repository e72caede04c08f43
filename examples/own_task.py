"""A task of your own in twenty lines: how bright each frame is. python examples/own_task.py VIDEO"""

import sys

from vision import Detect, JsonLines, Run, Scores, Spec, Step, read, spec
from vision.steps import Ready


@spec.spec
class MeasureBrightness(Spec):
    """Say how bright a frame is, 0 to 1."""

    task, result = "brightness", Scores

    def open(self, info, model):
        return BrightnessStep(self.key)


class BrightnessStep(Step):
    names = ("bright",)

    def begin(self, frame, sofar):
        return Ready(Scores([frame.image.mean() / 255]))


with Run(read(sys.argv[1]), [Detect(), MeasureBrightness()], [JsonLines("bright.jsonl")]) as run:
    print(run.finish())
