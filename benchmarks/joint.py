"""Several tasks on one decode, beside what their engines allow together.

    python benchmarks/joint.py VIDEO [--do detect,track,faces,segment] [--frames 200] [--rounds 3]

Each task is run alone on frames in memory, as fast as its engine goes; 1 / the sum of these seconds a frame is what
the engines allow together. Then all run on one decode into JSONL. Variants take turns within each round.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
from datetime import date
from pathlib import Path
from time import perf_counter

from vision import JsonLines, Pool, Run, read
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
    frames = list(read(args.video, max_frames=args.frames))
    names = args.do.split(",")
    with Pool(precision=args.precision, backend="openvino") as pool, tempfile.TemporaryDirectory() as folder:
        alone: dict[str, list[float]] = {name: [] for name in names}
        together: list[float] = []
        for round_ in range(args.rounds + 1):                  # the first one warms up
            for name in names:
                if name == "track":                            # no engine of its own
                    continue
                began = perf_counter()
                with Run(iter(frames), plan_of([name]), pool=pool) as run:
                    run.finish()
                if round_:
                    alone[name].append((perf_counter() - began) / len(frames))
            began = perf_counter()
            sinks = [JsonLines(Path(folder) / "out.jsonl")]
            source = read(args.video, max_frames=args.frames)
            with Run(source, plan_of(names), sinks, pool=pool, checkpoint_every=0) as run:
                run.finish()
            if round_:
                together.append((perf_counter() - began) / len(frames))
    print(f"{platform.machine()}, {date.today()}, {len(frames)} frames")
    for name, seconds in alone.items():
        if seconds:
            print(f"{name:10s} alone {1 / statistics.median(seconds):7.1f} frames/s")
    shares = [
        sum(alone[name][i] for name in names if alone[name]) / together[i] for i in range(args.rounds)
    ]
    print(f"together   {1 / statistics.median(together):7.1f} frames/s, {statistics.median(shares):.2f} of what the "
          "engines allow (rounds: " + ", ".join(f"{share:.2f}" for share in shares) + ")")


if __name__ == "__main__":
    main()
