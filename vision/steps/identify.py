"""Names of faces, from a gallery of people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np

from vision.errors import UsageError
from vision.people.face import Faces
from vision.people.identities import STRANGER, UNKNOWN, Identities
from vision.people.liveness import Live, Liveness
from vision.people.quality import MIN_WIDTH, Quality, quality
from vision.people.votes import FEWEST, Said, Votes
from vision.spec import Option, spec
from vision.state import State
from vision.steps.base import InTurn, ModelOption, Pool, Spec, Step, told
from vision.types import Floats, Frame, Ints, Result

if TYPE_CHECKING:
    from vision.io import Info
    from vision.people.gallery import Gallery
    from vision.people.identity import FaceEmbedder


class _Loaded(NamedTuple):
    """What the steps of all streams share."""

    embedder: FaceEmbedder
    gallery: Gallery


@spec
class Identify(Spec):
    """Say whose faces they are: people of a gallery, or unknown."""

    task = "identify"
    result = Identities
    takes: ClassVar = {"on": Faces}

    gallery: Annotated[Path | str | None, Option(
        "the people: a folder with a folder of pictures for each, or a file of `vision gallery enrol`")] = None
    on: Annotated[str, Option("the step whose faces it names, by its key")] = "faces"
    model: ModelOption = "default"
    max_distance: Annotated[float | None, Option(
        "who is further from everybody is unknown; the network's own unless given", min=0, remote=True)] = None
    min_width: Annotated[float, Option(
        "faces that are less wide are not compared", "pixels", min=1, remote=True)] = MIN_WIDTH
    liveness: Annotated[bool, Option(
        "name a face on a video only after a blink and a turn of the head", remote=True)] = False
    people: Annotated[tuple[str, ...], Option(
        "further people, NAME:LOOK each, as POST /v1/enrol of a server gives a look at a face", remote=True)] = ()

    def check(self) -> None:
        """Raise UsageError where there is nobody to compare with."""
        if self.gallery is None and not self.people:
            raise UsageError("nobody to compare with: give --gallery, a folder with a folder of pictures for each "
                             "person, or a file of `vision gallery enrol`.")
        if self.people:
            from vision.people.gallery import Gallery

            self._with(Gallery(""))

    def load(self, pool: Pool) -> Any:
        """The network and the gallery, which is empty unless there is one; a folder's pictures are looked at now.
        Raises as `FaceEmbedder.load`, `Gallery.load` and `enrol` do, DataError for a gallery of another network."""
        from vision.people.enrol import opened
        from vision.people.gallery import Gallery
        from vision.people.identity import FaceEmbedder
        from vision.people.landmarks import FaceLandmarker

        embedder = pool.load(FaceEmbedder.load, self.model)
        if self.gallery is None:
            return _Loaded(embedder, self._with(Gallery(embedder.name)))
        folder = Path(str(self.gallery))
        landmarker = pool.load(FaceLandmarker.load, "default", detector="default") if folder.is_dir() else None
        return _Loaded(embedder, self._with(opened(folder, embedder, landmarker)))

    def _with(self, gallery: Gallery) -> Gallery:
        """A gallery with the people of `people`."""
        from vision.people.written import with_people

        return with_people(gallery, self.people)

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream."""
        return IdentifyStep(self, model, info.kind in ("picture", "pictures"))


class IdentifyStep(InTurn):
    """One stream's faces and their names. still: each frame stands alone."""

    def __init__(self, spec: Identify, loaded: _Loaded, still: bool) -> None:
        super().__init__(spec.key)
        self.spec, self.still, self.remembers = spec, still, not still
        self.needs, self.covers = frozenset((spec.on,)), frozenset((spec.on,))
        self.embedder, self.gallery = loaded
        self.names = (STRANGER, *self.gallery.names)
        layout = self.embedder.layout
        self.named = layout.named if spec.max_distance is None else spec.max_distance
        self._votes: dict[int, Votes] = {}
        self._live: dict[int, Liveness] = {}
        self._time: float | None = None                 # of the last frame, seconds
        self._apart = float("inf")                      # the least time between two frames, seconds
        self._most = 0                                  # looks at one face

    def look(self, frame: Frame, sofar: Mapping[str, Result]) -> Result:
        """The names of the frame's faces."""
        faces = sofar[self.spec.on]
        assert isinstance(faces, Faces)
        good = [self._quality(frame, faces, row) for row in range(len(faces))]
        said = self._alone(frame, faces, good) if self.still else self._over_time(frame, faces, good)
        asked = self.spec.liveness and not self.still
        live = self._liveness(faces, frame.time) if asked else [Live.UNASKED] * len(faces)
        passed = [state in (Live.UNASKED, Live.YES) for state in live]
        labels = np.array([one.person + 1 if ok else UNKNOWN for one, ok in zip(said, passed, strict=True)], np.int64)
        ages = [frame.time - self._votes[i].since if i in self._votes else 0.0 for i in faces.ids.tolist()]
        distances = np.array([one.distance for one in said], np.float32)
        return Identities(
            faces.boxes, self._certain(distances, labels), labels, faces.ids,
            np.array(ages, np.float32), np.arange(len(faces)), np.where(np.isfinite(distances), distances, np.nan),
            np.array(good, np.int64), np.array(live, np.int64),
        ).rounded()

    def _certain(self, distances: Floats, labels: Ints) -> Floats:
        """How far on their side of the threshold distances (N,) lie: 0.5 at it, towards 1 away from it; 0 for what was
        not compared, and for what is near enough and has no name in `labels` (N,) yet."""
        away = np.abs(distances - self.named) / self.embedder.layout.slope
        decided = np.isfinite(distances) & ((labels != UNKNOWN) | (distances >= self.named))
        return np.where(decided, 1 / (1 + np.exp(-np.minimum(away, 50))), 0).astype(np.float32)

    def _quality(self, frame: Frame, faces: Faces, row: int) -> Quality:
        chip = self.embedder.chip(frame.image, faces.points[row]).pixels
        return quality(faces, row, chip, self.spec.min_width)

    def _alone(self, frame: Frame, faces: Faces, good: list[Quality]) -> list[Said]:
        """The names on a picture."""
        said = [Said(-1, float("inf"))] * len(faces)
        rows = [row for row, one in enumerate(good) if one == Quality.GOOD]
        people, distances = self.gallery.nearest(self.embedder(frame.image, faces[rows]))
        for row, who, distance in zip(rows, people.tolist(), distances.tolist(), strict=True):
            said[row] = Said(who if distance < self.named else -1, distance)
        return said

    def _over_time(self, frame: Frame, faces: Faces, good: list[Quality]) -> list[Said]:
        """The names on a frame of a video, from all looks at the same tracks."""
        ids = faces.ids.tolist()
        self._apart = min(self._apart, float("inf") if self._time is None else frame.time - self._time)
        self._time = frame.time
        self._votes = {i: self._votes.get(i) or Votes(frame.time) for i in {*ids, *self._recent(frame.time)}}
        for i in ids:
            self._votes[i].seen = frame.time
        rows = [row for row, one in enumerate(good) if one == Quality.GOOD and self._votes[ids[row]].due(frame.time)]
        for row, vector in zip(rows, self.embedder(frame.image, faces[rows]), strict=True):
            self._votes[ids[row]].take(vector, frame.time, self.gallery, self.named)
        self._most = max([self._most, *(self._votes[i].looks for i in ids)])
        return [self._votes[i].said for i in ids]

    def _recent(self, time: float) -> list[int]:
        """Tracks that may come back with their id."""
        return [i for i, votes in self._votes.items() if abs(time - votes.seen) < 10]

    def _liveness(self, faces: Faces, time: float) -> list[Live]:
        ids = faces.ids.tolist()
        self._live = {i: self._live.get(i) or Liveness() for i in {*ids, *(self._live.keys() & self._votes.keys())}}
        return [
            self._live[i](faces.points[row], faces.eyes[row], time) for row, i in enumerate(ids)
        ]

    def state(self) -> State:
        """The looks at each track."""
        return {
            "time": self._time, "apart": self._apart, "most": self._most,
            "votes": [{"id": i, **votes.state()} for i, votes in self._votes.items()],
            "live": [{"id": i, **live.state()} for i, live in self._live.items()],
        }

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self._time, self._apart, self._most = state["time"], state["apart"], state["most"]
        self._votes = {one["id"]: Votes() for one in state["votes"]}
        self._live = {one["id"]: Liveness() for one in state["live"]}
        for one in state["votes"]:
            self._votes[one["id"]].restore(one)
        for one in state["live"]:
            self._live[one["id"]].restore(one)

    @property
    def notes(self) -> Sequence[str]:
        """A remark, where frames were too far apart for a name."""
        if not 0 < self._most < FEWEST or not 1 < self._apart < float("inf"):
            return ()
        return (f"nobody was named: it takes {FEWEST} looks at a face that is followed, and the frames were "
                f"{self._apart:.2f} s apart or more. Look at more of them: a smaller --stride.",)

    def about(self) -> dict[str, Any]:
        """The network, where it runs, and from which distance on nobody is named."""
        return {**told(self.embedder), "max_distance": self.named}
