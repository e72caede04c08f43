"""`vision serve` as a process, as a user and as a container start it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from vision import Detect
from vision.cli import app
from vision.cli.webcam import page
from vision.errors import UsageError, VisionError
from vision.serve.launch import listen
from vision.serve.limits import Limits
from vision.serve.service import Service
from vision.serve.settings import ServerOptions
from vision.steps import Pool, tasks
from vision.zoo import CARDS, find

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
VISION = [sys.executable, "-m", "vision"]


def environment(**more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if name != "VISION_TOKEN"}
    return {**clean, "PYTHONPATH": str(ROOT), "VISION_MEASURE": "no", **more}


@contextmanager
def started(*arguments: str, **more: str) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """A server that is ready: its process, its address and what it said."""
    process = subprocess.Popen(                          # Ctrl-C is ignored in what a shell starts in the background
        [*VISION, *arguments], stderr=subprocess.PIPE, text=True, env=environment(**more),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    said: list[str] = []
    try:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if line.startswith("ready"):
                break
        found = re.match(r"https?://[^ ]+", said[0])
        assert found, said
        yield process, found[0], said
    finally:
        process.kill()
        process.wait()


def instruction(name: str) -> list[str]:
    """The words of the last instruction of a name, in its JSON form."""
    found = re.findall(rf"^{name} (?:--.*\n *CMD )?(\[.*\])$", DOCKERFILE, re.MULTILINE)
    words: list[str] = json.loads(found[-1])
    return words


@pytest.mark.parametrize(("arguments", "status", "said"), [
    (["--do", "detec"], 2, "Nearest: detect"), (["--do", ""], 2, "no task ''"),
    (["--cert", "no-such.pem", "--cert-key", "no-such.pem", "--port", "0"], 2, "'no-such.pem' is not there"),
    (["--plan", "keys.toml", "--port", "0"], 2, "asked for by their tasks: the plan has one with the key 'sure'"),
    (["--host", "0.0.0.0"], 2, "a token is needed"),
    (["--do", "classify", "--model", "no-such", "--port", "0"], 1, "no model 'no-such'. Nearest"),
    (["--do", "classify", "--port", "0", "--backend", "nothing"], 2, "no back end 'nothing'"),
    (["--do", "segment", "--port", "0", "--free-only"], 1, "research only"),
    (["--monitor", "no-such.json"], 1, "cannot be read"),
])
def test_a_failed_start(
    arguments: list[str], status: int, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("VISION_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("keys.toml").write_text('[[do]]\ntask = "detect"\nkey = "sure"\n', encoding="utf-8")
    done = CliRunner().invoke(app, ["serve", *arguments])
    assert isinstance(done.exception, VisionError)
    assert done.exception.exit_code == status
    assert said in str(done.exception)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_further_model_is_not_the_default(lazy: bool) -> None:
    service = Service(["classify", "detect"], ["gfl-voc"], lazy=lazy)
    try:
        service.start()
        assert list(service.models["detect"]) == ["nanodet-g", "gfl-voc"]
        chosen = [service.asked({"detect": asked})[0].model.name for asked in ({}, {"model": "gfl-voc"})]
        assert chosen == ["nanodet-g", "gfl-voc"]
    finally:
        service.close()


def test_the_model_of_a_plan_is_the_default() -> None:
    service = Service(models=["nanodet-g"], own=[Detect(model="gfl-voc")])
    try:
        service.start()
        assert list(service.models["detect"]) == ["gfl-voc", "nanodet-g"]
        assert service.asked({"detect": {}})[0].model.name == "gfl-voc"
    finally:
        service.close()


def test_a_further_model_stands_in_for_a_default_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "segnet-mobilenetv2-camvid"
    monkeypatch.setitem(CARDS, name, replace(CARDS[name], use="free"))   # as one of one's own would be
    service = Service(["segment"], [name], Pool(free_only=True))
    try:
        service.start()
        assert list(service.models["segment"]) == [name]
    finally:
        service.close()


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(UsageError, match="cannot listen on"):
        listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.slow
def test_https_and_a_token_from_outside(tmp_path: Path) -> None:
    more = {"VISION_TOKEN": "from-outside", "XDG_CACHE_HOME": str(tmp_path)}
    with started("serve", "--do", "classify", "--port", "0", "--tls", **more) as (process, address, _):
        trusted = ssl.create_default_context(cafile=str(next(tmp_path.rglob("certificate.pem"))))
        with httpx.Client(verify=trusted, trust_env=False) as client:
            assert client.get(f"{address}/v1/tasks").status_code == 401
            answer = client.get(f"{address}/v1/tasks", headers={"authorization": "Bearer from-outside"})
            assert [one["task"] for one in answer.json()] == ["classify"]
            cookie = client.get(f"{address}/?token=from-outside").headers["set-cookie"]
            assert "Secure" in cookie
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    failing = [*VISION, "serve", "--do", "classify", "--model", "no-such", "--port", "0"]
    done = subprocess.run(failing, env=environment(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("ModelError: no model 'no-such'")


def test_the_dockerfile_is_sound() -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if linter is None:
        pytest.skip("needs hadolint: the extra 'dev'")
    done = subprocess.run([linter, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert int(re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)[-1]) > 0
    copied = {word for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
              for word in shlex.split(line)[:-1]}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[0] == "!"}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.slow
def test_the_commands_of_the_dockerfile_run() -> None:
    entry, rest, check = instruction("ENTRYPOINT"), instruction("CMD"), instruction("HEALTHCHECK")
    assert entry[0] == "vision"
    assert entry[entry.index("--host") + 1] == "0.0.0.0"
    port = entry[entry.index("--port") + 1]
    assert f"EXPOSE {port}\n" in DOCKERFILE
    arguments = [*entry[1:-1], "0", *rest, "--do", "classify"]
    refused = subprocess.run([*VISION, *arguments], capture_output=True, text=True, env=environment(), timeout=60)
    assert refused.returncode == 2                       # nobody gave it a token
    assert "token" in refused.stderr
    with started(*arguments, VISION_TOKEN="secret") as (process, address, _):
        own = address.rpartition(":")[2]
        health = [sys.executable if word == "python" else word.replace(f":{port}/", f":{own}/") for word in check]
        assert subprocess.run(health, timeout=20).returncode == 0
        assert httpx.get(f"http://127.0.0.1:{own}/metrics", trust_env=False).status_code == 401
        process.terminate()
        process.wait(20)
        assert subprocess.run(health, capture_output=True, timeout=20).returncode == 1


def test_all_that_the_image_serves_is_free() -> None:
    """Its command says --free-only, which refuses a model that a task brings along, too."""
    assert instruction("CMD") == ["--free-only"]
    options = ServerOptions(free_only=True)
    service = Service(options.offered(), (), options.pool(), options)
    try:
        assert {"detect", "track", "drive", "identify"} <= set(service.offered)
        cards = [row.card for name, row in tasks().items() if name in service.offered and row.card]
        assert {find(card).use for card in cards} == {"free"}
        assert [one.key for one in service.asked({"drive": {}})] == ["detect", "track", "lanes", "drive"]
    finally:
        service.close()


@pytest.mark.slow
def test_the_image_has_the_weights(tmp_path: Path) -> None:
    """What `pip install .` installs from the files that the Dockerfile copies, and from no others."""
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        for name in shlex.split(line)[:-1]:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path / "dist"), "-t", "wheel"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    with zipfile.ZipFile(next((tmp_path / "dist").glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert {f"vision/_weights/{path.name}" for path in (ROOT / "weights").iterdir()} <= names
    assert {"vision/serve/own.css", "vision/cli/examples.txt"} <= names


def test_compose_and_prometheus_agree_with_the_server() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    server, prometheus = compose["services"]["vision"], compose["services"]["prometheus"]
    assert server["build"] == "."
    assert server["ports"] == ["${VISION_BIND:-127.0.0.1}:8000:8000"]    # this machine alone, unless told otherwise
    assert server["read_only"] is True
    sizes = {place: int(re.search(r"\bsize=(\d+)m\b", more)[1]) << 20
             for place, _, more in (one.partition(":") for one in server["tmpfs"])}
    assert set(sizes) == {"/tmp", "/home/vision"}
    assert server["mem_limit"] == "4g"
    assert sum(sizes.values()) <= 2 << 30                # the other half is the server's
    command = server["command"]
    assert command[0] == "--free-only"                   # as in the image
    told = dict(zip(command[1::2], map(int, command[2::2]), strict=True))
    assert set(told) == {"--max-video", "--max-jobs"}
    limits = Limits(max_video=told["--max-video"], max_jobs=told["--max-jobs"])
    assert (limits.max_jobs + 1) * limits.max_video < sizes["/tmp"]
    assert prometheus["depends_on"]["vision"]["condition"] == "service_healthy"
    for one in prometheus["configs"]:
        told = compose["configs"][one["source"]]
        assert "environment" in told or (ROOT / told["file"]).is_file()
    scraping = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text(encoding="utf-8"))
    (job,) = scraping["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["vision:8000"]}]
    assert job["authorization"]["credentials_file"] in [one["target"] for one in prometheus["configs"]]
    alarms = yaml.safe_load((ROOT / "deploy/alarms.yml").read_text(encoding="utf-8"))
    service = Service(["classify"])
    try:
        known = service.metrics.text().decode()
    finally:
        service.close()
    asked = {name for group in alarms["groups"] for rule in group["rules"]
             for name in re.findall(r"vision_\w+", rule["expr"])}
    assert asked == {"vision_drift_alarm", "vision_frames_dropped_total"}
    for name in asked:
        assert f"# TYPE {name} " in known
    for name in re.findall(r'cause="([^"]+)"', (ROOT / "deploy/alarms.yml").read_text(encoding="utf-8")):
        assert f'cause="{name}"' in known


@pytest.mark.parametrize(("host", "said"), [
    ("127.0.0.1", "localhost"), ("localhost", "localhost"), ("127.0.0.2", "127.0.0.2"), ("::1", "[::1]"),
    ("0.0.0.0", "localhost"), ("::", "localhost"), ("192.168.1.7", "192.168.1.7"),
])
def test_the_page_of_a_webcam_is_where_it_listens(
    host: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    browser = page("webcam.browser")
    monkeypatch.setattr(browser, "launch", lambda options, told, **_: told(f"http://{host}:8000"))
    browser.serve(ServerOptions(host=host, open=True), ["track"])
    assert capsys.readouterr().err.splitlines()[0] == f"open http://{said}:8000/?do=track"
