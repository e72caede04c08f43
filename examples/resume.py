"""A run that may be killed and started again: it goes on where it was. python examples/resume.py VIDEO"""

import sys

from vision import Detect, JsonLines, Run, Track, VideoFile

sinks = [VideoFile("tracked.mp4"), JsonLines("tracked.jsonl")]
with Run(sys.argv[1], [Detect(), Track()], sinks, resume=True, checkpoint_every=5) as run:
    print(run.finish())
