"""Several tasks on one decode, beside what their engines allow together.

    python benchmarks/joint.py VIDEO [--do detect,track,faces,segment] [--frames 200] [--rounds 3]

The bound is 1 / the sum of the seconds a frame that the bare engines take, on the very inputs that the steps gave them
(`vision benchmark`); all of it takes turns within each round.
"""

from __future__ import annotations

import argparse
import platform
from datetime import date

from vision.benchmark.whole import WHOLE, benchmark
from vision.steps.plan import plan_of


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("--do", default="detect,track,faces,segment")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    found = benchmark(args.video, plan_of(args.do.split(",")), frames=args.frames, rounds=args.rounds,
                      every_way=False, precision=args.precision, backend="openvino")
    print(f"{platform.machine()}, {date.today()}, {found.frames} frames")
    for one in found.stages:
        alone = "together" if one.name == WHOLE else f"{one.name} alone"
        share = "" if one.share is None else f", {one.share:.2f} of its bare engines (rounds: " + ", ".join(
            f"{each:.2f}" for each in one.shares) + ")"
        print(f"{alone:16s} {one.figures.fps:7.1f} frames/s{share}")


if __name__ == "__main__":
    main()
