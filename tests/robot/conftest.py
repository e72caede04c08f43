"""A plan for made films."""

from __future__ import annotations

import pytest
from robot_made import plan_of_square

from vision.steps.base import Spec


@pytest.fixture
def plan() -> list[Spec]:
    """Detect the square, and track it."""
    return plan_of_square()
