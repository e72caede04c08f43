"""`vision eval identity`: how well faces are told apart."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vision.cli.eval.common import results, write
from vision.cli.options import EvalOptions, opened
from vision.cli.text import counted
from vision.errors import plain


@opened
def identity(
    options: EvalOptions,
    data: Annotated[Path, typer.Option(
        help="pictures of people: a folder for each, or one folder of files named as ann_01.jpg, ann_02.jpg")],
    max_distance: Annotated[float | None, typer.Option(
        min=0, help="who is further from everybody is unknown; the network's own unless given")] = None,
) -> None:
    """Verification by pairs (AUC, false matches and non-matches), and strangers before a gallery."""
    import numpy as np

    from vision.data.faces import pictures_of_people
    from vision.metrics.verification import identification, verification
    from vision.people.enrol import Looker
    from vision.people.identity import FaceEmbedder
    from vision.people.landmarks import FaceLandmarker

    pictures = pictures_of_people(data)
    embedder = FaceEmbedder.load(*options.where)
    looker = Looker(FaceLandmarker.load("default", *options.where[1:]), embedder)
    seen = list(results([path for path, _ in pictures], looker, options.quiet))
    used = [i for i, one in enumerate(seen) if one.vector is not None]
    left_out = [f"{pictures[i][0]}: {one.why}" for i, one in enumerate(seen) if one.vector is None]
    names = sorted({pictures[i][1] for i in used})
    people = np.array([names.index(pictures[i][1]) for i in used])
    vectors = np.stack([seen[i].vector for i in used]) if used else np.zeros((0, 1), np.float32)
    layout = embedder.layout
    named = layout.named if max_distance is None else max_distance
    pairs, gallery = verification(vectors, people, layout.same), identification(vectors, people, named)
    folds = ", ".join(f"{one:.4f}" for one in pairs.fold_aucs) or "too few of them"
    print(f"{embedder.name} ({embedder.engine.label}) on {data}: {counted(len(used), 'picture')} of "
          f"{len(names)} people")
    for line in left_out[:10]:
        print(plain(f"left out: {line}"))
    if len(left_out) > 10:
        print(f"left out: {len(left_out) - 10} more")
    print(f"pairs: {pairs.same} of one person, {pairs.other} of two; AUC {pairs.auc:.4f} (folds of people {folds})")
    print(f"  below {layout.same:g}: false match {pairs.false_match:.5f}, false non-match {pairs.false_non_match:.4f}")
    if pairs.fold_aucs:
        print(f"  below {pairs.chosen:.3f}, chosen on other people for a false match of 0.001: false match "
              f"{pairs.chosen_false_match:.5f}, false non-match {pairs.chosen_false_non_match:.4f}")
    print(f"gallery of half of the people, a picture at a time, below {named:g}: right {gallery.right:.4f}, another's "
          f"name {gallery.wrong:.4f}; strangers with a name {gallery.named:.4f}")
    write(options, embedder, {
        "pictures": len(used), "people": len(names), "left_out": left_out, "pairs": asdict(pairs),
        "gallery": asdict(gallery), "max_distance": named,
    })
