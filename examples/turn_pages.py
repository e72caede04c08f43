"""Turn pages with a swipe of the hand before a camera: python examples/turn_pages.py VIDEO [PICTURES] (or a 0)"""

import sys

import cv2

from vision import FindHands, Run, read

pages = [cv2.imread(path) for path in sys.argv[2:]]
page, turn = 0, {"left": 1, "right": -1}                 # as seen in the picture; a mirror turns them about
with Run(read(sys.argv[1]), FindHands(max_hands=1)) as run:
    for item in run:
        for event in item["hands"].events:
            if event.kind == "swipe" and event.what in turn:
                page = max(0, page + turn[event.what])
                print(f"{event.time:.2f} s: swipe to the {event.what}, page {page + 1}")
        if pages:
            cv2.imshow("pages", pages[page % len(pages)])
            cv2.waitKey(1)
    print(run.report)
