"""Shared places: the development data, and the two photographs that ultralytics ships."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings
from screen import Screen

settings.register_profile("vision", deadline=None)        # a busy machine is no fault of the code
settings.load_profile("vision")

os.environ["VISION_MEASURE"] = "no"                        # which engine runs does not depend on the machine's mood

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


STATUS = pytest.StashKey[int]()
ULTRALYTICS = find_spec("ultralytics")               # found, not imported: that takes seconds


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with a reason, `realdata` tests where the development data is missing, and `yolo` tests without the
    extra. A test that looks at its photographs is such a one."""
    for item in items:
        if "photos" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.yolo)
        if not SHARED.is_dir() and item.get_closest_marker("realdata"):
            item.add_marker(pytest.mark.skip(reason=f"the development data is not at {SHARED}"))
        if ULTRALYTICS is None and item.get_closest_marker("yolo"):
            item.add_marker(pytest.mark.skip(reason="needs ultralytics: the extra 'yolo'"))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[STATUS] = int(exitstatus)


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End the process here, when all is told, and do not take down what it has loaded. Ray, gRPC, Zenoh, PyTorch,
    OpenVINO and ONNX Runtime, which no program of anybody's has in one process, keep threads that nobody can end, and
    it has crashed there once, after the last test had passed. How a command ends is seen by the tests that run one."""
    if STATUS in config.stash:
        atexit._run_exitfuncs()                          # pytest removes old temporary folders there
        config.get_terminal_writer().flush()
        os._exit(config.stash[STATUS])


@pytest.fixture(autouse=True)
def _log_levels() -> None:
    """A command that ran in this process before says nothing of what this test logs."""
    logging.getLogger("vision").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def data() -> Path:
    """The development data's folder (`realdata` tests only)."""
    return SHARED / "data"


@pytest.fixture(scope="session")
def photos() -> dict[str, Path]:
    """`bus` and `zidane`: two real photographs, from ultralytics' assets."""
    assert ULTRALYTICS is not None
    assert ULTRALYTICS.origin is not None
    assets = Path(ULTRALYTICS.origin).parent / "assets"
    return {name: assets / f"{name}.jpg" for name in ("bus", "zidane")}


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    """A display of its own."""
    folder = tmp_path / "screen"
    folder.mkdir()
    one = Screen(folder)
    yield one
    one.close()
