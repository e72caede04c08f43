"""Write `NAME.graph` beside the weights of every network that ships, by its card: the graph without its weights."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx

from vision.engine import skeleton
from vision.engine.program import program_of, state_dict
from vision.zoo import CARDS

FOLDER = Path(__file__).resolve().parent.parent / "weights"


def main() -> None:
    """All of them, or those that are named."""
    for card in CARDS.values():
        weights = FOLDER / card.file
        if card.form != "network" or not weights.is_file() or (sys.argv[1:] and card.name not in sys.argv[1:]):
            continue
        program = program_of(card)
        shape = None if program.any_size else program.shape
        graph = onnx.load_from_string(program.export(shape, whole=False))
        target = weights.with_name(f"{card.name}.graph")
        target.write_bytes(skeleton.strip(graph, set(state_dict(weights, card.without)), card))
        print(f"{target.name}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
