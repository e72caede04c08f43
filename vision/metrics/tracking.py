"""HOTA, MOTA, IDF1 and id switches of MOT results, through the package trackeval."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vision.errors import DataError, MissingExtra
from vision.tracking import mot


@dataclass(frozen=True)
class TrackScores:
    """One row of the table; shares are in 0..1.

    hota, det_a, ass_a: Luiten et al. 2021, the mean over overlaps 0.05..0.95. mota, switches, misses
    and false_positives: CLEAR at IoU 0.5 (Bernardin and Stiefelhagen 2008). idf1: Ristani et al. 2016.
    """

    hota: float
    det_a: float
    ass_a: float
    mota: float
    idf1: float
    switches: int
    misses: int
    false_positives: int


def evaluate(
    truth: Mapping[str, Path], results: Mapping[str, Path], lengths: Mapping[str, int]
) -> dict[str, TrackScores]:
    """Sequence name -> scores, and `"all"` for the sequences together (where there are several).

    truth: each sequence's `gt.txt` (`mot.read_truth`); rows with conf 0 do not count, and where the file has MOT16's
    classes, what covers a distractor counts neither way (trackeval's rules). results: each sequence's MOT text.
    lengths: frames of each. Raises DataError where a file is missing or cannot be scored, MissingExtra without
    trackeval.
    """
    trackeval = _trackeval()
    for path in (*truth.values(), *results.values()):
        if not path.is_file():
            raise DataError(f"{str(path)!r} is not there: each sequence needs its gt.txt and a result.")
    quiet = {"PRINT_CONFIG": False, "THRESHOLD": 0.5}
    metrics = {"hota": trackeval.metrics.HOTA(), "clear": trackeval.metrics.CLEAR(quiet),
               "identity": trackeval.metrics.Identity(quiet)}
    parts: dict[str, dict[str, Any]] = {key: {} for key in metrics}
    for name in truth:
        try:
            with redirect_stdout(StringIO()):                    # trackeval prints what it then raises
                data = _data(trackeval, name, truth[name], results[name], lengths[name])
                for key, metric in metrics.items():
                    parts[key][name] = metric.eval_sequence(data)
        except trackeval.utils.TrackEvalException as error:
            raise DataError(f"trackeval cannot score {name!r}: {error}") from error
    table = {name: _row({key: parts[key][name] for key in metrics}) for name in truth}
    if len(truth) > 1:
        together = {key: metric.combine_sequences(parts[key]) for key, metric in metrics.items()}
        table["all"] = _row(together)
    return table


def _data(trackeval: Any, name: str, truth: Path, results: Path, length: int) -> Any:
    """One sequence as trackeval's metrics take it, by the rules of its own benchmark: MOT15 has no classes, and MOT20
    one distractor more than MOT16 and 17."""
    rows, classes = mot.read_truth(truth)
    benchmark = "MOT15" if classes is None else "MOT20" if "MOT20" in f"{name} {truth}" else "MOT17"
    with TemporaryDirectory() as folder:                         # trackeval wants its own layout
        gt, run = Path(folder) / "gt" / name / "gt" / "gt.txt", Path(folder) / "runs" / "run" / f"{name}.txt"
        for path in (gt, run):
            path.parent.mkdir(parents=True)
        mot.write_rows(gt, rows, classes)
        mot.write_rows(run, mot.read_rows(results))
        dataset = trackeval.datasets.MotChallenge2DBox({
            "GT_FOLDER": f"{folder}/gt", "TRACKERS_FOLDER": f"{folder}/runs", "TRACKERS_TO_EVAL": ["run"],
            "TRACKER_SUB_FOLDER": "", "SKIP_SPLIT_FOL": True, "SEQ_INFO": {name: length},
            "BENCHMARK": benchmark, "PRINT_CONFIG": False,
        })
        return dataset.get_preprocessed_seq_data(dataset.get_raw_seq_data("run", name), "pedestrian")


def _trackeval() -> Any:
    try:
        import trackeval
    except ImportError as error:
        raise MissingExtra("trackeval", "track-eval", "The evaluation of tracks") from error
    return trackeval


def _row(values: Mapping[str, Mapping[str, Any]]) -> TrackScores:
    hota, clear, identity = values["hota"], values["clear"], values["identity"]
    return TrackScores(
        hota=float(hota["HOTA"].mean()), det_a=float(hota["DetA"].mean()), ass_a=float(hota["AssA"].mean()),
        mota=float(clear["MOTA"]), idf1=float(identity["IDF1"]), switches=int(clear["IDSW"]),
        misses=int(clear["CLR_FN"]), false_positives=int(clear["CLR_FP"]),
    )
