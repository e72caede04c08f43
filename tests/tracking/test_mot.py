from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vision.errors import DataError
from vision.tracking import mot
from vision.types import Tracks


def write(folder: Path, text: str) -> Path:
    path = folder / "det.txt"
    path.write_text(text)
    return path


def test_gaps_stay_gaps_and_order_does_not_matter(tmp_path: Path) -> None:
    found = mot.read_detections(write(tmp_path, "7,-1,10,20,30,40,0.5\n2,-1,0,0,5,5,0.25,-1,-1,-1\n\n"))
    assert sorted(found) == [1, 6]
    assert found[6].boxes.tolist() == [[10, 20, 40, 60]]
    assert found[1].scores.tolist() == [0.25]


def test_a_sequence_has_a_result_for_every_frame(tmp_path: Path) -> None:
    (tmp_path / "det").mkdir()
    (tmp_path / "det" / "det.txt").write_text("2,-1,0,0,5,5,0.25\n")
    ini = "[Sequence]\nframeRate=5\nseqLength=3\nimWidth=64\nimHeight=48\n"
    (tmp_path / "seqinfo.ini").write_text(ini)
    sequence = mot.Sequence.read(tmp_path)
    assert [(time, len(d)) for time, d in sequence.detections()] == [(0.0, 0), (0.2, 1), (0.4, 0)]
    assert sequence.size_wh == (64, 48)


def test_a_file_without_a_line_has_no_detections(tmp_path: Path) -> None:
    assert mot.read_detections(write(tmp_path, "")) == {}


@pytest.mark.parametrize(("key", "value"), [("frameRate", "0"), ("frameRate", "nan"), ("seqLength", "0")])
def test_a_sequence_without_frames_or_time_is_an_error(tmp_path: Path, key: str, value: str) -> None:
    keys = {"frameRate": "5", "seqLength": "3", "imWidth": "64", "imHeight": "48", key: value}
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\n" + "".join(f"{k}={v}\n" for k, v in keys.items()))
    with pytest.raises(DataError, match=key):
        mot.Sequence.read(tmp_path)


def test_the_folder_one_stands_in_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert mot.Sequence(Path(), 5, 3, (64, 48)).name == tmp_path.name


@pytest.mark.parametrize(("scores", "expected"), [
    ([0.1, 0.9, 1.0], [0.1, 0.9, 1.0]),                      # probabilities stay
    ([-1.0, -1.0], [1.0, 1.0]),                              # says nothing
    ([0.7, 0.7], [0.7, 0.7]),
    ([-2.0, 0.0, 30.0], [0.1192, 0.5, 1.0]),                 # log-odds
    ([], []),
])
def test_scores_become_probabilities(scores: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(mot.as_probabilities(np.array(scores)), expected, atol=1e-4)


@pytest.mark.parametrize("line", ["0,-1,1,1,5,5,1", "1,-1,1,1,x,5,1", "1,-1,1", "1.5,-1,1,1,5,5,1",
                                  "nan,-1,1,1,5,5,1", "inf,-1,1,1,5,5,1"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"det\.txt:2: expected"):
        mot.read_rows(write(tmp_path, f"1,-1,1,1,5,5,1\n{line}\n"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing"):
        mot.read_rows(tmp_path / "nothing.txt")
    with pytest.raises(DataError, match=r"seqinfo\.ini"):
        mot.Sequence.read(tmp_path)


def test_tracks_are_written_and_read(tmp_path: Path) -> None:
    tracks = Tracks([[1.5, 2, 4, 8], [0, 0, 10, 10]], [0.5, 0.25], [0, 0], [3, 9], [0, 1], [0, 1])
    mot.write_rows(tmp_path / "out.txt", mot.track_rows(tracks, 4))
    assert (tmp_path / "out.txt").read_text().splitlines()[0] == "5,3,1.50,2.00,2.50,6.00,0.5,-1,-1,-1"
    np.testing.assert_allclose(mot.read_rows(tmp_path / "out.txt"), mot.track_rows(tracks, 4))
