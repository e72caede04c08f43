"""How networks are trained on actions: settings, the networks, and what is refused before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from vision.data.videos import Videos, find_videos, held_out, listed
from vision.errors import ModelError, UsageError
from vision.spec import Option, nearest, spec
from vision.train import settings as common
from vision.train.recipe import Recipe
from vision.train.settings import Settings
from vision.train.start import there


@dataclass(frozen=True)
class ActionNet:
    """A network for clips.

    net, config: a key of `nets.NETS` and its arguments. size_wh, resize: its input, and how a frame gets there (as
    in a card). clip: frames of a window and their rate in frames a second. learns: the same for training, where a
    2D network sees fewer frames, further apart, of the same window. features, per_frame, channels: as in a card.
    """

    net: str
    size_wh: tuple[int, int]
    resize: Literal["crop", "stretch"]
    clip: tuple[int, float]
    learns: tuple[int, float]
    features: tuple[str, ...] = ("pool",)
    config: dict[str, Any] = field(default_factory=dict)
    per_frame: bool = False
    channels: Literal["colour", "two-stream"] = "colour"


def _resnet(arch: str) -> ActionNet:
    return ActionNet("video_resnet", (112, 112), "crop", (16, 15.0), (16, 15.0), config={"arch": arch})


ACTION_NETS: dict[str, ActionNet] = {
    "c3d": ActionNet("c3d", (112, 112), "crop", (16, 25.0), (16, 25.0), ("fc6", "pool5")),
    "c3d-lite": ActionNet(
        "c3d_lite", (56, 56), "stretch", (16, 12.5), (16, 12.5), ("fc6", "pool5"), {"side": 56, "difference": True},
    ),
    "r3d_18": _resnet("r3d_18"),
    "mc3_18": _resnet("mc3_18"),
    "r2plus1d_18": _resnet("r2plus1d_18"),
    "mobilenet-average": ActionNet("frame2d", (160, 120), "stretch", (8, 12.5), (4, 6.25), per_frame=True),
    "mobilenet-shift": ActionNet("frame2d", (160, 120), "stretch", (8, 12.5), (8, 12.5), config={"shift": True}),
    "mobilenet-two-stream": ActionNet(
        "frame2d", (224, 168), "stretch", (8, 6.25), (8, 6.25), config={"two_stream": True}, per_frame=True,
        channels="two-stream",
    ),
}


@spec
class ActionSettings(Settings):
    """How a network is trained on actions. All frames of a clip vary alike; half of the clips are mirrored."""

    epochs: common.Epochs = 24
    batch: common.Batch = 9
    weight_decay: common.Decay = 0.02
    model: Annotated[str, Option(f"one of {', '.join(ACTION_NETS)}")] = "mobilenet-two-stream"
    split: Annotated[int | None, Option(
        "UCF101's official lists 1, 2 or 3; unless given, a fifth of the groups is held out", min=1, max=3)] = None
    everything: Annotated[bool, Option("hold nothing out")] = False
    linear_svm: Annotated[bool, Option(
        "freeze the network and fit a linear SVM on its descriptors; of two streams that is the one way")] = False
    feature: Annotated[str | None, Option("the SVM's descriptor: fc6, pool5, pool")] = None
    samples: Annotated[int, Option("clips of each video in an epoch", min=1)] = 4
    area: common.Area = (0.5, 1.0)
    colour: common.Colour = 0.3
    smoothing: Annotated[float, Option("label smoothing", "0..1", min=0, max=1)] = 0.1
    weights: common.Weights = None

    @property
    def net(self) -> ActionNet:
        """The network that `model` names. Raises ModelError."""
        if self.model not in ACTION_NETS:
            raise ModelError(f"no network {self.model!r} to train on actions. {nearest(self.model, ACTION_NETS)}")
        return ACTION_NETS[self.model]

    @property
    def checkpoint(self) -> str:
        """What a run leaves to go on from."""
        return "best.safetensors" if self.linear_svm else super().checkpoint


def _read(data: Path, settings: ActionSettings) -> tuple[Videos, Videos]:
    if settings.split is not None:
        return listed(data, "train", settings.split), listed(data, "test", settings.split)
    videos = find_videos(data)
    return (videos, videos) if settings.everything else held_out(videos)


def _settle(settings: ActionSettings) -> ActionSettings:
    if settings.everything and settings.split is not None:
        raise UsageError("everything and split exclude each other: a split holds its test list out.")
    there(settings.weights)
    if settings.net.channels == "two-stream":
        return replace(settings, linear_svm=True)
    if settings.linear_svm and not settings.net.per_frame:
        raise UsageError(
            "a linear SVM becomes the last layer of a 2D network. For C3D write the descriptors (vision features) "
            "and fit them with vision.train.recognition.linear_svm."
        )
    return settings


RECIPE = Recipe(
    ActionSettings, _read, "vision.train.recognition:train", _settle,
    doc="Action recognition, on a folder with a folder of videos for each class, as UCF101 has them. What lies in one "
        "named none shows none of the actions: the model stays idle on it, and on what is like it.",
)
