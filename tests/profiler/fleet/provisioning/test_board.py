"""Real SSH, real SFTP, real child processes; only the wheels are stand-ins, from a folder that plays the index."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_wheels import DIES, make_wheel, stands_in

from profiler.errors import BoardFull, ConfigError, DeviceBusy, DeviceError, DeviceLost
from profiler.fleet.provisioning import Provisioned, provision
from profiler.fleet.provisioning.accept import make_probes, try_probes
from profiler.fleet.provisioning.ground import Ground
from profiler.fleet.provisioning.index import Index
from profiler.fleet.sessions.session import BoardSession, connect
from profiler.fleet.targets import Device, Target

GOOD_NAME = re.compile(r"onnxruntime \d+(\.\d+)+")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def workdir(bare_board: Device, home: Path) -> Path:
    return home / bare_board.workdir.removeprefix("~/")


def one(board: Device, cache: Path, **more: Any) -> Provisioned:
    (found,) = provision(board, cache=cache, **more)
    return found


def current(workdir: Path) -> Any:
    return json.loads((workdir / "env" / "current.json").read_text())


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_a_bare_board_gets_a_runtime_and_a_second_time_changes_nothing(
    bare_board: Device, good: Path, cache: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    first = one(bare_board, cache, say=lines.append)
    assert (first.state, first.package, first.via) == ("installed", "onnxruntime", "host")
    assert first.tried == ((f"onnxruntime {first.version}", "accepted"),)
    assert any("runs fp32 correctly" in line for line in lines)
    entry = current(workdir)["onnxruntime"]
    assert entry["digest"] == first.digest
    assert entry["distributions"] == {"numpy": "2.0", "onnxruntime": first.version}
    assert {path.name for path in (workdir / "env").iterdir()} == {"current.json", "lock", "onnxruntime"}
    with connect(bare_board) as session:
        facts = session.facts()
        assert facts.environments["onnxruntime"].digest == first.digest
        assert facts.runtimes["onnxruntime"] == first.version

    before = snapshot(workdir / "env")
    forbid(monkeypatch, Ground, "push", "unpack", "accept")
    forbid(monkeypatch, Index, "look_up", "versions", "download")
    assert one(bare_board, cache) == replace(first, state="kept")
    assert snapshot(workdir / "env") == before

    # nor does a second board of the same kind download anything
    monkeypatch.undo()
    forbid(monkeypatch, Index, "look_up", "versions", "download")
    twin = replace(bare_board, workdir=f"{bare_board.workdir}-twin")
    assert one(twin, cache) == first


def forbid(monkeypatch: pytest.MonkeyPatch, kind: type, *names: str) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("this was not to happen")

    for name in names:
        monkeypatch.setattr(kind, name, forbidden)


def test_a_version_that_dies_on_the_board_is_stepped_over_and_recorded(
    bare_board: Device, good: Path, bad: Path, cache: Path, workdir: Path
) -> None:
    lines: list[str] = []
    found = one(bare_board, cache, say=lines.append)
    assert found.state == "installed"
    assert [GOOD_NAME.fullmatch(name) is not None for name, _ in found.tried] == [True, True]
    assert found.tried[0][0] == "onnxruntime 99.1.0"
    assert "SIGILL" in found.tried[0][1]
    assert found.tried[1] == (f"onnxruntime {found.version}", "accepted")
    (tree,) = (path for path in (workdir / "env" / "onnxruntime").iterdir())
    record = json.loads((tree / "edgecost.json").read_text())
    assert [(t["version"], t["outcome"]) for t in record["tried"]] == list(found.tried)
    assert any("99.1.0 does not work there" in line for line in lines)
    # what was tried is remembered there, so the second time tells it too
    assert one(bare_board, cache).tried == found.tried


def test_what_works_stays_when_nothing_newer_does(
    bare_board: Device, good: Path, index: Path, cache: Path, workdir: Path
) -> None:
    first = one(bare_board, cache)
    before = current(workdir)
    good.unlink()
    make_wheel(index, "onnxruntime", "99.1.0", {"onnxruntime/__init__.py": DIES})
    found = one(bare_board, cache, force=True, via="host")
    assert found.state == "failed"
    assert re.search(r"onnxruntime 99.1.0: .*SIGILL", found.error)
    assert current(workdir) == before
    assert [path.name for path in (workdir / "env" / "onnxruntime").iterdir()] == [first.digest]
    assert one(bare_board, cache).state == "kept"


def test_a_tree_that_was_damaged_is_made_again(bare_board: Device, good: Path, cache: Path, workdir: Path) -> None:
    first = one(bare_board, cache)
    tree = workdir / "env" / "onnxruntime" / first.digest
    (tree / "onnxruntime" / "__init__.py").write_text("raise ImportError('worn card')\n")
    lines: list[str] = []
    found = one(bare_board, cache, say=lines.append)
    assert (found.state, found.digest) == ("installed", first.digest)
    assert any("does not work any more" in line and "worn card" in line for line in lines)


def test_an_interruption_leaves_nothing_in_use_and_the_next_run_goes_on(
    bare_board: Device, good: Path, cache: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise DeviceLost("The link broke.")

    monkeypatch.setattr(Ground, "accept", lost)
    with pytest.raises(DeviceLost):
        one(bare_board, cache)
    assert not (workdir / "env" / "current.json").exists()
    monkeypatch.setattr(BoardSession, "measure", lost)
    monkeypatch.setattr(Ground, "discard", lost)  # it is gone for good: the trial and the tree stay behind
    with pytest.raises(DeviceLost):
        one(bare_board, cache)
    assert len(list((workdir / "env").glob("trial-*"))) == 1
    monkeypatch.undo()
    inode = next((workdir / "env" / "onnxruntime").iterdir()).stat().st_ino
    found = one(bare_board, cache)
    assert found.state == "installed"
    assert (workdir / "env" / "onnxruntime" / found.digest).stat().st_ino == inode
    assert not list((workdir / "env").glob("trial-*"))


def test_a_wheel_that_there_is_not_is_named_with_platform_and_remedy(
    bare_board: Device, index: Path, cache: Path, workdir: Path
) -> None:
    found = one(bare_board, cache)
    assert found.state == "failed"
    version = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    assert f"no wheel of onnxruntime for {version} on " in found.error
    assert "its Python has no pip" in found.error
    assert "set `python`" in found.error
    assert not (workdir / "env" / "current.json").exists()
    assert "pip" not in one(bare_board, cache, via="host").error.split(";")[0]


def test_the_boards_own_pip_is_asked_where_this_host_has_no_wheel(
    bare_board: Device, index: Path, cache: Path, workdir: Path, home: Path
) -> None:
    theirs = home / f"{workdir.parent.parent.name}-index"
    make_wheel(theirs, "numpy", "2.0", {"numpy/__init__.py": stands_in("numpy")})
    make_wheel(theirs, "onnxruntime", "99.1.0", {"onnxruntime/__init__.py": DIES})
    version = __import__("onnxruntime").__version__
    make_wheel(theirs, "onnxruntime", version, {"onnxruntime/__init__.py": stands_in("onnxruntime")})
    # a pip of its own, set up in the board's home alone
    python = home / f"{theirs.name}-python"
    options = f"PIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 PIP_FIND_LINKS={theirs}"
    python.write_text(f'#!/bin/sh\n{options} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    board = replace(bare_board, python=str(python))
    found = one(board, cache)
    assert (found.state, found.via, found.version) == ("installed", "board", version)
    assert "SIGILL" in found.tried[0][1]
    assert current(workdir)["onnxruntime"]["distributions"] == {"numpy": "2.0", "onnxruntime": version}
    assert one(board, cache).state == "kept"


def test_space_is_looked_at_before_anything_is_sent(
    bare_board: Device, good: Path, cache: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Ground.look
    monkeypatch.setattr(Ground, "look", lambda self: real(self).model_copy(update={"free_bytes": 20 << 20}))
    with pytest.raises(BoardFull, match=r"has 20 MB free in .* and needs 3\d MB: free some space"):
        one(bare_board, cache)
    assert not list(workdir.rglob("*.whl"))


def test_a_board_that_somebody_uses_is_left_alone(bare_board: Device, good: Path, cache: Path, workdir: Path) -> None:
    with connect(bare_board), pytest.raises(DeviceBusy, match="in use by"):
        one(bare_board, cache)
    assert not (workdir / "env" / "onnxruntime").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "#!/bin/sh\ncase $2 in *exec*) echo SyntaxError >&2; exit 1;; esac\necho edgecost:2.7\n",
            "a Python 2.7 .Synt",
        ),
        ("#!/bin/sh\nexit 3\n", "install Python there"),
        ('#!/bin/sh\necho \'edgecost:{"machine": "../x"}\'\n', "nonsense"),
        ("#!/bin/sh\necho edgecost:[[[[\n", "nonsense"),
        ('#!/bin/sh\nprintf \'edgecost:{"failed": "\\\\u001b[31mno"}\'\n', r"could not look"),
    ],
)
def test_a_python_that_is_none_is_named(
    bare_board: Device, good: Path, cache: Path, tmp_path: Path, text: str, words: str
) -> None:
    python = tmp_path / "python"
    python.write_text(text)
    python.chmod(0o755)
    with pytest.raises(DeviceError, match=words) as caught:
        one(replace(bare_board, python=str(python)), cache)
    assert "\x1b" not in str(caught.value)


def test_only_runtimes_of_the_targets(bare_board: Device, cache: Path) -> None:
    with pytest.raises(ConfigError, match="no target with the runtime 'litert'"):
        one(bare_board, cache, runtimes=["litert"])


class Session:
    """One whose every job ends in the same way."""

    def __init__(self, device: Device, **reply: Any) -> None:
        self.device = device
        self.reply = reply

    def measure(self, *_: object, **__: object) -> Any:
        return type("Reply", (), {"error": "", "env": {"runtime": "onnxruntime 1.2.0+cpu"}, **self.reply})()


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ({"status": "ok"}, None),
        ({"status": "wrong_output", "error": "off by \x1b 3"}, "fp32: wrong_output (off by \\x1b 3)"),
        ({"status": "ok", "env": {"runtime": "onnxruntime 1.1.0"}}, "onnxruntime 1.1.0 came before it"),
    ],
)
def test_what_counts_as_working(bare_board: Device, tmp_path: Path, reply: dict[str, Any], problem: str | None) -> None:
    probes = make_probes(bare_board.targets, tmp_path)
    found = try_probes(Session(bare_board, **reply), probes, "1.2.0")  # type: ignore[arg-type]
    assert found == problem or (found is not None and problem is not None and problem in found)


@pytest.mark.parametrize(("status", "error"), [("disk_full", ""), ("crashed", "killed by signal 9 (SIGKILL)")])
def test_what_no_other_version_would_mend_ends_it(bare_board: Device, tmp_path: Path, status: str, error: str) -> None:
    probes = make_probes(bare_board.targets, tmp_path)
    with pytest.raises(DeviceError, match="could not be tried"):
        try_probes(Session(bare_board, status=status, error=error), probes, "1.2.0")  # type: ignore[arg-type]


def test_a_version_that_dies_of_itself_is_at_fault(bare_board: Device, tmp_path: Path) -> None:
    probes = make_probes(bare_board.targets, tmp_path)
    session = Session(bare_board, status="crashed", error="killed by signal 4 (SIGILL)")
    assert "SIGILL" in (try_probes(session, probes, "1.2.0") or "")  # type: ignore[arg-type]


def test_every_precision_is_tried_once(board: Device, tmp_path: Path) -> None:
    targets: Sequence[Target] = [
        Target("a", "onnxruntime", precision, threads)  # type: ignore[arg-type]
        for precision in ("fp32", "int8")
        for threads in (1, 4)
    ]
    probes = make_probes(targets, tmp_path)
    assert [(target.precision, target.threads, target.accelerator) for target, _ in probes] == [
        ("fp32", 1, ""),
        ("int8", 1, ""),
    ]
