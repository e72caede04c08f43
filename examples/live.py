"""The newest frame, and none that is older than 200 ms: python examples/live.py VIDEO (or read(0), a camera)"""

import sys

from vision import Detect, Run, Track, read

source = read(sys.argv[1], realtime=True)                 # a file that plays a camera
with Run(source, [Detect(), Track()], max_latency=0.2) as run:
    for item in run:
        print(item.frame.index, item["track"].ids.tolist())
    print(run.report)
