"""Many objects with lasting ids: detections and their time in, tracks out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vision.boxes import iou, xyxy_to_cxcywh
from vision.errors import DataError, UsageError
from vision.state import State, put_back, snapshot
from vision.tracking import motion
from vision.tracking.association import assign, heading
from vision.types import Detections, Tracks


@dataclass(frozen=True)
class Method:
    """How detections become tracks; the papers' trackers are settings of it (`METHODS`).

    Scores (0..1)
    strong: a detection from this score on is associated first.
    weak: one from this score on may continue a track that was seen in the last frame or up to `recent`
        seconds ago (ByteTrack, Zhang et al. 2022); one below is ignored.
    start: a track begins at this score.
    hits: a track is confirmed, and gets its id, when it was seen in so many frames in a row; at once in the
        first frame and after a gap of `lost_after`, as in the papers' own programs.

    Least overlap (IoU, 0..1) of a track's prediction
    min_iou: with a strong detection.
    min_iou_weak: with a weak one.
    min_iou_last: of a recent track's last observation, in place of its prediction, with a strong detection
        that is left over (OC-SORT's recovery, Cao et al. 2023); 1 switches it off.
    min_iou_other: of a recent track with a strong detection of another class, after all others were
        associated; 1 switches it off.

    Motion
    recent: seconds, see `weak`.
    reach: the longer a step, the further a track may be from where it is expected. What the strong
        detections leave over, and tracks that are not confirmed yet, are compared in boxes that are grown
        on each side by so many sizes a second (C-BIoU's cascade, Yang et al. 2023, on real time).
    robust: a box that is cut off by an occluder, or drawn around two people, must not lead a track astray.
        One that lies further than a standard deviation from where it is expected moves its track the less,
        the further it lies (Chang 2014, Robust Kalman filtering based on Mahalanobis distance), and so does
        a weak one (NSA, Du et al. 2021).
    heading: weight of the direction of motion in the association (OC-SORT).
    reupdate: when a lost track is seen again, its filter goes over the gap once more, along a straight line
        (OC-SORT).
    """

    strong: float = 0.5
    weak: float = 0.1
    start: float = 0.6
    hits: int = 2
    min_iou: float = 0.2
    min_iou_weak: float = 0.5
    min_iou_last: float = 1.0
    min_iou_other: float = 0.6
    recent: float = 0.5
    reach: float = 1.0
    robust: bool = True
    heading: float = 0.0
    reupdate: bool = False

    def at(self, min_score: float) -> Method:
        """This method for a model that decides at `min_score` (0..1): its own scores are meant for one that
        decides at 0.5, and their odds are multiplied by those of `min_score`."""
        def moved(score: float) -> float:
            return score * min_score / (score * min_score + (1 - score) * (1 - min_score))

        return replace(self, strong=moved(self.strong), weak=moved(self.weak), start=moved(self.start))


_PAPERS = Method(reach=0, robust=False)
METHODS = {
    "default": Method(),               # ByteTrack's two stages, C-BIoU's cascade, a robust filter
    "sort": replace(_PAPERS, weak=0.5, hits=3, min_iou=0.3),
    "bytetrack": _PAPERS,
    "ocsort": replace(
        _PAPERS, weak=0.5, hits=3, min_iou=0.3, min_iou_last=0.3, heading=0.2, reupdate=True
    ),
}

_LAG = 0.1                 # seconds: how far back a track's heading is taken from
_LOOKS_KEPT = 0.9          # share of a track's old appearance that stays when it is seen again
_SAME = 0.8                # IoU from which two boxes of different classes are of one object

_TRACK = np.dtype([
    ("id", np.int64),                  # 0 until it is confirmed
    ("label", np.int64),               # the winner of `_votes`
    ("called", np.int64),              # the label of the detection that it saw last
    ("score", np.float32),
    ("hits", np.int64),                # frames in a row, while unconfirmed
    ("missed", np.int64),              # frames since it was seen
    ("row", np.int64),                 # of the last frame's detections, the one that it saw
    ("born", np.float64),              # seconds
    ("seen", np.float64),
    ("state", np.float64, (5, 4)),     # as in `motion`
    ("saved", np.float64, (5, 4)),     # the state when it was last seen
    ("last", np.float64, 4),           # cx, cy, w, h when it was last seen
    ("lagged", np.float64, 2),         # where its centre was about _LAG before
])


_REMEMBERED = ("_now", "_next_id", "_tracks", "_looks", "_classes", "_votes")


class Tracker:
    """Gives objects ids that last; one instance a camera, nothing is shared between instances.

    `tracker(detections, time) -> Tracks` is called once a frame in the order of time, also with
    nothing detected. Ids count from 1 in each tracker, in the order of confirmation, without gaps.
    What comes back are the confirmed tracks that were seen in this frame, in the order of their ids,
    with their filtered boxes. The order of the detections does not matter.

    A detector may call one object a car in one frame and a truck in the next, or both in one. Boxes of
    different classes in one place are one object here, a track may go on under another class where the
    boxes overlap well (`Method.min_iou_other`), and its label is the class with the highest sum of scores
    over its life.

    method: a `Method`, or the name of one of `METHODS`.
    lost_after: seconds without a detection after which a track ends.
    min_score: 0..1, where the model that found the detections decides: its card's `min_score`. With a model
        whose scores run low, `Tracker(min_score=detector.card.min_score)` follows what the detector shows.
        Detections down to `tracker.method.weak` are of use.
    Raises UsageError for an unknown method, or a number outside its range.
    """

    def __init__(self, method: Method | str = "default", lost_after: float = 1.5, min_score: float = 0.5) -> None:
        if isinstance(method, str) and method not in METHODS:
            raise UsageError(f"no tracker {method!r}. Choose one of: {', '.join(METHODS)}.")
        if not lost_after > 0:
            raise UsageError(f"lost_after must be more than 0 seconds; got {lost_after}.")
        if not 0 < min_score < 1:
            raise UsageError(f"min_score must lie between 0 and 1; got {min_score}.")
        self.method = (METHODS[method] if isinstance(method, str) else method).at(min_score)
        self.lost_after = lost_after
        self.reset()

    def reset(self) -> None:
        """Forget every track; ids and time begin again."""
        self._now = -math.inf
        self._next_id = 1
        self._tracks = np.empty(0, _TRACK)
        self._looks = np.empty((0, 0), np.float32)               # (N,D), a row a track
        self._classes = np.empty(0, np.int64)                    # (K,) the labels so far, in order
        self._votes = np.empty((0, 0))                           # (N,K) sum of the scores for each of them

    def cut(self) -> None:
        """The next frame shows another scene: every track ends, ids and time go on."""
        self._keep(np.zeros(len(self._tracks), bool))

    def state(self) -> State:
        """All that it remembers: plain values and arrays, which later frames do not change."""
        return snapshot(self, _REMEMBERED)

    def restore(self, state: State) -> None:
        """Go on from the `state` of a tracker that was made with the same arguments."""
        put_back(self, _REMEMBERED, state)

    def __call__(
        self,
        detections: Detections,
        time: float,
        *,
        camera: npt.NDArray[np.float64] | None = None,
        looks: npt.NDArray[np.float32] | None = None,
    ) -> Tracks:
        """The tracks of the next frame.

        detections: with `weak` ones, where the detector was asked for them; `Tracks.rows` counts in both.
            Boxes without an area and scores below `Method.weak` are ignored.
        time: seconds; it may repeat, but it must not go back.
        camera: (2,3) affine from the last frame's pixels to this frame's (`vision.tracking.camera`).
        looks: (N,D) embeddings, one for each of `detections.everything`, of any length; with them a pair's
            overlap counts as much as its cosine (BoT-SORT, Aharon et al. 2022).
        Raises DataError where time goes back, or a box or score is not finite.
        """
        detections = detections.everything
        order = self._usable(detections)
        looks = self._unit(looks, len(detections))
        seen = detections[order]
        best, scores = self._objects(seen)
        if len(best) < len(seen):
            seen, order = seen[best], order[best]
        looks = looks[order]
        dt = self._advance(time, camera)
        measured = xyxy_to_cxcywh(seen.boxes).astype(np.float64)
        partner = self._associate(seen, measured, scores > 0, looks, dt)

        rows = np.flatnonzero(partner >= 0)
        columns = partner[rows]
        self._tracks["row"][rows] = order[columns]
        self._tracks["called"][rows] = seen.labels[columns]
        self._votes[rows] += scores[columns]
        self._see(rows, measured[columns], seen.scores[columns], looks[columns])
        free = seen.scores >= self.method.start
        free[columns] = False
        if free.any():
            hits = self.method.hits if dt > self.lost_after else 1
            self._begin(seen[free], measured[free], scores[free], looks[free], order[free], hits)
        if len(self._tracks):
            self._tracks["label"] = self._classes[self._votes.argmax(axis=1)]
        self._confirm()
        return self._visible()

    def _usable(self, detections: Detections) -> npt.NDArray[np.int64]:
        """The rows that count, in an order of their own: what came in which place must not matter."""
        boxes, scores = detections.boxes, detections.scores
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise DataError("a box or a score is not finite (NaN or infinity): look at the detector.")
        order = np.lexsort((detections.labels, *boxes.T, -scores))
        sides = boxes[:, 2:] - boxes[:, :2]
        good = (scores >= self.method.weak) & (sides > 0).all(axis=1)
        return np.asarray(order[good[order]], np.int64)

    def _objects(self, seen: Detections) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Boxes of different classes in one place are one object, and the best of them stands for it: their
        rows (M,), and the scores for each class of `_classes`, (M,K)."""
        new = sorted({*seen.labels.tolist()}.difference(self._classes.tolist()))
        if new:
            places = np.searchsorted(self._classes, new)
            self._classes = np.insert(self._classes, places, new)
            self._votes = np.insert(self._votes, places, 0, axis=1)
        best = of = np.arange(len(seen))                         # best first: which one stands for each
        if len(seen) and (seen.labels != seen.labels[0]).any():
            same = (iou(seen.boxes, seen.boxes) >= _SAME) & (seen.labels[:, None] != seen.labels)
            for i in np.flatnonzero(same.any(axis=1)):
                if of[i] == i:
                    of[i + 1 :][same[i, i + 1 :] & (of[i + 1 :] > i)] = i
            best, of = np.unique(of, return_inverse=True)
        classes = np.searchsorted(self._classes, seen.labels)
        scores = np.zeros((len(best), len(self._classes)))
        np.maximum.at(scores, (of, classes), np.maximum(seen.scores, 1e-9))
        return best, scores

    def _unit(self, looks: npt.NDArray[np.float32] | None, rows: int) -> npt.NDArray[np.float32]:
        """Embeddings of length 1: (rows,D), where D is 0 without any and else stays what it was."""
        if looks is None or not rows:
            looks = np.empty((rows, 0 if rows else self._looks.shape[1]), np.float32)
        if not len(self._tracks):
            self._looks = np.empty((0, looks.shape[1]), np.float32)
        if looks.shape != (rows, self._looks.shape[1]):
            raise DataError(f"looks must have shape ({rows},{self._looks.shape[1]}), as before; got {looks.shape}.")
        if not looks.size:
            return looks
        return np.asarray(looks / np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-9), np.float32)

    def _advance(self, time: float, camera: npt.NDArray[np.float64] | None) -> float:
        """Predict every track at `time`, and end those that were lost for too long; the seconds since
        the last frame (infinite in the first)."""
        if not math.isfinite(time) or time < self._now:
            raise DataError(
                f"time must be finite and must not go back: it was {self._now} s and is now {time} s. "
                "Call reset() before another video."
            )
        dt, self._now = time - self._now, time
        self._keep(time - self._tracks["seen"] <= self.lost_after + 1e-6)
        if len(self._tracks):
            motion.predict(self._tracks["state"], dt)
        if camera is not None:
            motion.warp(self._tracks["state"], camera)
            motion.warp(self._tracks["saved"], camera)
            for field in ("last", "lagged"):
                centre = self._tracks[field][:, :2]
                centre[:] = centre @ camera[:, :2].T + camera[:, 2]
        return dt

    def _associate(
        self, seen: Detections, measured: motion.Boxes, called: npt.NDArray[np.bool_],
        looks: npt.NDArray[np.float32], dt: float,
    ) -> npt.NDArray[np.int64]:
        """The detection of each track, or -1. called: (M,K), the classes of each."""
        method, tracks = self.method, self._tracks
        partner = np.full(len(tracks), -1)
        if not len(tracks) or not len(seen):
            return partner
        taken = np.zeros(len(seen), bool)
        strong = seen.scores >= method.strong
        known = tracks["id"] > 0
        alike = called.T[np.searchsorted(self._classes, tracks["label"])]                 # (N,M)
        overlap_any = iou(motion.corners(tracks["state"][:, 0]), seen.boxes)
        overlap = overlap_any * alike
        value = overlap.astype(np.float64)
        if method.heading:
            turn = heading(tracks["lagged"], tracks["last"][:, :2], measured[:, :2])
            value = np.maximum(value + method.heading * turn * seen.scores, 1e-6)
        if looks.shape[1]:
            value = np.maximum((value + self._looks @ looks.T) / 2, 1e-6)

        def stage(
            whose: npt.NDArray[np.bool_], which: npt.NDArray[np.bool_], overlap: npt.NDArray[np.float32],
            least: float, value: npt.NDArray[np.float64] | npt.NDArray[np.float32],
        ) -> None:
            rows, columns = np.flatnonzero(whose & (partner < 0)), np.flatnonzero(which & ~taken)
            if len(rows) and len(columns):
                cells = rows[:, None], columns
                a, b = assign(np.where(overlap[cells] >= least, value[cells], 0))
                partner[rows[a]] = columns[b]
                taken[columns[b]] = True

        stage(known, strong, overlap, method.min_iou, value)
        left, free = np.flatnonzero(partner < 0), np.flatnonzero(~taken)
        if not len(left) or not len(free):
            return partner
        cells, way = (left[:, None], free), method.reach * dt
        wider = iou(motion.corners(tracks["state"][left, 0], way), motion.corners(measured[free], way))
        overlap[cells] = wider * alike[cells]
        recent = known & ((tracks["missed"] == 0) | (self._now - tracks["seen"] <= method.recent + 1e-6))
        stage(recent, ~strong, overlap, method.min_iou_weak, overlap)
        if not taken[strong].all():
            if method.min_iou_last < 1 and (recent & (partner < 0)).any():
                again = iou(motion.corners(tracks["last"]), seen.boxes) * alike
                stage(recent, strong, again, method.min_iou_last, again)
            stage(known, strong, overlap, method.min_iou, overlap)
            stage(~known, strong, overlap, method.min_iou, overlap)
        if method.min_iou_other < 1 and not alike.all():
            overlap[cells] = wider * called.T[np.searchsorted(self._classes, tracks["called"][left])][:, free]
            stage(recent, np.ones(len(seen), bool), overlap, method.min_iou_weak, overlap)
            for whose in (recent, ~known):
                stage(whose, strong, overlap_any, method.min_iou_other, overlap_any)
        return partner

    def _see(
        self, rows: npt.NDArray[np.int64], measured: motion.Boxes, scores: npt.NDArray[np.float32],
        looks: npt.NDArray[np.float32],
    ) -> None:
        """The tracks `rows` see their boxes; the others miss theirs, and end where they are unconfirmed."""
        tracks, time = self._tracks, self._now
        found = tracks[rows]                                     # a copy
        if self.method.reupdate:
            for i in np.flatnonzero(found["missed"]):
                self._go_over_gap(found[i : i + 1], measured[i : i + 1])
        noise = self._noise(found["state"], measured, scores) if self.method.robust else 1.0
        motion.update(found["state"], measured, noise)
        if self.method.heading:
            aged = 1 - np.exp((found["seen"] - time) / _LAG)
            found["lagged"] += aged[:, None] * (found["last"][:, :2] - found["lagged"])
        found["last"], found["saved"], found["seen"] = measured, found["state"], time
        found["score"], found["missed"] = scores, 0
        found["hits"] += 1
        tracks["missed"] += 1
        tracks[rows] = found
        if looks.size:
            mean = _LOOKS_KEPT * self._looks[rows] + (1 - _LOOKS_KEPT) * looks
            self._looks[rows] = self._unit(mean, len(rows))
        self._keep((tracks["missed"] == 0) | (tracks["id"] > 0))

    def _noise(
        self, states: motion.States, measured: motion.Boxes, scores: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        """(N,1): how many times the usual variance the boxes that `states` see are given. A score counts by
        its odds, so that `Method.at` changes nothing here."""
        odds_against = 1 / np.clip(scores.astype(np.float64), 1e-3, 1) - 1
        weakness = np.maximum(odds_against / max(1 / self.method.strong - 1, 1e-3), 1)
        return np.maximum(motion.surprise(states, measured), 1) * weakness[:, None]

    def _go_over_gap(self, track: npt.NDArray[np.void], measured: motion.Boxes) -> None:
        """OC-SORT's re-update: the gap of one track again, as if it had moved straight to `measured`."""
        steps = int(track["missed"][0]) + 1
        dt = float(self._now - track["seen"][0]) / steps
        state, last = track["saved"].copy(), track["last"]
        for step in range(1, steps):
            motion.predict(state, dt)
            motion.update(state, last + (measured - last) * (step / steps))
        motion.predict(state, dt)
        track["state"] = state

    def _begin(
        self, seen: Detections, measured: motion.Boxes, votes: npt.NDArray[np.float64],
        looks: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], hits: int,
    ) -> None:
        """New tracks, which have no id yet."""
        new = np.zeros(len(seen), _TRACK)
        new["called"], new["score"], new["hits"], new["row"] = seen.labels, seen.scores, hits, rows
        new["born"] = new["seen"] = self._now
        new["last"], new["lagged"] = measured, measured[:, :2]
        new["state"] = new["saved"] = motion.start(measured)
        self._tracks = np.concatenate([self._tracks, new])
        self._looks = np.concatenate([self._looks, looks])
        self._votes = np.concatenate([self._votes, votes])

    def _confirm(self) -> None:
        due = np.flatnonzero((self._tracks["id"] == 0) & (self._tracks["hits"] >= self.method.hits))
        self._tracks["id"][due] = self._next_id + np.arange(len(due))
        self._next_id += len(due)

    def _visible(self) -> Tracks:
        tracks = self._tracks                                    # confirmed in the order they began in
        tracks = tracks[(tracks["id"] > 0) & (tracks["missed"] == 0)]
        boxes, ages = motion.corners(tracks["state"][:, 0]), self._now - tracks["born"]
        return Tracks(
            boxes, tracks["score"], tracks["label"], tracks["id"], ages.astype(np.float32), tracks["row"]
        ).rounded()

    def _keep(self, rows: npt.NDArray[np.bool_]) -> None:
        if not rows.all():
            self._tracks, self._looks, self._votes = self._tracks[rows], self._looks[rows], self._votes[rows]
