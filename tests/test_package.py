"""What ships: the members of the wheel and of the sdist, and that they install and import by themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("hatchling") is None, reason="needs hatchling: the extra 'dev'"),
]
WEIGHTS = {path.name for path in (ROOT / "weights").iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, the wheel built from the sdist, as an index does."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t"]
    subprocess.run([*build, "sdist"], cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    subprocess.run([*build, "wheel"], cwd=unpacked, check=True, capture_output=True)
    return folder


def test_the_members_of_the_wheel(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        size = sum(info.file_size for info in wheel.infolist())
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"vision"}
    source = {str(path.relative_to(ROOT)) for path in (ROOT / "vision").rglob("*")
              if path.is_file() and "__pycache__" not in path.parts}
    assert source <= set(names)
    assert {name for name in names if name.startswith("vision/_weights/")} == {f"vision/_weights/{w}" for w in WEIGHTS}
    assert "vision/_apps/face_unlock.py" in names
    assert [name for name in names if "make_" in name or "__pycache__" in name or "test" in name] == []
    assert {name.split("/", 1)[1] for name in names if "/licenses/" in name} == {"licenses/LICENSE", "licenses/NOTICE"}
    assert size < 80 << 20


def test_the_sdist_has_what_a_fork_needs(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {"Makefile", "NOTICE", "LICENSE", "CONTRIBUTING.md", "pyproject.toml", "tests/conftest.py",
            "examples/detect.py", "tools/make_mediapipe.py", "weights/README.md"} <= names


def test_it_installs_and_imports_alone(built: Path, tmp_path: Path) -> None:
    """In a fresh environment `import vision` wants lazy_loader and nothing else. With this one's packages behind it,
    the weights that were installed are found and pass their sha256."""
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env/bin/python"
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VISION_WEIGHTS")}

    def run(code: str) -> str:
        done = subprocess.run([python, "-c", code], cwd=tmp_path, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    target = Path(run("import sysconfig; print(sysconfig.get_path('purelib'))"))
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target,
                    next(built.glob("*.whl"))], check=True, capture_output=True)
    lazy = find_spec("lazy_loader")
    assert lazy is not None
    assert lazy.origin is not None
    (target / "lazy_loader").symlink_to(Path(lazy.origin).parent)
    assert run("import vision, vision._apps; print(vision.__file__, 'Detect' in dir(vision))") == (
        f"{target}/vision/__init__.py True")
    (target / "behind.pth").write_text(str(Path(lazy.origin).parent.parent))
    found = run("from vision import weights, zoo; print(weights.resolve(zoo.find('default', 'detect')))")
    assert found.startswith(f"{target}/vision/_weights/nanodet-g")
