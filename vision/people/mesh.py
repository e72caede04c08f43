"""The face mesh: what its points are called, and where they lie on a face in millimetres.

478 points: the 468 of the face mesh (Kartynnik et al. 2019) and five for each iris. Right and left
are the subject's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MESH, POINTS = 468, 478

# each runs along its line; the contour clockwise as seen, from the middle of the forehead
CONTOUR = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
RIGHT_BROW, LEFT_BROW = (70, 63, 105, 66, 107), (336, 296, 334, 293, 300)       # upper edges
# lower lid from the outer to the inner corner, then the upper lid likewise
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398)
RIGHT_IRIS, LEFT_IRIS = tuple(range(468, 473)), tuple(range(473, 478))          # centre, then the rim
NOSE = (168, 6, 197, 195, 5, 4, 1, 98, 97, 2, 326, 327)          # bridge to tip, then below the nostrils
LIPS_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
LIPS_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)

GROUPS: dict[str, tuple[int, ...]] = {
    "contour": CONTOUR,
    "right_brow": RIGHT_BROW,
    "left_brow": LEFT_BROW,
    "right_eye": RIGHT_EYE,
    "left_eye": LEFT_EYE,
    "right_iris": RIGHT_IRIS,
    "left_iris": LEFT_IRIS,
    "nose": NOSE,
    "lips": LIPS_OUTER + LIPS_INNER,
}

OUTLINES: tuple[tuple[tuple[int, ...], bool], ...] = (      # what is drawn: points, and whether they close
    (CONTOUR, True), (RIGHT_BROW, False), (LEFT_BROW, False), (NOSE[:7], False), (NOSE[7:], False),
    *(((*eye[:9], *eye[:8:-1]), True) for eye in (RIGHT_EYE, LEFT_EYE)),
    (LIPS_OUTER, True), (LIPS_INNER, True),
)

# The iBUG 68 points (Sagonas et al. 2013). Where that scheme spaces points evenly along a line, the
# vertex nearest to that place on the metric model is taken; no labelled picture had a say.
IBUG68 = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,     # 0-16 jaw
    *RIGHT_BROW, *LEFT_BROW,                                                              # 17-26
    168, 197, 5, 1, 98, 97, 2, 326, 327,                                                  # 27-35 nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,                            # 36-47 eyes
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91,                                   # 48-59 lips
    78, 81, 13, 311, 308, 402, 14, 178,                                                   # 60-67 inner
)

# Points that move little with the expression, on MediaPipe's canonical face (Apache-2.0), mm: x to
# the subject's left, y down, z away from the viewer: a camera's axes for a face that looks into it.
_MIDDLE = {
    10: (-82.62, -44.82), 151: (-65.45, -50.27), 9: (-48.86, -53.85), 168: (-32.71, -52.36),
    6: (-24.73, -57.89), 197: (-17.28, -63.17), 5: (-3.66, -72.43), 4: (4.63, -75.87),
    1: (11.27, -74.76), 2: (20.89, -60.58),
}
_PAIRS = {                      # right point, left point: x of the left one, y, z
    (33, 263): (44.46, -26.64, -31.73), (133, 362): (18.56, -25.85, -37.58),
    (127, 356): (77.43, -23.65, 20.05), (54, 284): (62.79, -66.15, -14.26),
    (67, 297): (35.24, -80.06, -37.29), (98, 327): (14.06, 17.14, -52.41),
    (129, 358): (17.86, 9.78, -48.50), (117, 346): (52.59, -9.46, -29.74),
    (119, 348): (33.01, -8.62, -38.73),
}
RIGID: tuple[int, ...] = (*_MIDDLE, *(i for pair in _PAIRS for i in pair))
METRIC: npt.NDArray[np.float64] = np.array(             # (len(RIGID),3) mm
    [(0.0, y, z) for y, z in _MIDDLE.values()]
    + [(sign * x, y, z) for x, y, z in _PAIRS.values() for sign in (-1, 1)]
)
IRIS_MM = 11.7                  # the diameter of a human iris, within about half a millimetre
