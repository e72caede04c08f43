"""A correlation filter for place and one for scale: DSST (Danelljan et al. 2014), after MOSSE (Bolme 2010).

Both filters are ridge regressions in the Fourier domain: numerator and denominator are running means,
the response is a sharp peak where the object is, and how sharp says whether it is there at all.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vision.state import State, put_back, snapshot
from vision.tracking.follow import Target, checked_box, grey_of
from vision.types import Floats, Image

Array = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]

SIDE = 64                    # samples of the search window on a side
PADDING = 2.0                # the window in box sides
RATE = 0.06                  # share of a new frame in the running means
RIDGE = 0.01
SCALES = 17                  # sizes that are tried, each STEP larger than the one before
STEP = 1.03
SCALE_SIDE = 16              # samples of a scale's patch on a side
LOST = 6.0                   # peak to sidelobe ratio below which it is lost (Bolme: about 7 is an occlusion)
FOUND = 8.0                  # ... and from which it is found again

_REMEMBERED = (
    "_centre", "_size", "_scale", "_lost_since", "_top", "_bottom", "_scale_top", "_scale_bottom",
)


class CorrelationFilter:
    """Follows one object at several hundred frames a second; see `vision.tracking.follow`.

    The score is the peak to sidelobe ratio over 20, at most 1. While the object is lost the filters do
    not learn, and windows around the last place are searched, further out the longer it is gone.
    """

    def __init__(self, image: Image, box: Floats, time: float = 0.0) -> None:
        left, top, right, bottom = checked_box(box, image).tolist()
        self._centre = np.array([(left + right) / 2, (top + bottom) / 2])
        self._size = np.array([right - left, bottom - top])                  # at scale 1
        self._scale, self._lost_since = 1.0, -1.0
        self._window = np.outer(np.hanning(SIDE), np.hanning(SIDE)).astype(np.float32)
        across = np.exp(-0.5 * ((np.arange(SIDE) - SIDE // 2) / (SIDE / PADDING / 16)) ** 2)
        self._wanted = np.fft.rfft2(np.fft.ifftshift(np.outer(across, across))).astype(np.complex64)
        steps = np.arange(SCALES) - SCALES // 2
        self._factors = STEP ** steps.astype(np.float64)
        wanted = np.exp(-0.5 * (steps / (SCALES / 8)) ** 2)
        self._taper = np.hanning(SCALES + 2)[1:-1].astype(np.float32)
        self._wanted_scale = np.fft.fft(np.fft.ifftshift(wanted)).astype(np.complex64)
        grey = grey_of(image)
        place, scale = self._place(grey, self._centre), self._scales(grey)
        self._top, self._bottom = np.conj(self._wanted) * place, _energy(place)
        self._scale_top, self._scale_bottom = np.conj(self._wanted_scale) * scale, _energy(scale)

    def __call__(self, image: Image, time: float) -> Target:
        """Where it is now."""
        grey = grey_of(image)
        best, ratio = self._search(grey, time)
        score = min(1.0, ratio / 20)
        if ratio < (FOUND if self._lost_since >= 0 else LOST):
            self._lost_since = time if self._lost_since < 0 else self._lost_since
            return Target(self._box(), score, True)
        self._lost_since, self._centre = -1.0, best
        self._rescale(self._scales(grey), grey.shape)
        place, scale = self._place(grey, self._centre), self._scales(grey)
        self._top += RATE * (np.conj(self._wanted) * place - self._top)
        self._bottom += RATE * (_energy(place) - self._bottom)
        self._scale_top += RATE * (np.conj(self._wanted_scale) * scale - self._scale_top)
        self._scale_bottom += RATE * (_energy(scale) - self._scale_bottom)
        return Target(self._box(), score, False)

    def state(self) -> State:
        """See `vision.tracking.follow.Follower`."""
        return snapshot(self, _REMEMBERED)

    def restore(self, state: State) -> None:
        """See `vision.tracking.follow.Follower`."""
        put_back(self, _REMEMBERED, state)

    def _search(self, grey: npt.NDArray[np.uint8], time: float) -> tuple[npt.NDArray[np.float64], float]:
        """The best centre and its peak to sidelobe ratio."""
        centres = [self._centre]
        if self._lost_since >= 0:
            reach = min(3, 1 + int((time - self._lost_since) * 2))           # windows outwards, two a second
            steps = np.arange(-reach, reach + 1) * 0.5 * PADDING
            height, width = grey.shape
            size = self._size * self._scale
            around = [self._centre + size * [x, y] for y in steps for x in steps]
            centres = [c for c in around if 0 <= c[0] < width and 0 <= c[1] < height] or centres
        found = [self._respond(grey, centre) for centre in centres]
        return max(found, key=lambda pair: pair[1])

    def _respond(
        self, grey: npt.NDArray[np.uint8], centre: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], float]:
        place = self._place(grey, centre)
        response = np.fft.irfft2((np.conj(self._top) * place).sum(0) / (self._bottom + RIDGE), (SIDE, SIDE))
        row, column = np.unravel_index(int(np.argmax(response)), response.shape)
        around = np.roll(response, (SIDE // 2 - row, SIDE // 2 - column), (0, 1))
        peak, aside = float(around[SIDE // 2, SIDE // 2]), around.copy()
        aside[SIDE // 2 - 5 : SIDE // 2 + 6, SIDE // 2 - 5 : SIDE // 2 + 6] = np.nan
        ratio = (peak - float(np.nanmean(aside))) / (float(np.nanstd(aside)) + 1e-9)
        shift = np.array([_fine(around[SIDE // 2, SIDE // 2 - 1 : SIDE // 2 + 2]) + column,
                          _fine(around[SIDE // 2 - 1 : SIDE // 2 + 2, SIDE // 2]) + row])
        shift = (shift + SIDE / 2) % SIDE - SIDE / 2
        return centre + shift * (PADDING / SIDE) * self._size * self._scale, ratio

    def _rescale(self, scales: Spectrum, shape: tuple[int, ...]) -> None:
        response = np.fft.ifft((np.conj(self._scale_top) * scales).sum(0) / (self._scale_bottom + RIDGE)).real
        factor = self._factors[(int(np.argmax(response)) + SCALES // 2) % SCALES]
        smallest = 8 / float(self._size.min())
        largest = max(smallest, float((np.array(shape[::-1]) / self._size).min()))
        self._scale = float(np.clip(self._scale * factor, smallest, largest))

    def _place(self, grey: npt.NDArray[np.uint8], centre: npt.NDArray[np.float64]) -> Spectrum:
        """The search window's features, in the Fourier domain: (5, SIDE, SIDE/2+1)."""
        patch = _cut(grey, centre, self._size * self._scale * PADDING, SIDE)
        return np.fft.rfft2(_features(patch) * self._window).astype(np.complex64)

    def _scales(self, grey: npt.NDArray[np.uint8]) -> Spectrum:
        """The object's samples at every size, in the Fourier domain over sizes: (F, SCALES)."""
        sizes = self._size * self._scale
        patches = np.array([_cut(grey, self._centre, sizes * f, SCALE_SIDE).ravel() for f in self._factors])
        patches -= patches.mean(axis=1, keepdims=True)
        patches /= patches.std(axis=1, keepdims=True) + 1e-3
        return np.fft.fft(patches.T * self._taper, axis=1).astype(np.complex64)

    def _box(self) -> Floats:
        half = self._size * self._scale / 2
        return np.concatenate([self._centre - half, self._centre + half]).astype(np.float32)


def _energy(spectrum: Spectrum) -> Array:
    return np.asarray((spectrum.real ** 2 + spectrum.imag ** 2).sum(0), np.float32)


def _fine(three: npt.NDArray[np.floating]) -> float:
    """Where a parabola through three samples has its top, from the middle one."""
    left, middle, right = three.tolist()
    bend = left - 2 * middle + right
    return 0.0 if bend >= 0 else float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))


def _cut(
    grey: npt.NDArray[np.uint8], centre: npt.NDArray[np.float64], size: npt.NDArray[np.float64], side: int
) -> Array:
    """`size` pixels around `centre` as (side,side) float32 in 0..1, border pixels repeated."""
    to_frame = np.array([[size[0] / side, 0, centre[0] - size[0] / 2 + size[0] / side / 2 - 0.5],
                         [0, size[1] / side, centre[1] - size[1] / 2 + size[1] / side / 2 - 0.5]])
    patch = cv2.warpAffine(grey, to_frame, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                           borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(patch / np.float32(255), np.float32)


def _features(patch: Array) -> Array:
    """(5,S,S): the patch's logarithm with mean 0 and deviation 1, and its gradients to four sides."""
    grey = cv2.log(1 + 255 * patch)
    grey = (grey - grey.mean()) / (grey.std() + 1e-3)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(grey, cv2.CV_32F, 0, 1) / 8
    sides = [np.maximum(g, 0) for g in (dx, -dx, dy, -dy)]
    return np.array([grey, *sides], np.float32)
