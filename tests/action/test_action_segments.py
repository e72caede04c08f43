"""Segments as files, charts, and the drawing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from vision import chart as chart_module
from vision.chart import confusion_chart, save_png, timeline_chart
from vision.drawing import colour, draw
from vision.errors import SinkError, UsageError
from vision.sinks.segments import write_segments
from vision.types import Action

ROWS = [
    {"source": "a.mp4", "label": "Punch", "class_id": 1, "score": 0.9, "start_s": 0.0, "end_s": 3.996},
    {"source": "a.mp4", "label": "Tai{Chi}\nslow", "class_id": 2, "score": 0.8, "start_s": 3599.5,
     "end_s": 3661.25},
]


def test_json_lines_and_csv_say_the_same(tmp_path: Path) -> None:
    for suffix in (".jsonl", ".csv"):
        write_segments(tmp_path / f"s{suffix}", ROWS)
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    with (tmp_path / "s.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert lines == ROWS
    assert [{k: str(v) for k, v in row.items()} for row in ROWS] == cells


def test_subtitles_have_their_times_and_plain_text(tmp_path: Path) -> None:
    write_segments(tmp_path / "s.ass", ROWS)
    lines = [x for x in (tmp_path / "s.ass").read_text().splitlines() if x.startswith("Dialogue")]
    assert lines == [
        "Dialogue: 0,0:00:00.00,0:00:04.00,Default,Punch",
        "Dialogue: 0,0:59:59.50,1:01:01.25,Default,Tai(Chi) slow",
    ]


def test_subtitles_are_read_by_ffmpeg(tmp_path: Path) -> None:
    import av

    write_segments(tmp_path / "s.ass", ROWS)
    with av.open(f"file:{tmp_path / 's.ass'}") as container:
        packets = [p for p in container.demux() if p.size]
    assert [(float(p.pts * p.time_base), float(p.duration * p.time_base)) for p in packets] == [
        (0.0, 4.0), (3599.5, 61.75),
    ]


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.jsonl, \.csv, \.ass"):
        write_segments(tmp_path / "s.srt", ROWS)
    with pytest.raises(SinkError, match="cannot be written"):
        write_segments(tmp_path / "nowhere" / "s.csv", ROWS)
    with pytest.raises(SinkError, match="cannot be written"):
        save_png(tmp_path / "nowhere" / "t.png", np.zeros((4, 4, 3), np.uint8))


def action(label: int, start: float, end: float) -> Action:
    return Action(np.eye(3, dtype=np.float32)[label], label, start, end)


def test_a_timeline_has_its_bars_in_their_places() -> None:
    image = timeline_chart([action(0, 0, 5), action(2, 5, 10)], (0.0, 10.0), ("a", "b", "c"))
    first, second = image[20 + 17], image[20 + 34 + 17]    # the middles of the two rows
    for row, label, low, high in ((first, 0, 190, 580), (second, 2, 580, 970)):
        inside = np.flatnonzero((row == np.array(colour(label), np.uint8)).all(axis=1))
        assert (inside.min(), inside.max()) == (pytest.approx(low, abs=2), pytest.approx(high, abs=2))
    assert timeline_chart([], (0.0, 0.0), ()).shape[1] == 1000


def test_a_confusion_chart_is_darker_where_more_of_a_row_is() -> None:
    image = confusion_chart(np.array([[9, 1], [0, 4]]), ("a", "b"))
    left, top = np.argwhere((image == 40).all(axis=2).cumsum(axis=1) > 100)[0][::-1] - (100, 0)     # its frame
    cells = [image[top + 90 * i + 8, left + 90 * j + 8, 1] for i in range(2) for j in range(2)]
    assert cells == pytest.approx([25, 229, 255, 0], abs=2)
    assert confusion_chart(np.eye(101, dtype=np.int64), [str(i) for i in range(101)]).shape[0] < 1000


def test_a_confusion_chart_has_room_for_every_name() -> None:
    """What is written of a long name is as much ink as the name has, to the left and above."""
    name = "ApplyEyeMakeupVerySlowly"
    pen = np.full((40, 400, 3), 255, np.uint8)
    chart_module._write(pen, name, (10, 20))
    ink = (pen < 128).all(axis=2).sum()
    image = confusion_chart(np.eye(2, dtype=np.int64), (name, ""))
    side = image.shape[1] - 2 * 90 - 20                                      # of the margins
    dark = (image < 128).all(axis=2)
    assert dark[side + 30 :, : side - 2].sum() == pytest.approx(ink, rel=0.05)
    assert dark[26 : side + 22, side:].sum() == pytest.approx(ink, rel=0.05)


def test_the_label_is_drawn_and_idle_is_grey() -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    names = ("a", "Punch", "c")
    running = draw(action(1, 2, 5), image, names)
    idle = draw(Action(np.zeros(3), -1, 0, 0), image, names)
    assert (running == np.array(colour(1), np.uint8)).all(axis=2).sum() > 100
    assert (idle == 90).all(axis=2).sum() > 40
    assert not image.any()


def test_the_record_of_an_action() -> None:
    assert action(1, 2, 5.00049).to_dict(("a", "Punch", "c"))["action"] == {
        "label": "Punch", "class_id": 1, "score": 1.0, "start_s": 2, "end_s": 5.0,
    }
