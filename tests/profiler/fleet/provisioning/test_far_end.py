from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fake_wheels import make_wheel

from profiler.fleet.provisioning import ground
from profiler.fleet.provisioning.far_end import clear, trees
from profiler.fleet.provisioning.far_end.common import remove, sha256_of

RECORD = {"package": "toy"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "workdir"
    folder.mkdir()
    return folder


def pushed(root: Path, *wheels: Path) -> list[str]:
    """Lay wheels down as they arrive; their hashes."""
    folder = root / "env" / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    hashes = [sha256_of(wheel) for wheel in wheels]
    for wheel, sha in zip(wheels, hashes, strict=True):
        (folder / f"{sha}.whl").write_bytes(wheel.read_bytes())
    return hashes


def spec(root: Path, wheels: list[str], **more: Any) -> dict[str, Any]:
    digest = more.pop("digest", "a" * 64)
    common = {"root": str(root), "runtime": "toys", "digest": digest, "record": RECORD, "distributions": {"toy": "1"}}
    return {**common, "wheels": wheels, "anew": False, "token": "ab", **more}


@pytest.mark.parametrize("part", ["look", "trees", "clear"])
def test_old_pythons_understand_it_well_enough_to_be_refused(part: str) -> None:
    text = ground._text(part)
    ast.parse(text, feature_version=(3, 6))
    imported = {name.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for name in node.names}
    assert imported <= set(sys.stdlib_module_names)


def test_a_tree_is_made_of_wheels(root: Path, tmp_path: Path) -> None:
    files = {
        "toy/__init__.py": "x = 1\n",
        "toy-1.data/purelib/more.py": "y = 2\n",
        "toy-1.data/scripts/toy": "#!python\n",
        "shared/__init__.py": "",
    }
    wheels = pushed(
        root,
        make_wheel(tmp_path / "w", "toy", "1", files),
        make_wheel(tmp_path / "w", "other", "1", {"shared/__init__.py": "", "shared/b.py": ""}),
    )
    assert trees.have(spec(root, [*wheels, "b" * 64])) == {"missing": ["b" * 64]}
    assert trees.unpack(spec(root, wheels)) == {"there": False}
    tree = root / "env" / "toys" / ("a" * 64)
    found = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file() and "dist-info" not in path.name}
    assert {"toy/__init__.py", "more.py", "shared/__init__.py", "shared/b.py", "edgecost.json"} <= found
    assert not any("scripts" in path or path == "toy" for path in found)
    assert json.loads((tree / "edgecost.json").read_text()) == RECORD
    inode = tree.stat().st_ino
    assert trees.unpack(spec(root, wheels)) == {"there": True}
    assert tree.stat().st_ino == inode


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "toy/../../evil.py", "toy\\..\\evil.py", "toy//evil.py"])
def test_a_wheel_may_not_leave_its_tree(root: Path, tmp_path: Path, name: str) -> None:
    wheels = pushed(root, make_wheel(tmp_path / "w", "toy", "1", {name: "evil\n"}))
    with pytest.raises(ValueError, match="bad name"):
        trees.unpack(spec(root, wheels))
    assert not list(tmp_path.rglob("evil.py"))
    assert not (root / "env" / "toys" / ("a" * 64)).exists()


def test_a_wheel_may_hold_no_links(root: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "w", "toy", "1")
    with zipfile.ZipFile(wheel, "a") as archive:
        link = zipfile.ZipInfo("toy/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc")
    with pytest.raises(ValueError, match="bad name"):
        trees.unpack(spec(root, pushed(root, wheel)))


def test_a_damaged_wheel_is_seen_and_what_was_interrupted_is_swept(root: Path, tmp_path: Path) -> None:
    (sha,) = pushed(root, make_wheel(tmp_path / "w", "toy", "1"))
    half = root / "env" / "toys" / f"{'b' * 64}.part"
    half.mkdir(parents=True)
    trial = root / "env" / "trial-00"
    trial.mkdir()
    with (root / "env" / "wheels" / f"{sha}.whl").open("r+b") as file:
        file.write(b"PK\x05")
    assert trees.have(spec(root, [sha])) == {"missing": [sha]}
    with pytest.raises(ValueError, match="damaged"):
        trees.unpack(spec(root, [sha]))
    assert not half.exists()
    assert not trial.exists()


def test_accepting_replaces_what_was_in_use_and_discarding_does_not(root: Path, tmp_path: Path) -> None:
    wheels = pushed(root, make_wheel(tmp_path / "w", "toy", "1"))
    base = root / "env" / "toys"
    current = root / "env" / "current.json"
    old, new = "a" * 64, "b" * 64
    trees.unpack(spec(root, wheels))
    trees.try_out(spec(root, wheels))
    trees.accept(spec(root, wheels))
    assert json.loads(current.read_text())["toys"]["site"] == str(base / old)
    assert not (root / "env" / "trial-ab").exists()
    assert not (root / "env" / "wheels").exists()

    wheels = pushed(root, make_wheel(tmp_path / "w", "toy", "2"))
    trees.unpack(spec(root, wheels, digest=new))
    trial = Path(trees.try_out(spec(root, wheels, digest=new))["folder"])
    assert json.loads((trial / "env" / "current.json").read_text())["toys"]["digest"] == new
    assert json.loads(current.read_text())["toys"]["digest"] == old
    trees.discard(spec(root, wheels, digest=new))
    assert {path.name for path in base.iterdir()} == {old}
    trees.discard(spec(root, wheels, digest=old))
    assert {path.name for path in base.iterdir()} == {old}

    trees.unpack(spec(root, wheels, digest=new))
    trees.accept(spec(root, wheels, digest=new))
    assert {path.name for path in base.iterdir()} == {new}


def test_half_a_tree_never_has_the_name_of_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()

    def interrupted(path: str, **_: object) -> None:
        if os.path.exists(path):
            raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        remove(str(tree))
    assert [path.name for path in tmp_path.iterdir()] == ["tree.part"]


def test_an_agent_is_ended_only_if_it_is_the_process_that_was_noted(root: Path) -> None:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        try:
            note = {"pid": process.pid, "start": clear._started(process.pid), "boot_id": boot_id}
            for wrong in ({"start": "1"}, {"boot_id": "another"}, {"pid": 1}, {"pid": "x"}):
                session = root / "sessions" / ("c" * 32)
                session.mkdir(parents=True, exist_ok=True)
                (session / "agent.json").write_text(json.dumps({**note, **wrong}))
                assert clear._end_agents(str(root)) == 0
            assert process.poll() is None
            (session / "agent.json").write_text(json.dumps(note))
            assert clear._end_agents(str(root)) == 1
            assert process.wait(5) != 0
        finally:
            process.kill()
