"""Action recognition: a clip or a whole video in, a probability for each action out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from vision.card import Card
from vision.engine import Engine
from vision.errors import ModelError, UsageError, WeightsError
from vision.io.clips import Clips, Scheme, at_rate, dense, read_clips, uniform, whole
from vision.tasks.action_stream import Stream, softmax
from vision.tasks.model import Model
from vision.types import NONE, Action, Floats, Frame, Image, Scores
from vision.view import fitted, short_side, three_crops, two_streams

_AT_ONCE = 32                                     # pictures in one call of a 2D network


class Recognizer(Model):
    """Says what is done: in a clip or a video without keeping state, or frame by frame on a stream.

    engine: takes clips (B,T,h,w,3) uint8 BGR, or frames (B,h,w,3) where the card is `per_frame`, and returns logits
    (B,C) and the descriptors that the card names. card: the network's card. Threads may share a recognizer,
    except for `recognizer(frame)`, which belongs to one stream; `stream()` makes more.
    """

    task = "action"

    def __init__(self, engine: Engine, card: Card) -> None:
        super().__init__(engine, card)
        self.length, self.rate = card.clip.frames, card.clip.rate
        self.sees = 3 if card.clip.channels == "two-stream" else 1      # frames that one picture is made of
        if card.config.get("classes", len(self.names)) != len(self.names):
            raise ModelError(
                f"{card.name!r} has {card.config['classes']} classes and {len(self.names)} names. "
                "Give the list of names that it was trained with."
            )
        self.none = self.names.index(NONE) if NONE in self.names else None       # what is none of the others
        self._own: Stream | None = None

    def __call__(self, frame: Frame) -> Action | None:
        """Give the recognizer's own stream its next frame.

        frame: with its image (H,W,3) uint8 BGR, in the order of time. Returns what is being done now; None while
        the first window is not full. Raises UsageError for another image.
        """
        self._own = self._own or self.stream()
        return self._own(frame)

    @property
    def segments(self) -> list[Action]:
        """The actions of the recognizer's own stream so far."""
        return self._own.segments if self._own else []

    def stream(
        self, every: float = 0.32, smoothing: float = 0.3, min_score: float | None = None,
        hysteresis: float = 0.15, shortest: float = 0.5, merge: float = 1.0,
    ) -> Stream:
        """A new stream (`Stream`), with its own memory.

        every: seconds between two windows. smoothing: time constant of the average over windows, seconds.
        min_score: the probability at which an action begins, 0..1; the card's unless given. hysteresis: it ends
        when its probability is this much lower. shortest: shorter segments are dropped, seconds. merge: two
        segments of one action with a shorter gap are joined, seconds.
        """
        enter = self.card.min_score if min_score is None else min_score
        leave = max(0.0, enter - hysteresis)
        return Stream(self, every, smoothing, enter=enter, leave=leave, shortest=shortest, merge=merge)

    def clip(self, frames: Sequence[Image]) -> Scores:
        """How likely each action is in one clip.

        frames: (H,W,3) uint8 BGR each, `card.clip.rate` of them a second; fewer than the network takes are repeated
        from the start. Raises UsageError for more, or for none.
        """
        if not 0 < len(frames) <= self.length:
            raise UsageError(
                f"a clip of {self.name!r} has 1 to {self.length} frames; got {len(frames)}. "
                "Longer ones are for video() or stream()."
            )
        return Scores(self.looped([self.pixels(frame) for frame in frames]))

    def looped(self, pixels: Sequence[Image]) -> Floats:
        """(C,) probabilities of one clip of what `pixels` gives, repeated from the start to fill it."""
        n = np.arange(len(pixels))
        rows = (np.arange(self.length) % len(pixels))[None]
        logits, *_ = self._outputs(Clips(np.stack(pixels), n, n / self.rate, rows))
        return softmax(logits[0])

    def video(self, source: str | Path, scheme: Scheme | None = None, crops: int = 1) -> Scores:
        """How likely each action is in a video: the mean over its clips.

        source: a video, as `read` takes it. scheme, crops: see `clip_probs`.
        """
        return Scores(self.clip_probs(source, scheme, crops).mean(axis=0))

    def clip_probs(self, source: str | Path, scheme: Scheme | None = None, crops: int = 1) -> Floats:
        """How likely each action is in each clip of a video: (K,C) float32.

        source: a video, as `read` takes it; one shorter than a clip is repeated from the start.
        scheme: which clips, counted in frames at the rate of the card (`vision.io.clips`). Unless given: ten of the
            network's length, evenly spaced; for a 2D network one, of all frames.
        crops: 3 for the left, middle and right (or top to bottom) of each clip, averaged; else 1.
        """
        usual = whole(self.length) if self.card.clip.per_frame else uniform(10, self.length)
        outputs = self._of(source, scheme or usual, crops)
        return np.asarray(np.mean([softmax(logits) for logits, *_ in outputs], axis=0), np.float32)

    def descriptor(self, source: str | Path, feature: str, scheme: Scheme | None = None) -> Floats:
        """A video's descriptor, (D,) float32 of length 1: the mean of `features` over its clips. C3D's paper takes
        the feature fc6."""
        mean = self.features(source, feature, scheme).mean(axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)

    def features(self, source: str | Path, feature: str, scheme: Scheme | None = None) -> Floats:
        """What the network calls `feature`, for each clip of the video `source`: (K,D) float32.

        scheme: which clips; unless given, each overlaps half of the one before. Raises ModelError for a feature
        that the network does not have.
        """
        if feature not in self.card.clip.features:
            has = ", ".join(self.card.clip.features) or "none"
            raise ModelError(f"{self.name!r} has no descriptor {feature!r}. It has: {has}.")
        scheme = scheme or dense(max(1, self.length // 2), self.length)
        (outputs,) = self._of(source, scheme, 1)
        return np.asarray(outputs[1 + self.card.clip.features.index(feature)], np.float32)

    def pixels(self, image: Image) -> Image:
        """A frame at the network's size: (h,w,3) uint8 BGR."""
        wanted = self.card.input
        return fitted(image, self.engine.input_wh or wanted.size_wh, wanted.resize, wanted.crop).pixels

    def picture(self, frames: Image) -> Image:
        """What a 2D network looks at, of the last `sees` frames: (h,w,3), or (2,h,w,3) of two streams."""
        return two_streams(frames) if self.sees == 3 else frames[-1]

    def _of(self, source: str | Path, scheme: Scheme, crops: int) -> list[tuple[np.ndarray, ...]]:
        """The outputs for each of the crops, clips in the first axis."""
        scheme = at_rate(scheme, self.rate)
        if crops == 1:
            return [self._outputs(read_clips(source, scheme, self.pixels))]
        if crops != 3 or self.card.input.resize != "crop":
            raise UsageError(f"crops is 1, or 3 for a model that crops; got {crops} for {self.name!r}.")
        size_wh = self.engine.input_wh or self.card.input.size_wh
        wide = read_clips(source, scheme, lambda image: short_side(image, max(size_wh)))
        return [
            self._outputs(Clips(crop, wide.index, wide.times, wide.rows))
            for crop in three_crops(wide.frames, size_wh)
        ]

    def _outputs(self, clips: Clips) -> tuple[np.ndarray, ...]:
        """The network's outputs for each clip; a 2D network looks once at a picture that clips share."""
        rows = sliding_window_view(clips.rows, self.sees, axis=1)                 # (K,P,sees)
        if self.card.clip.per_frame:
            wanted, rows = np.unique(rows.reshape(-1, self.sees), axis=0, return_inverse=True)
            rows = rows.reshape(len(clips), -1)                                    # (K,P) into `wanted`
            pictures = (self.picture(clips.frames[w]) for w in wanted)
            futures = []
            while chunk := list(islice(pictures, _AT_ONCE)):
                futures.append(self.engine.submit(np.stack(chunk)))
        else:
            futures = [self.engine.submit(clip[None]) for clip in clips]
        outputs = tuple(np.concatenate(parts) for parts in zip(*(f.result() for f in futures), strict=True))
        if outputs[0].shape[1] != len(self.names):
            raise WeightsError(
                f"{self.name!r} gives {outputs[0].shape[1]} scores and has {len(self.names)} names. "
                "Give the list of names that it was trained with."
            )
        if self.card.clip.per_frame:
            outputs = tuple(out[rows].mean(axis=1) for out in outputs)
        return outputs
