"""A sink of your own: the frames with somebody in them, as pictures. python examples/own_sink.py VIDEO"""

import sys

import cv2

from vision import Detect, Run, Sink, read


class People(Sink):
    needs = frozenset({"detect"})

    def take(self, item):
        if len(item["detect"]):
            cv2.imwrite(f"person-{item.frame.index:06d}.jpg", item.drawn)


with Run(read(sys.argv[1]), Detect(classes=["person"]), [People()]) as run:
    print(run.finish())
