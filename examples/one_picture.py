"""A model alone, on the first picture of a source: python examples/one_picture.py PICTURE"""

import sys

import cv2

from vision import Detector, draw, read

image = next(read(sys.argv[1])).image
with Detector.load() as detector:
    found = detector(image, min_score=0.4)
    for row in found:
        print(detector.names[int(row.labels[0])], f"{row.scores[0]:.2f}", row.boxes[0])
    cv2.imwrite("drawn.png", draw(found, image, detector.names))
