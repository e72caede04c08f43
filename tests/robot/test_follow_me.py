"""Follow me, in a plane: a base that turns and drives after a person, with a slow camera and slow motors."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from apps.robot import follow
from vision import Frame, Item, Poses, Tracks, VideoWriter
from vision.errors import SourceError
from vision.tracking.leader import Leader
from vision.tracking.pilot import Pilot

ROOT = Path(__file__).parents[2]
SIZE = WIDTH, HEIGHT = 640, 480
TICK = 0.005                                     # seconds of the simulation
STOP = {"forward": 0.0, "turn": 0.0}
STANDING = 4 * math.cos(0.4), 4 * math.sin(0.4)  # metres: 4 m away, 23 degrees to the left
Place = tuple[float, float]


@dataclass
class World:
    """A person, and a base at 0, 0 that looks along x. delay: from when a frame is taken to when it is there; dead:
    from a command to when the base does it, seconds. noise: of a box's sides, pixels. frames: a second."""

    person: Callable[[float], Place]
    delay: float = 0.12
    dead: float = 0.15
    noise: float = 1.5
    frames: float = 15.0
    pilot: Pilot = field(default_factory=Pilot)
    sees: Callable[[float], bool] = lambda t: True
    sends: Callable[[float], bool] = lambda t: True

    def box(self, t: float, x: float, y: float, heading: float, random: np.random.Generator) -> np.ndarray | None:
        """What the camera sees: a pinhole of 60 degrees, 0.9 m above the ground."""
        dx, dy = self.person(t)[0] - x, self.person(t)[1] - y
        ahead, left = dx * math.cos(heading) + dy * math.sin(heading), dy * math.cos(heading) - dx * math.sin(heading)
        if ahead < 0.3:
            return None
        focal = WIDTH / 2 / math.tan(math.radians(30))
        middle, foot, half = WIDTH / 2 - focal * left / ahead, HEIGHT / 2 + focal * 0.9 / ahead, focal * 0.25 / ahead
        if not 0 < middle < WIDTH:
            return None
        box = np.array([middle - half, foot - focal * 1.7 / ahead, middle + half, foot])
        noisy = box + random.normal(0, self.noise, 4)
        return np.clip(noisy, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT]).astype(np.float32)

    def run(self, seconds: float) -> np.ndarray:
        """Rows of time, forward, turn, bearing of the person in degrees, distance in metres, age of the newest
        frame."""
        random = np.random.default_rng(0)
        x = y = heading = forward = turn = 0.0
        under_way: list[tuple[float, float, np.ndarray | None]] = []
        commanded: list[tuple[float, float, float]] = []
        rows = []
        taken = given = 0
        for n in range(round(seconds / TICK)):
            t = n * TICK
            if t >= taken / self.frames:
                taken += 1
                if self.sends(t):
                    under_way.append((t + self.delay, t, self.box(t, x, y, heading, random) if self.sees(t) else None))
            while under_way and under_way[0][0] <= t:
                _, captured, box = under_way.pop(0)
                self.pilot.see(box, SIZE, captured)
            if t >= given / self.pilot.rate:
                given += 1
                command = self.pilot.command(t)
                commanded.append((t + self.dead, *command))
                dx, dy = self.person(t)[0] - x, self.person(t)[1] - y
                bearing = math.degrees(math.remainder(math.atan2(dy, dx) - heading, 2 * math.pi))
                rows.append((t, *command, bearing, math.hypot(dx, dy), t - self.pilot.frame_at))
            while commanded and commanded[0][0] <= t:
                _, forward, turn = commanded.pop(0)
            x, y = x + forward * math.cos(heading) * TICK, y + forward * math.sin(heading) * TICK
            heading += turn * TICK
        return np.array(rows)


@pytest.mark.parametrize(("delay", "dead"), [(0.03, 0.05), (0.12, 0.15), (0.2, 0.3)])
@pytest.mark.parametrize("side", [1, -1])
def test_it_comes_up_to_a_person_and_does_not_swing(delay: float, dead: float, side: int) -> None:
    pilot = Pilot(dead_time=dead)
    log = World(lambda t: (STANDING[0], side * STANDING[1]), delay, dead, pilot=pilot).run(12)
    bearing = side * log[:, 3]
    assert bearing.min() > -1.5, "degrees beyond the person"
    assert np.abs(bearing[log[:, 0] > 3.5]).max() < 2
    assert log[-1, 4] == pytest.approx(pilot.keep, abs=0.1)
    turning = log[np.abs(log[:, 2]) > 0.1, 2]
    assert (np.sign(turning) == side).all(), "turned to and fro"
    assert (log[:, 1] >= 0).all()
    assert log[:, 1].max() <= pilot.forward
    assert np.abs(log[:, 2]).max() <= pilot.turn
    assert np.abs(np.diff(log[:, 2])).max() <= pilot.turn_faster / pilot.rate + 1e-9


def test_without_the_dead_time_it_would_swing() -> None:
    """What the test above sees: a pilot that does not know of slow motors goes well beyond the person."""
    log = World(lambda t: STANDING, 0.2, 0.3, pilot=Pilot(dead_time=0.0)).run(12)
    assert log[:, 3].min() < -3


def test_it_keeps_up_with_somebody_who_walks() -> None:
    log = World(lambda t: (3 + 0.6 * t, 1.2 * math.sin(0.5 * t))).run(30)
    later = log[log[:, 0] > 3]
    assert np.abs(later[:, 3]).max() < 15
    assert 1.5 < later[:, 4].min() <= later[:, 4].max() < 3.5


def test_it_stops_half_a_second_after_the_person_was_seen() -> None:
    """Frames go on, nobody is in them; then the person is there again."""
    log = World(lambda t: (6.0, 1.0), sees=lambda t: not 2 <= t < 4).run(8)
    moving = np.abs(log[:, 1:3]).max(1) > 0
    gone = (log[:, 0] > 2.0 + 0.5) & (log[:, 0] < 4.0)
    assert not moving[gone].any()
    assert moving[(log[:, 0] > 1) & (log[:, 0] < 2.3)].all()
    assert moving[(log[:, 0] > 4.3) & (log[:, 0] < 6)].all()


@pytest.mark.parametrize("max_latency", [0.2, 0.3, 0.4])
def test_it_never_moves_on_stale_frames(max_latency: float) -> None:
    """The camera hangs, again and again, for a random while."""
    random = np.random.default_rng(1)
    gaps = [(start, start + random.uniform(0.1, 1.5)) for start in np.arange(1.0, 30.0, 2.0)]
    log = World(lambda t: (3 + 0.5 * t, 0.5 * math.sin(t)), pilot=Pilot(max_latency=max_latency),
                sends=lambda t: not any(a <= t < b for a, b in gaps)).run(32)
    moving = np.abs(log[:, 1:3]).max(1) > 0
    stale = log[:, 5] > max_latency
    assert stale.sum() > 50
    assert not moving[stale].any()
    assert moving[~stale].mean() > 0.8


def test_losses_of_every_second_frame_change_little() -> None:
    random = np.random.default_rng(2)
    seen = random.random(10_000) > 0.5
    log = World(lambda t: STANDING, sees=lambda t: bool(seen[int(t * 15)])).run(12)
    assert log[:, 3].min() > -2
    assert log[-1, 4] == pytest.approx(1.5, abs=0.15)


def test_it_stands_before_anything_was_seen() -> None:
    pilot = Pilot()
    assert [pilot.command(t / 20) for t in range(5)] == [(0.0, 0.0)] * 5


def test_somebody_whose_feet_are_out_of_the_picture_is_near() -> None:
    """1 m away the box is cut off: its height says 2 m, its width the truth."""
    pilot = Pilot(fov=60)
    focal = WIDTH / 2 / math.tan(math.radians(30))
    pilot.see(np.float32([320 - focal * 0.25, 40, 320 + focal * 0.25, HEIGHT]), SIZE, 0.0)
    assert pilot.distance == pytest.approx(1.0, abs=0.01)
    assert pilot.command(0.05) == pytest.approx((0.0, 0.0), abs=1e-6)


def test_an_older_frame_changes_nothing() -> None:
    pilot = Pilot()
    pilot.see(np.float32([300, 100, 340, 300]), SIZE, 1.0)
    before = pilot.bearing, pilot.distance
    pilot.see(np.float32([0, 0, 40, 400]), SIZE, 0.9)
    assert (pilot.bearing, pilot.distance, pilot.frame_at) == (*before, 1.0)


# who is followed

BLUE, RED = (200, 40, 30), (30, 40, 200)


def scene(*people: tuple[int, tuple[int, int, int], int]) -> tuple[Tracks, np.ndarray]:
    """A picture with people: id, colour, left edge; the first is the tallest."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    boxes = []
    for n, (_, colour, left) in enumerate(people):
        box = left, 100 + 20 * n, left + 60, 300
        cv2.rectangle(image, box[:2], box[2:], colour, -1)
        boxes.append(box)
    count = len(people)
    return Tracks(np.float32(boxes), np.full(count, 0.9), np.zeros(count, int), np.array([i for i, *_ in people], int),
                  np.zeros(count), np.arange(count)), image


def test_the_nearest_is_followed_by_id() -> None:
    leader = Leader()
    assert leader.box(*scene((7, RED, 50), (8, BLUE, 300))).tolist() == [50, 100, 110, 300]
    assert leader.box(*scene((8, BLUE, 50), (7, RED, 300))).tolist() == [300, 120, 360, 300], "not who is nearer now"
    assert leader.id == 7


def test_who_is_gone_is_found_again_by_the_looks() -> None:
    leader = Leader()
    leader.box(*scene((7, RED, 50)))
    assert leader.box(*scene((9, BLUE, 50))) is None, "somebody else"
    assert leader.box(*scene()) is None
    found = leader.box(*scene((9, BLUE, 50), (12, RED, 400)))
    assert found is not None
    assert found[0] == 400
    assert leader.id == 12


def test_nobody_takes_the_place_of_one_whose_track_lasts() -> None:
    """The tracker still knows where the person must be (row -1), so that nobody alike is taken for them."""
    leader = Leader()
    leader.box(*scene((7, RED, 50)))
    people, image = scene((7, RED, 50), (9, RED, 300))
    hidden = Tracks(people.boxes, people.scores, people.labels, people.ids, people.ages, np.array([-1, 0]))
    assert leader.box(hidden, image) is None
    assert leader.id == 7


def test_a_raised_hand_chooses() -> None:
    people, image = scene((7, RED, 50), (8, BLUE, 300))
    points = np.zeros((2, 33, 2), np.float32)
    points[:, 0, 1], points[:, 15:17, 1] = 150, 250                  # noses, and wrists below them
    poses = Poses(people.boxes[::-1], points, np.ones((2, 33)), np.array([1, 2]), np.ones(2))
    leader = Leader("hand")
    assert leader.box(people, image, poses) is None
    points[0, 16, 1] = 100                                           # of the pose that lies on 8
    found = leader.box(people, image, Poses(people.boxes[::-1], points, np.ones((2, 33)), np.array([1, 2]), np.ones(2)))
    assert found is not None
    assert leader.id == 8


# the page to copy


@pytest.mark.slow
def test_the_app_says_commands(tmp_path: Path) -> None:
    """A photograph that plays a camera, and then is over: commands within their limits, as JSON lines."""
    portrait = cv2.imread(str(ROOT / "docs" / "img" / "portrait.jpg"))
    with VideoWriter(tmp_path / "a.mp4") as film:
        for i in range(20):
            film.write(portrait, i / 10)
    done = subprocess.run([sys.executable, "-m", "apps.robot.follow", str(tmp_path / "a.mp4"), "--max-latency", "1"],
                          cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    commands = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(commands) > 5
    for one in commands:
        assert one.keys() == {"forward", "turn"}
        assert 0 <= one["forward"] <= 0.8
        assert abs(one["turn"]) <= 1.2
    assert commands[-1] == STOP


class Sent:
    """What a robot was told, and whether the session was closed after it."""

    def __init__(self) -> None:
        self.commands: list[dict[str, float]] = []
        self.closed = False

    def put(self, data: bytes, encoding: str) -> None:
        assert not self.closed
        self.commands.append(json.loads(data))

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SourceError])
def test_the_app_stops_the_robot_whatever_ends_it(ending: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    sent = Sent()

    step: Any = SimpleNamespace(key="track", names=("person",), shown=lambda frame, _: frame.image)

    def items() -> Iterator[Item]:
        people, image = scene((7, RED, 290))
        for n in range(32):
            yield Item(Frame(image, n, n / 100, captured=time.monotonic()), {"track": people}, [step])
            time.sleep(0.01)
        raise ending("the camera was pulled out")

    monkeypatch.setattr(follow, "Sender", lambda address: sent)
    monkeypatch.setattr(follow, "read", lambda *_, **options: None)
    monkeypatch.setattr(follow, "Run", lambda *_, **options: nullcontext(items()))
    with pytest.raises(ending):
        follow.main("0", publish="zenoh://robot/cmd_vel")
    assert sent.closed
    assert sent.commands[-2]["forward"] > 0
    assert sent.commands[-1] == STOP


def test_the_app_fails_with_the_error_of_its_source(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "apps.robot.follow", str(tmp_path / "none.mp4")],
                          cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == SourceError("").exit_code
    assert json.loads(done.stdout.splitlines()[-1]) == STOP
    assert done.stderr.splitlines()[-1].startswith("SourceError: there is no ")
    assert "Traceback" not in done.stderr
    done = subprocess.run([sys.executable, "-m", "apps.robot.follow", "0", "--by", "hnd"],
                          cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "'hnd' is not one of 'nearest', 'hand'" in " ".join(done.stderr.replace("│", " ").split())


def test_the_apps_of_robots_are_short() -> None:
    assert sum(len(page.read_text().splitlines()) for page in (ROOT / "apps" / "robot").glob("*.py")) < 150
