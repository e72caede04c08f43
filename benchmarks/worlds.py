"""Synthetic streets with known truth: people who cross, stop and hide each other, and a detector of them.

    python benchmarks/worlds.py worlds --count 20                # MOT folders, worlds/0000 ...
    python benchmarks/tracking.py worlds/* --mean --stride 3     # every tracker on all of them
    python benchmarks/worlds.py held --count 20 --sway 60        # the same, through a camera in a hand

Everything is a process in seconds (speeds, scores, jitter, clutter), sampled at 30 frames a second, so that
a stride takes frames away and changes nothing else. A world is drawn from its seed: also how crowded it is,
how near the people are, and how good its detector; four in ten say yes or no and give no scores.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vision import Detections
from vision.boxes import nms, xyxy_to_xywh
from vision.tracking.mot import write_rows

RATE = 30.0
SIZE_WH = (1280, 720)


@dataclass(frozen=True)
class World:
    """truth: a frame's (N,5) rows of id and xyxy. detections: what a detector sees of it."""

    truth: list[np.ndarray]
    detections: list[Detections]


def _wander(rng: np.random.Generator, steps: int, columns: int, memory: float) -> np.ndarray:
    """(steps, columns): noise of standard deviation 1 that forgets itself in `memory` seconds."""
    kept = np.exp(-1 / (RATE * memory))
    values = rng.normal(size=(steps, columns))
    for n in range(1, steps):
        values[n] = kept * values[n - 1] + np.sqrt(1 - kept**2) * values[n]
    return values


def _walk(rng: np.random.Generator, steps: int, near: float) -> np.ndarray:
    """(steps, 5): whether they are in view, and the xyxy, of one who crosses the street."""
    enters = rng.uniform(-8, steps / RATE - 2)
    speed = rng.uniform(2.5, 5.0) if rng.random() < 0.15 else rng.normal(1.3, 0.25)       # m/s; some ride
    side = rng.choice([-1, 1])
    pace = speed * np.clip(1 + 0.15 * _wander(rng, steps, 1, 1.0)[:, 0], 0, None)
    if rng.random() < 0.3:                                                                # stops for a while
        pause = rng.uniform(0, steps / RATE), rng.uniform(1, 4)
        time = np.arange(steps) / RATE
        pace[(time > pause[0]) & (time < sum(pause))] = 0
    foot = rng.uniform(300, 680) + np.cumsum(rng.normal(0, 0.1) * pace * 20 / RATE)
    height = 0.3 * near * (np.clip(foot, 260, 719) - 150) * rng.normal(1, 0.06)
    run = np.cumsum(pace * height / 1.7 / RATE)
    x = (0 if side > 0 else SIZE_WH[0]) + side * (run - np.interp(enters, np.arange(steps) / RATE, run))
    if enters < 0:
        x += side * -enters * speed * height[0] / 1.7
    width = height * (0.38 + 0.04 * np.sin(2 * np.pi * 0.9 * np.arange(steps) / RATE + rng.uniform(0, 6)))
    there = (np.arange(steps) / RATE >= enters) & (x > 0) & (x < SIZE_WH[0]) & (foot < 719)
    return np.column_stack([there, x - width / 2, foot - height, x + width / 2, foot])


def _visible(boxes: np.ndarray) -> np.ndarray:
    """(N,) share of each box that nobody nearer hides; who stands lower is nearer."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    hidden = np.maximum(high - low, 0).prod(axis=2) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)[:, None]
    hidden[boxes[None, :, 3] <= boxes[:, None, 3]] = 0
    return 1 - hidden.max(axis=1, initial=0)


def world(seed: int, seconds: float = 15.0) -> World:
    """The world of a seed."""
    rng = np.random.default_rng(seed)
    steps, people = round(seconds * RATE), int(rng.integers(4, 28))
    skill, jitter, clutter = rng.uniform(-0.3, 2.2), rng.uniform(0.02, 0.06), rng.uniform(0.02, 0.6)
    near, blunt = rng.uniform(1, 2.5), rng.random() < 0.4
    walks = np.stack([_walk(rng, steps, near) for _ in range(people)], axis=1)            # (steps, people, 5)
    logits = skill + rng.normal(0, 0.6, people) + _wander(rng, steps, people, 0.5)
    logits += rng.normal(0, 0.6, (steps, people))
    sway = _wander(rng, steps, people * 4, 0.3).reshape(steps, people, 4)
    places = rng.uniform([0, 150], [SIZE_WH[0], 500], (12, 2))                             # of false boxes
    places = np.concatenate([places, places + (1, 2.6) * rng.uniform(20, 60, (12, 1))], axis=1)
    active = _wander(rng, steps, 12, 0.2) > 1.8 - 2 * clutter
    truth, seen = [], []
    for n in range(steps):
        ids = np.flatnonzero(walks[n, :, 0])
        boxes = walks[n, ids, 1:]
        truth.append(np.column_stack([ids + 1, boxes]))
        visible = _visible(boxes)
        height = (boxes[:, 3] - boxes[:, 1])[:, None]
        noise = 0.8 * sway[n, ids] + 0.6 * rng.normal(size=(len(ids), 4))
        found = boxes + jitter * height * noise * (2 - visible)[:, None]
        score = logits[n, ids] - 5 * (1 - visible)
        false = places[active[n]] + rng.normal(0, 3, (int(active[n].sum()), 4))
        if rng.random() < clutter:
            corner = rng.uniform([0, 100], [SIZE_WH[0], 500])
            false = np.concatenate([false, [[*corner, corner[0] + 30, corner[1] + 80]]])
        boxes = np.concatenate([found, false]).astype(np.float32)
        scores = 1 / (1 + np.exp(-np.concatenate([score, rng.normal(0.2, 1.0, len(false))])))
        scores = scores.astype(np.float32)
        if blunt:                                                         # says yes or no
            boxes, scores = boxes[scores > 0.5], np.ones(int((scores > 0.5).sum()), np.float32)
        kept = np.flatnonzero(scores > 0.05)
        kept = kept[nms(boxes[kept], scores[kept], None, 0.6)]
        seen.append(Detections(boxes[kept], scores[kept], np.zeros(len(kept))))
    return World(truth, seen)


def held(made: World, seed: int, sway: float) -> World:
    """A world through a camera that wanders by `sway` pixels (a standard deviation; a quarter of it up and
    down) within a second, and shakes. What it moves out of the picture stays known."""
    rng = np.random.default_rng([seed, 1])
    steps = len(made.truth)
    shift = _wander(rng, steps, 2, 1.0) * (sway, sway / 4) + rng.normal(0, sway / 40, (steps, 2))
    moved = np.tile(shift, 2)
    return World(
        [rows + np.insert(by, 0, 0) for rows, by in zip(made.truth, moved, strict=True)],
        [Detections(d.boxes + by, d.scores, d.labels) for d, by in zip(made.detections, moved, strict=True)],
    )


def write(folder: Path, seed: int, sway: float = 0.0) -> None:
    """The world of a seed as a MOT folder without pictures."""
    made = held(world(seed), seed, sway)
    for name, frames in (
        ("gt", [(rows[:, :1], rows[:, 1:], np.ones(len(rows))) for rows in made.truth]),
        ("det", [(np.full((len(d), 1), -1), d.boxes, d.scores) for d in made.detections]),
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_rows(folder / name / f"{name}.txt", np.concatenate([
            np.column_stack([np.full(len(ids), n), ids, xyxy_to_xywh(boxes), scores])
            for n, (ids, boxes, scores) in enumerate(frames, 1)
        ]))
    width, height = SIZE_WH
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nframeRate={RATE:g}\nseqLength={len(made.truth)}\nimWidth={width}\nimHeight={height}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--sway", type=float, default=0.0, help="pixels by which the camera wanders")
    options = parser.parse_args()
    for seed in range(options.first, options.first + options.count):
        write(options.folder / f"{seed:04d}", seed, options.sway)


if __name__ == "__main__":
    main()
