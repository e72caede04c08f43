"""`vision doctor`: one page, without names of the user's, that goes on whatever hangs or fails."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from vision.cli import app, doctor


def test_what_hangs_is_ended_and_what_fails_is_said() -> None:
    begin = time.monotonic()
    assert doctor._run("import time; time.sleep(60)", 0.5) == (False, "no answer in 0 seconds")
    assert time.monotonic() - begin < 20
    assert doctor._run("print('first'); print('last')") == (True, "last")
    assert doctor._run("raise ValueError('no driver')") == (False, "ValueError: no driver")
    assert doctor._run("import os; os.kill(os.getpid(), 9)") == (False, "ended by signal 9")


def test_the_page_counts_what_does_not_work_and_hides_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")

    def backends() -> Iterator[doctor.Line]:
        yield doctor.Line("openvino cpu", "cannot read /home/somebody/.cache", False, "do this")
        yield doctor.Line("torch cpu", "9 ms", True)

    monkeypatch.setattr(doctor, "_backends", backends)
    monkeypatch.setattr(doctor, "_outside", lambda: iter(()))
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0, done.output
    assert "  NO  openvino cpu     cannot read ~/.cache  -> do this\n  ok  torch cpu        9 ms\n" in done.output
    assert "somebody" not in done.output
    assert done.output.endswith("1 of these do not work\n")
    assert "detect           nanodet-g (shipped)" in done.output
    assert "(limit 1000 MB)" in done.output


@pytest.mark.slow
def test_every_back_end_and_camera_is_tried() -> None:
    done = CliRunner().invoke(app, ["doctor"])
    for part in ("openvino cpu", "onnxruntime cpu", "torch cpu", "opencv cpu", "write h264", "window", "camera"):
        assert part in done.output
    assert done.output.count("ms for mobilenet-v2") >= 4
