from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.following import curves, mean, plot
from vision.errors import DataError
from vision.metrics.tracking import evaluate
from vision.tracking.mot import read_truth, write_rows


def rows(ids: list[int], frames: int = 10, shift: float = 0.0) -> np.ndarray:
    """Objects that stand in a row, 100 pixels apart; `ids` names them."""
    return np.array([[f, i, 100 * k + shift, 0, 40, 80, 1] for f in range(1, frames + 1)
                     for k, i in enumerate(ids)], np.float64)


def score(folder: Path, truth: np.ndarray, result: np.ndarray, frames: int = 10) -> object:
    pytest.importorskip("trackeval", reason="needs the extra 'track-eval'")
    write_rows(folder / "gt.txt", truth)
    write_rows(folder / "run.txt", result)
    return evaluate({"s": folder / "gt.txt"}, {"s": folder / "run.txt"}, {"s": frames})["s"]


def test_the_truth_scores_one(tmp_path: Path) -> None:
    row = score(tmp_path, rows([1, 2]), rows([7, 3]))
    assert (row.hota, row.mota, row.idf1, row.switches) == (1, 1, 1, 0)


def test_a_switch_a_miss_and_a_false_box_cost_what_the_papers_say(tmp_path: Path) -> None:
    result = rows([1, 2])
    result[result[:, 0] > 5, 1] = 3 - result[result[:, 0] > 5, 1]           # ids swap half way
    row = score(tmp_path, rows([1, 2]), result)
    assert row.switches == 2
    assert row.mota == pytest.approx(1 - 2 / 20)
    assert row.idf1 == pytest.approx(0.5)
    assert row.ass_a == pytest.approx(1 / 3)                                # 5 of 15 pairs of each
    assert row.det_a == pytest.approx(1)
    missed = score(tmp_path, rows([1, 2]), rows([1, 2])[2:])
    assert (missed.misses, missed.mota) == (2, pytest.approx(0.9))
    extra = score(tmp_path, rows([1]), rows([1, 2]))
    assert (extra.false_positives, extra.mota) == (10, pytest.approx(0))


def test_marked_truth_does_not_count(tmp_path: Path) -> None:
    truth = rows([1, 2])
    truth[truth[:, 1] == 2, 6] = 0
    assert score(tmp_path, truth, rows([1])).mota == 1


def test_sequences_together_are_weighed_by_their_objects(tmp_path: Path) -> None:
    pytest.importorskip("trackeval", reason="needs the extra 'track-eval'")
    for name, truth, result in (("a", rows([1]), rows([1])), ("b", rows([1, 2, 3]), rows([1, 2]))):
        write_rows(tmp_path / f"{name}-gt.txt", truth)
        write_rows(tmp_path / f"{name}.txt", result)
    files = [{n: tmp_path / f"{n}{kind}.txt" for n in "ab"} for kind in ("-gt", "")]
    table = evaluate(files[0], files[1], {"a": 10, "b": 10})
    assert table["all"].mota == pytest.approx(1 - 10 / 40)


def test_what_cannot_be_scored_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        evaluate({"s": tmp_path / "gt.txt"}, {"s": tmp_path / "run.txt"}, {"s": 10})
    with pytest.raises(DataError, match="trackeval cannot score 's'"):
        score(tmp_path, rows([1]), rows([1], frames=12))


def ends(*columns: str) -> str:
    """Two people that stand for ten frames, and a car that only the truth knows, with these columns at the end."""
    return "".join(f"{f},{i},{100 * i},0,40,80{column}\n" for f in range(1, 11) for i, column in enumerate(columns, 1))


@pytest.mark.parametrize(("truth", "mota", "misses"), [
    (ends("", "", ""), 2 / 3, 10),                                          # six columns
    (ends(",1", ",1", ",1"), 2 / 3, 10),                                    # seven
    (ends(",1", ",1", ",0"), 1, 0),
    (ends(",1,1", ",1,1", ",1,3"), 1, 0),                                   # MOT16's classes: 3 is a car
    (ends(",1,1,0.9", ",1,1,0.5", ",1,3,1"), 1, 0),
    (ends(",1,16.5,-3.25,1", ",1,16,3,0", ",1,7.5,2,0"), 2 / 3, 10),        # MOT15: a place in the world
    (ends(",1,-1,-1,-1", ",1,-1,-1,-1", ",1,-1,-1,-1"), 2 / 3, 10),
    (ends(",1,1,0.9", ",1,1,0.5", ",1,3,1").replace(",", " "), 1, 0),
])
def test_truth_of_each_year_is_taken_by_its_own_rules(
    truth: str, mota: float, misses: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trackeval", reason="needs the extra 'track-eval'")
    (tmp_path / "gt.txt").write_text(truth)
    result = rows([1, 2])
    result[:, 2] += 100
    write_rows(tmp_path / "run.txt", result)
    row = evaluate({"s": tmp_path / "gt.txt"}, {"s": tmp_path / "run.txt"}, {"s": 10})["s"]
    assert (row.mota, row.misses) == (pytest.approx(mota), misses)
    assert capfd.readouterr() == ("", "")


def test_the_order_of_sequences_changes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("trackeval", reason="needs the extra 'track-eval'")
    (tmp_path / "a.txt").write_text(ends(",1,1,0.9", ",1,1,0.5", ",1,3,1"))
    (tmp_path / "b.txt").write_text(ends(",1,16.5,-3.25,1", ",1,16,3,0", ",1,7.5,2,0"))
    (tmp_path / "c.txt").write_text(ends(",1", ",1", ",1"))
    result = rows([1, 2])
    result[:, 2] += 100
    write_rows(tmp_path / "run.txt", result)
    tables = [evaluate({n: tmp_path / f"{n}.txt" for n in order}, dict.fromkeys(order, tmp_path / "run.txt"),
                       dict.fromkeys(order, 10)) for order in ("abc", "cba", "bac")]
    assert tables[0] == tables[1] == tables[2]
    assert [tables[0][n].misses for n in ("a", "b", "c", "all")] == [0, 10, 10, 20]


def test_a_class_that_there_is_not_is_told_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "gt.txt").write_text("1,1,0,0,9,9,1,1,1\n1,2,0,0,9,9,1,44,1\n")
    with pytest.raises(DataError, match="row 2: the eighth column is a class from 1 to 13"):
        read_truth(tmp_path / "gt.txt")


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "hota", "idf1"), [("TUD-Campus", 0.395, 0.575), ("KITTI-17", 0.457, 0.720)])
def test_the_table_of_the_readme(data: Path, tmp_path: Path, name: str, hota: float, idf1: float) -> None:
    import json

    from vision.cli import app

    pytest.importorskip("trackeval", reason="needs the extra 'track-eval'")
    report = tmp_path / "report.json"
    result = CliRunner().invoke(app, ["eval", "track", str(data / "mot" / name), "--report", str(report)])
    assert result.exit_code == 0, result.output
    row = json.loads(report.read_text())[name]
    assert (row["hota"], row["idf1"]) == (pytest.approx(hota, abs=0.004), pytest.approx(idf1, abs=0.004))
    assert f"{100 * row['hota']:6.1f}" in result.output


def test_curves_of_success_and_precision(tmp_path: Path) -> None:
    truth = np.tile(np.float32([[0, 0, 10, 10]]), (4, 1))
    boxes = truth.copy()
    boxes[1] += 5 * np.float32([1, 0, 1, 0])                    # IoU 1/3, 5 pixels
    boxes[2] += 100                                             # IoU 0
    boxes[3] = np.nan                                           # lost: a miss at every threshold
    c = curves(boxes, truth)
    assert c.success[0] == pytest.approx(0.5)
    assert c.success[6] == pytest.approx(0.5)                   # above 0.30
    assert c.success[7] == pytest.approx(0.25)                  # above 0.35
    assert (c.precision[4], c.at_20_pixels) == (0.25, 0.5)
    assert c.area == pytest.approx(np.mean([0.5] * 7 + [0.25] * 13 + [0.0]))
    assert mean([c, curves(truth, truth)]).at_20_pixels == pytest.approx(0.75)
    with pytest.raises(DataError, match=r"\(T,4\)"):
        curves(boxes[:2], truth)
    pytest.importorskip("matplotlib")
    plot({"a": c}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000
