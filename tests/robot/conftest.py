"""A plan for made films."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from robot_made import plan_of_square

from vision.steps.base import Spec

NEEDED = ("mcap", "rosbags", "zenoh", "foxglove_schemas_protobuf")
collect_ignore_glob = [] if all(map(find_spec, NEEDED)) else ["test_*.py"]       # the extra `robot`


@pytest.fixture
def plan() -> list[Spec]:
    """Detect the square, and track it."""
    return plan_of_square()
