"""Four tasks on one decode: python examples/several_tasks.py VIDEO"""

import sys

from vision import Detect, FindFaces, Run, Segment, Track, VideoFile, read

plan = [Detect(), Track(), FindFaces(), Segment(every=5)]
with Run(read(sys.argv[1]), plan, [VideoFile("all.mp4")]) as run:
    for item in run:
        print(f"{item.frame.time:.2f} s: {len(item['track'])} tracks, {len(item['faces'])} faces", flush=True)
