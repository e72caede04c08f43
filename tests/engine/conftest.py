"""A tiny network with weights on disk, and a cache of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import MEAN, STD, Tiny, TinyClip

from vision.card import Card, Input
from vision.nets import NETS


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are cached for the session, away from the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def tiny_nets() -> Iterator[None]:
    module = ModuleType("vision.nets.tiny_for_tests")
    vars(module).update(Tiny=Tiny, TinyClip=TinyClip)
    sys.modules[module.__name__] = module
    NETS.update(tiny="tiny_for_tests:Tiny", tiny_clip="tiny_for_tests:TinyClip")
    yield
    del NETS["tiny"], NETS["tiny_clip"], sys.modules[module.__name__]


@pytest.fixture(scope="session")
def make_card(tiny_nets: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Card]:
    """A card for `net`, with random weights that are always the same ones, stored in float16."""
    folder = tmp_path_factory.mktemp("weights")

    def make(net: str = "tiny", **changes: object) -> Card:
        path = folder / f"{net}.safetensors"
        if not path.exists():
            torch.manual_seed(0)
            tensors = (Tiny if net == "tiny" else TinyClip)().state_dict()
            save_file({k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}, path)
        values: dict[str, object] = {
            "name": net, "task": "test", "net": net, "file": str(path), "licence": "ours", "source": "random",
            "input": Input((64, 48), "stretch", mean=MEAN, std=STD),
        }
        return Card(**{**values, **changes})

    return make


@pytest.fixture(scope="session")
def card(make_card: Callable[..., Card]) -> Card:
    return make_card()


@pytest.fixture(scope="session")
def pictures(photos: dict[str, Path]) -> np.ndarray:
    """(6,48,64,3) uint8: pieces of the two photographs."""
    whole = [cv2.resize(cv2.imread(str(path)), (192, 96)) for path in photos.values()]
    return np.stack([image[:48, x : x + 64] for image in whole for x in (0, 64, 128)])
