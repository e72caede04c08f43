"""Who crosses the middle of the picture, and when: python examples/count.py VIDEO"""

import sys

from vision import Count, Detect, Events, Run, Track, read

source = read(sys.argv[1])
width, height = source.info.size_wh or (640, 480)
line = f"{width / 2},{height},{width / 2},0"
with Run(source, [Detect(), Track(), Count(line=(line,))], [Events("events.jsonl")]) as run:
    for item in run:
        for event in item["count"].events:
            print(f"track {event.track} went {event.side} at {event.time:.2f} s")
