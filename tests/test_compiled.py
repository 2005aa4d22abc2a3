"""The package as `pip install .` makes it: compiled where that can be, and just as right."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
HOT_ROOMS = ["proxy", "dataplane", "http1", "balance", "conformance", "rules"]


def installed(directory: Path, **environment: str) -> Path:
    """The wheel, built and unpacked."""
    source = directory / "source"
    shutil.copytree(ROOT / "hapair", source / "hapair", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", directory, source],
        check=True,
        timeout=600,
        env=os.environ | environment,
    )
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(directory / "site")
    return directory / "site"


def python(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.timeout(1500)
def test_the_compiled_modules_pass_the_tests_of_their_rooms(tmp_path):
    site = installed(tmp_path)
    assert "(compiled)" in python(site, "-m", "hapair", "--version").stdout
    where = python(site, "-c", "import hapair.proxy.session as s; print(s.__file__)").stdout
    assert where.startswith(str(site))
    rooms = [str(ROOT / "tests" / room) for room in HOT_ROOMS]
    ended = python(site, "-m", "pytest", "-m", "not netns and not interop and not chaos and not slow", *rooms)
    assert ended.returncode == 0, ended.stdout[-4000:]


@pytest.mark.timeout(400)
def test_without_a_compiler_it_is_plain_python(tmp_path):
    site = installed(tmp_path, CC="/bin/false")
    assert not list(site.rglob("*.so"))
    assert "(plain Python)" in python(site, "-m", "hapair", "--version").stdout
