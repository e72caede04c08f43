"""A subspace that learns while it follows: IVT (Ross, Lim, Lin and Yang 2008).

The object's patches lie near a mean and a few eigenvectors. Particles are guesses of an affine frame
around it; each is weighed by how well the subspace explains the patch inside, and every few frames
the subspace, mean included, takes up the patches that were found and forgets a little of the old ones.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vision.state import State, put_back, snapshot
from vision.tracking.follow import Target, checked_box, grey_of, most_alike
from vision.types import Floats, Image

Array = npt.NDArray[np.floating]

SIDE = 32                    # pixels of a patch on a side
RANK = 16                    # eigenvectors
BATCH = 5                    # patches that are taken up at once
FORGET = 0.95                # what is left of the old patches' weight after a batch
PARTICLES = 400
NOISE = 0.25                 # summed squared error of a patch (samples in 0..1) at which a weight is 1/e
# standard deviations after 1/30 s: centre in box sizes, log scale, turn in radians, log aspect, skew
SPREAD = np.array([0.05, 0.05, 0.02, 0.01, 0.004, 0.002])
LOST = 0.25                  # usual error over this frame's, below which it is lost
AGAIN = 0.5                  # ... and from which it is found again
USUAL = 0.1                  # share of a new frame in the usual error
SMALLEST = np.log(8)         # of a box's side, in pixels; the largest is the frame's

_STEPS = ((np.arange(SIDE) + 0.5) / SIDE - 0.5).astype(np.float32)       # across a patch


def _plane(across: Array, down: Array, at: Array) -> Array:
    """across * u + down * v + at on the grid of each of N patches: (N*SIDE, SIDE) float32."""
    a, b, c = (values.astype(np.float32)[:, None, None] for values in (across, down, at))
    return np.asarray(a * _STEPS + (b * _STEPS[:, None] + c), np.float32).reshape(-1, SIDE)

_REMEMBERED = (
    "_width", "_height", "_best", "_particles", "_weights", "_batch", "_time", "_lost_since", "_usual",
)
_LEARNT = ("mean", "basis", "singular", "weight")


class Subspace:
    """A mean and an orthonormal basis of patches, updated by batches.

    mean (D,), basis (D,K) and its singular values (K,), weight: how many patches it stands for.
    """

    def __init__(self, patches: Array) -> None:
        """patches: (D,M), M at least 1."""
        self.mean: Array = np.zeros(len(patches))
        self.basis: Array = np.empty((len(patches), 0))
        self.singular: Array = np.empty(0)
        self.weight = 0.0
        self.update(patches)

    def update(self, patches: Array) -> None:
        """Take up (D,M) patches: the sequential Karhunen-Loeve transform with a mean that moves."""
        patches = patches.astype(np.float64)
        m, old = patches.shape[1], FORGET * self.weight
        mean = patches.mean(axis=1)
        shift = np.sqrt(old * m / (old + m)) * (mean - self.mean)
        known = FORGET * self.basis * self.singular                          # (D,K)
        columns = np.column_stack([known, patches - mean[:, None], shift])
        basis, singular, _ = np.linalg.svd(columns, full_matrices=False)
        kept = min(RANK, int((singular > 1e-6).sum()))
        self.mean = (old * self.mean + m * mean) / (old + m)
        self.basis, self.singular, self.weight = basis[:, :kept], singular[:kept], old + m

    def error(self, patches: Array) -> npt.NDArray[np.float64]:
        """(D,M) -> (M,): the squared length of what the subspace does not explain of each."""
        centred = patches - self.mean[:, None].astype(patches.dtype)
        known = self.basis.astype(patches.dtype).T @ centred              # (K,M)
        length = np.einsum("dm,dm->m", centred, centred) - np.einsum("km,km->m", known, known)
        return np.asarray(length, np.float64)

    def picture(self) -> Image:
        """The mean and the eigenvectors side by side, four times enlarged: (H,W,3) uint8 BGR."""
        tiles = [np.clip(self.mean, 0, 1)]
        for vector in self.basis.T:
            reach = float(np.abs(vector).max()) or 1.0
            tiles.append(vector / (2 * reach) + 0.5)
        tiles += [np.full(SIDE * SIDE, 0.5)] * (1 + RANK - len(tiles))
        grey = np.hstack([tile.reshape(SIDE, SIDE) for tile in tiles])
        small = np.rint(grey * 255).astype(np.uint8)
        large = cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
        return np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2BGR), np.uint8)


class Ivt:
    """Follows one object through changes of its look, size and turn; see `vision.tracking.follow`.

    The score is the error that the subspace usually leaves of the object, over the error that it leaves of
    the best patch of this frame, at most 1. While the object is lost nothing is learnt: half of the
    particles spread from where it was last, the other half from where the frame is most like the mean.
    """

    def __init__(self, image: Image, box: Floats, time: float = 0.0, seed: int = 0) -> None:
        left, top, right, bottom = checked_box(box, image).astype(np.float64).tolist()
        self._width, self._height = right - left, bottom - top
        self._random = np.random.default_rng(seed)
        start = [(left + right) / 2, (top + bottom) / 2, 0, 0, 0, 0]
        self._best = np.array(start)                    # cx, cy, log scale, turn, log aspect, skew
        self._particles = np.tile(self._best, (PARTICLES, 1))
        self._weights = np.full(PARTICLES, 1 / PARTICLES)
        self.subspace = Subspace(self._sample(grey_of(image), self._best[None]))
        self._batch: list[Array] = []
        self._time, self._lost_since, self._usual = time, -1.0, 0.0

    def __call__(self, image: Image, time: float) -> Target:
        """Where it is now."""
        grey = grey_of(image)
        self._move(max(time - self._time, 1e-3), grey)
        self._time = time
        patches = self._sample(grey, self._particles)                           # (D,N)
        error = self.subspace.error(patches)
        weights = np.exp(-(error - error.min()) / NOISE)
        self._weights = weights / weights.sum()
        n = int(np.argmin(error))
        least = float(error[n])
        self._usual = self._usual or least
        score = min(1.0, self._usual / max(least, 1e-9))
        lost = score < (AGAIN if self._lost_since >= 0 else LOST)
        if lost:
            self._lost_since = time if self._lost_since < 0 else self._lost_since
            return Target(self._box(), score, True)
        self._lost_since = -1.0
        self._usual += USUAL * (least - self._usual)
        self._best = self._particles[n].copy()
        self._batch.append(patches[:, n])
        if len(self._batch) == BATCH:
            self.subspace.update(np.column_stack(self._batch))
            self._batch.clear()
        return Target(self._box(), score, False)

    def state(self) -> State:
        """See `vision.tracking.follow.Follower`."""
        own = {"subspace": snapshot(self.subspace, _LEARNT), "random": self._random.bit_generator.state}
        return {**snapshot(self, _REMEMBERED), **own}

    def restore(self, state: State) -> None:
        """See `vision.tracking.follow.Follower`."""
        put_back(self, _REMEMBERED, state)
        put_back(self.subspace, _LEARNT, state["subspace"])
        self._random.bit_generator.state = state["random"]

    def _move(self, dt: float, grey: npt.NDArray[np.uint8]) -> None:
        """Draw particles by weight and let each take a random step; a lost object may be further away."""
        spread = SPREAD * np.sqrt(dt * 30)
        if self._lost_since < 0:
            self._particles = self._particles[self._random.choice(PARTICLES, PARTICLES, p=self._weights)]
        else:
            spread[:2] *= 1 + 4 * min(1.0, self._time + dt - self._lost_since)
            mean = np.rint(np.clip(self.subspace.mean, 0, 1) * 255).astype(np.uint8).reshape(SIDE, SIDE)
            there = most_alike(grey, mean, self._box())
            self._particles = np.tile(self._best, (PARTICLES, 1))
            self._particles[::2, :2] = (there[:2] + there[2:]) / 2
        step = self._random.standard_normal((PARTICLES, 6)) * spread
        step[:, :2] *= np.sqrt(self._width * self._height) * np.exp(self._best[2])
        self._particles = self._particles + step
        sides = np.log([self._width, self._height]) + self._particles[:, 4:5] * [0, 1]          # at scale 0
        smallest, largest = SMALLEST - sides.min(axis=1), np.log(grey.shape[::-1]) - sides
        self._particles[:, 2] = np.clip(self._particles[:, 2], smallest, np.maximum(smallest, largest.min(1)))

    def _sample(self, grey: npt.NDArray[np.uint8], states: Array) -> Array:
        """The patch inside each of N affine frames: (SIDE*SIDE, N) in 0..1, by one bilinear remap."""
        cx, cy, scale, turn, aspect, skew = states.T
        width, height = self._width * np.exp(scale), self._height * np.exp(scale + aspect)
        cos, sin = np.cos(turn), np.sin(turn)
        x = _plane(width * cos, height * (cos * skew - sin), cx - 0.5)
        y = _plane(width * sin, height * (sin * skew + cos), cy - 0.5)
        patches = cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(patches.reshape(len(states), -1).T / np.float32(255), np.float32)

    def _box(self) -> Floats:
        """The upright box around the affine frame's centre, with its sides."""
        centre, scale, aspect = self._best[:2], self._best[2], self._best[4]
        half = np.array([self._width, self._height * np.exp(aspect)]) * np.exp(scale) / 2
        return np.concatenate([centre - half, centre + half]).astype(np.float32)
