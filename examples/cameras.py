"""Cameras in a thread each, one engine for all: python examples/cameras.py VIDEO VIDEO ... (or 0 1)"""

import sys
from threading import Thread

from vision import Detect, Pool, Run, Track, read


def watch(camera: str, pool: Pool) -> None:
    """One camera's newest frames, none older than half a second, with tracks of its own."""
    source = read(camera, realtime=True)                  # a file plays a camera
    with Run(source, [Detect(), Track()], pool=pool, max_latency=0.5) as run:
        for item in run:
            print(f"{camera}: frame {item.frame.index}, tracks {item['track'].ids.tolist()}", flush=True)


with Pool() as pool:                                      # a model is loaded once; pictures that wait become batches
    threads = [Thread(target=watch, args=(camera, pool)) for camera in sys.argv[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
