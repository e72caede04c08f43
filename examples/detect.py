"""Boxes with names on a video, and a record a frame: python examples/detect.py VIDEO"""

import sys

from vision import Detect, JsonLines, Run, VideoFile, read

sinks = [VideoFile("detected.mp4"), JsonLines("detected.jsonl")]
with Run(read(sys.argv[1]), Detect(), sinks) as run:
    print(run.finish())
