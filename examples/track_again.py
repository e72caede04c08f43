"""Detect once, track twice: the records keep the weak boxes too. python examples/track_again.py VIDEO"""

import sys

from vision import Detect, JsonLines, Run, Track, read

with Run(read(sys.argv[1]), [Detect(), Track()], [JsonLines("first.jsonl")]) as run:
    run.finish()
again = [Detect(stored="first.jsonl"), Track(tracker="ocsort")]
with Run(read(sys.argv[1]), again, [JsonLines("ocsort.jsonl")]) as run:
    print(run.finish())
