"""Shared places: the development data, and the two photographs that ultralytics ships."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("vision", deadline=None)        # a busy machine is no fault of the code
settings.load_profile("vision")

os.environ["VISION_MEASURE"] = "no"                        # which engine runs does not depend on the machine's mood

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip `realdata` tests, with a reason, where the development data is missing."""
    if not SHARED.is_dir():
        for item in items:
            if item.get_closest_marker("realdata"):
                item.add_marker(pytest.mark.skip(reason=f"the development data is not at {SHARED}"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The development data's folder (`realdata` tests only)."""
    return SHARED / "data"


@pytest.fixture(scope="session")
def photos() -> dict[str, Path]:
    """`bus` and `zidane`: two real photographs, from ultralytics' assets."""
    package = find_spec("ultralytics")               # found, not imported: that takes seconds
    if package is None or package.origin is None:
        pytest.skip("the photographs come with the extra 'yolo'")
    assets = Path(package.origin).parent / "assets"
    return {name: assets / f"{name}.jpg" for name in ("bus", "zidane")}
