from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import profiler.agent
from profiler.errors import ConfigError
from profiler.fleet import agent_bundle
from profiler.fleet.agent_bundle import PACKAGE, build_agent
from profiler.fleet.runtime_spec import AgentPlugin, RuntimeSpec


@pytest.fixture
def archive() -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(build_agent()[0]))


def test_the_hash_is_that_of_the_bytes() -> None:
    data, sha256 = build_agent()
    assert hashlib.sha256(data).hexdigest() == sha256


def test_building_again_and_elsewhere_gives_the_same_bytes() -> None:
    build_agent.cache_clear()
    code = "from profiler.fleet.agent_bundle import build_agent; print(build_agent()[1])"
    environment = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "PATH": ""}
    elsewhere = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=Path(agent_bundle.__file__).parents[2],
    )
    assert elsewhere.stdout.strip() == build_agent()[1]


def test_nothing_of_the_building_machine_is_inside(archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    assert names == sorted(names)
    for entry in archive.infolist():
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        assert entry.compress_type == zipfile.ZIP_STORED
        assert (entry.create_system, entry.external_attr >> 16) == (3, 0o100644)


def test_the_sources_are_all_of_the_package_and_nothing_else(archive: zipfile.ZipFile) -> None:
    folder = Path(profiler.agent.__file__).parent
    sources = {f"{PACKAGE}/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*.py")}
    assert set(archive.namelist()) == set(sources) | {"__main__.py"}
    assert all(archive.read(name) == source for name, source in sources.items())


def test_an_older_python_is_told(archive: zipfile.ZipFile, tmp_path: Path) -> None:
    """The first file that runs must parse there, and end before it imports what does not."""
    main = archive.read("__main__.py").decode()
    pretended = "import sys; sys.version_info = (3, 6, 9);" + f"exec({main!r})"
    result = subprocess.run([sys.executable, "-c", pretended], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr == "the agent needs Python 3.7 or newer, and this is 3.6\n"


def test_a_plugin_changes_the_archive_by_its_module_and_its_name(archive: zipfile.ZipFile) -> None:
    plugins = (AgentPlugin("other", "x = 1\n", ("other-dist",)), AgentPlugin("abacus", "y = 2\n"))
    data, sha256 = build_agent(plugins)
    assert sha256 != build_agent()[1]
    assert (data, sha256) == build_agent(plugins[::-1])
    with_plugins = zipfile.ZipFile(io.BytesIO(data))
    added = {f"{PACKAGE}/plugins/{name}.py" for name in ("abacus", "other")}
    assert set(with_plugins.namelist()) == set(archive.namelist()) | added
    assert with_plugins.read(f"{PACKAGE}/plugins/other.py") == b"x = 1\n"
    named: dict[str, object] = {}
    exec(with_plugins.read(f"{PACKAGE}/plugins/__init__.py"), named)
    assert named["DISTRIBUTIONS"] == {"abacus": (), "other": ("other-dist",)}
    changed = [n for n in archive.namelist() if archive.read(n) != with_plugins.read(n)]
    assert changed == [f"{PACKAGE}/plugins/__init__.py"]


def test_a_plugin_that_is_a_package_travels_whole(archive: zipfile.ZipFile, tmp_path: Path) -> None:
    folder = tmp_path / "board"
    (folder / "deep").mkdir(parents=True)
    for name, text in (("__init__.py", "from .other import x\n"), ("other.py", "x = 1\n"), ("deep/__init__.py", "")):
        (folder / name).write_text(text)
    (folder / "notes.txt").write_text("no module")
    spec = RuntimeSpec("whole", ("fp32",), lambda workload, precision: b"", "whole", agent_module=folder)
    plugin = spec.agent_plugin()
    assert plugin is not None
    data, sha256 = build_agent((plugin,))
    assert build_agent((spec.agent_plugin() or plugin,)) == (data, sha256)
    with_it = zipfile.ZipFile(io.BytesIO(data))
    added = {f"{PACKAGE}/plugins/whole/{name}" for name in ("__init__.py", "other.py", "deep/__init__.py")}
    assert set(with_it.namelist()) == set(archive.namelist()) | added
    path = tmp_path / "agent.pyz"
    path.write_bytes(data)
    code = f"import sys; sys.path.insert(0, sys.argv[1]); from {PACKAGE}.plugins import whole; print(whole.x)"
    assert subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True).stdout == "1\n"


def test_a_folder_that_is_no_package_is_told(tmp_path: Path) -> None:
    spec = RuntimeSpec("hollow", ("fp32",), lambda workload, precision: b"", "hollow", agent_module=tmp_path)
    with pytest.raises(ConfigError, match=r"has no __init__\.py"):
        spec.agent_plugin()
