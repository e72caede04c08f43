"""`vision eval track`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vision.errors import UsageError
from vision.files import check_writable, write_json


def track(
    truth: Annotated[list[Path], typer.Argument(help="MOT folders, each with gt/gt.txt and seqinfo.ini")],
    results: Annotated[Path | None, typer.Option(
        help="folder of SEQUENCE.txt; without it the tracker runs on each folder's det/det.txt")] = None,
    tracker: Annotated[str, typer.Option("--tracker", help="default, sort, bytetrack or ocsort")] = "default",
    lost_after: Annotated[float, typer.Option(help="seconds unseen after which a track ends")] = 1.5,
    report: Annotated[Path | None, typer.Option(help="the figures as JSON")] = None,
) -> None:
    """HOTA, MOTA, IDF1 and id switches of tracks, by trackeval."""
    from tempfile import TemporaryDirectory

    import numpy as np

    from vision.metrics.tracking import evaluate as score
    from vision.tracking import Tracker
    from vision.tracking.mot import Sequence as MotSequence
    from vision.tracking.mot import track_rows, write_rows

    if report is not None:
        check_writable(report)
    sequences = [MotSequence.read(folder) for folder in truth]
    twice = [name for name, count in Counter(s.name for s in sequences).items() if count > 1]
    if twice:
        raise UsageError(f"two sequences are called {twice[0]!r}: give each folder a name of its own, or score them by "
                         "themselves.")
    with TemporaryDirectory() as folder:
        files = {s.name: (results or Path(folder)) / f"{s.name}.txt" for s in sequences}
        if results is None:
            for sequence in sequences:
                follow = Tracker(tracker, lost_after)
                frames = enumerate(sequence.detections())
                rows = [track_rows(follow(seen, time), index) for index, (time, seen) in frames]
                write_rows(files[sequence.name], np.concatenate([np.empty((0, 7)), *rows]))
        table = score(
            {s.name: s.folder / "gt" / "gt.txt" for s in sequences}, files,
            {s.name: s.length for s in sequences},
        )
    print(f"{'':16s}   HOTA   DetA   AssA   MOTA   IDF1  switches  misses  false")
    for name, row in table.items():
        shares = (row.hota, row.det_a, row.ass_a, row.mota, row.idf1)
        print(f"{name:16s} " + " ".join(f"{100 * share:6.1f}" for share in shares)
              + f"  {row.switches:8d}  {row.misses:6d}  {row.false_positives:5d}")
    if report is not None:
        write_json(report, {name: asdict(row) for name, row in table.items()})
