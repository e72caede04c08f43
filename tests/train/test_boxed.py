"""BoxInst's two losses: against twins that go point by point, and masks for which they are known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from vision.nets.condinst import places
from vision.train.boxed import REACH, affinity, alike, colours, inside, lab, projection

GRID = 8


def _ring() -> torch.Tensor:
    """(g,g) bool: touches its box of 4 to 6 points on every side, and is hollow."""
    ring = torch.zeros(GRID, GRID, dtype=torch.bool)
    ring[2:6, 1:7] = True
    ring[3:5, 2:6] = False
    return ring


def test_the_projection_of_a_perfect_mask_costs_nothing() -> None:
    within = torch.zeros(1, GRID, GRID, dtype=torch.bool)
    within[0, 2:6, 1:7] = True
    for perfect in (within[0], _ring()):
        assert projection(perfect[None].float(), within).item() == 0
    half = within.clone()
    half[0, :, 4:] = False                                        # its left half: 3 of 6 columns, and every row
    assert projection(half.float(), within).item() == pytest.approx(1 - 2 * 3 / (3 + 6))
    assert projection(torch.zeros(1, GRID, GRID), within).item() == 2
    everywhere = projection(torch.ones(1, GRID, GRID), within).item()
    assert everywhere == pytest.approx(2 - 2 * 4 / (8 + 4) - 2 * 6 / (8 + 6))


def test_pairs_and_their_loss_are_those_of_a_twin() -> None:
    random = torch.Generator().manual_seed(0)
    seen = torch.rand(2, 3, GRID, GRID, generator=random) * 4
    within = torch.zeros(2, GRID, GRID, dtype=torch.bool)
    within[0, 2:6, 1:7] = within[1, :, :3] = True
    logits = torch.randn(2, GRID, GRID, generator=random) * 3
    found = alike(seen, within)
    wanted, losses = torch.zeros_like(found), []
    probs = logits.double().sigmoid()
    for k, (down, right) in enumerate(((0, 2), (2, 0), (2, 2), (2, -2))):
        for n, i, j in np.ndindex(2, GRID, GRID):
            y, x = i + down, j + right
            if y >= GRID or not 0 <= x < GRID or not (within[n, i, j] or within[n, y, x]):
                continue
            if math.exp(-float((seen[n, :, i, j] - seen[n, :, y, x]).norm()) / 2) >= 0.3:
                wanted[k, n, i, j] = True
                p, q = probs[n, i, j].item(), probs[n, y, x].item()
                losses.append(-math.log(p * q + (1 - p) * (1 - q)))
    assert found.equal(wanted)
    assert 50 < len(losses) < found.numel()
    assert affinity(logits, found).item() == pytest.approx(np.mean(losses), rel=1e-5)
    assert affinity(logits, torch.zeros_like(found)).item() == 0


def test_a_mask_that_follows_the_colours_costs_nothing_and_one_across_them_does() -> None:
    seen = torch.zeros(1, 3, GRID, GRID)
    seen[:, 0, _ring()] = 90.0                                    # light on dark
    pairs = alike(seen, torch.ones(1, GRID, GRID, dtype=torch.bool))
    right = torch.where(_ring(), 20.0, -20.0)[None]
    assert affinity(right, pairs).item() == pytest.approx(0, abs=1e-6)
    assert affinity(right.roll(1, 2), pairs).item() > 5


def test_the_grid_reaches_beyond_the_box_and_colours_are_of_the_picture() -> None:
    boxes = torch.tensor([[20.0, 40, 60, 60]])
    at = places(boxes, 6, REACH)
    step = 40 * REACH / 6
    np.testing.assert_allclose(at[0, 0, :, 0], 40 + (np.arange(6) - 2.5) * step)
    np.testing.assert_allclose(at[0, :, 0, 1], 50 + (np.arange(6) - 2.5) * step / 2)
    assert inside(at, boxes)[0].nonzero().unique().tolist() == [1, 2, 3, 4]
    picture = np.zeros((96, 128, 3), np.uint8)
    picture[:, :40] = (200, 30, 30)
    picture[:, 40:] = (20, 20, 220)
    seen = colours(lab(torch.from_numpy(picture).permute(2, 0, 1)), at)
    assert seen.shape == (1, 3, 6, 6)
    for column, rgb in ((0, (200, 30, 30)), (5, (20, 20, 220))):
        wanted = cv2.cvtColor(np.float32([[rgb]]) / 255, cv2.COLOR_RGB2Lab)[0, 0]
        np.testing.assert_allclose(seen[0, :, 3, column], wanted, atol=0.01)
