"""What limits a run, in words, and the option that would help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vision.benchmark.ways import Way

_WORTH = 1.1                        # times as fast: what is worth an option


def limits(
    waited_s: Mapping[str, float], seconds: float, running: Mapping[str, str], found: Sequence[Way]
) -> tuple[str, str, str]:
    """The stage that limits, a sentence on it, and what would help.

    waited_s: what the run's own thread waited for, by stage, as `Report` has it. seconds: of the run. running: the
    precision and back end, "openvino bf16", of each step with a network. found: the ways to run these networks.
    """
    stage = max(waited_s, key=lambda one: waited_s[one], default="read")
    share = min(1.0, waited_s.get(stage, 0.0) / seconds) if seconds else 0.0
    name = {"read": "decode", "write": "write"}.get(stage, stage)
    told = f"what limits: {name} (the run waited for it {share:.0%} of its time)"
    if stage == "read":
        helps = "--stride 2 does every other frame; a smaller or less compressed copy of the source decodes faster"
    elif stage == "write":
        helps = "fewer outputs: records cost less than a video, and --stride 2 halves both"
    elif stage in running:
        helps = _of_network(stage, running[stage], found)
    else:
        helps = f"--{stage}.every 2 looks at every other frame only"
    return name, told, helps


def _of_network(step: str, running: str, found: Sequence[Way]) -> str:
    own = [way for way in found if way.step == step and way.batch == 1]
    now = max((way.figures.fps for way in own if f"{way.backend} {way.precision}" == running), default=0.0)
    networks = {way.network for way in own}
    fast = max((way for way in own if way.allowed), key=lambda way: way.figures.fps, default=None)
    any_ = max(own, key=lambda way: way.figures.fps, default=None)
    if len(networks) == 1 and now and fast is not None and fast.figures.fps > _WORTH * now:
        return (f"--precision {fast.precision} --backend {fast.backend} does {fast.figures.fps / now:.1f} times as "
                f"many pictures ({fast.why})")
    base = f"--{step}.every 2 looks at every other frame only; a smaller --{step}.model"
    if len(networks) == 1 and now and any_ is not None and any_.figures.fps > _WORTH * now:
        times = any_.figures.fps / now
        return (f"{base}; --precision {any_.precision} --backend {any_.backend} does {times:.1f} times as many "
                f"pictures, at a price ({any_.why})")
    return base
