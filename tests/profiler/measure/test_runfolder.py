import errno
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from profiler.errors import ConfigError, StorageError
from profiler.fleet.targets import JumpHost
from profiler.measure import runfolder as module
from profiler.measure.runfolder import RunFolder, Subject, write_atomically


def begun(tmp_path: Path, fakes: ModuleType, **facts: object) -> RunFolder:
    folder = RunFolder.create(tmp_path, "fake", "run1")
    folder.write_header(fakes.DEVICE, fakes.TARGET, fakes.CONFIG, {"cpu_model": "A", **facts})
    return folder


def test_header_holds_what_makes_the_run_and_no_paths_of_keys(tmp_path: Path, fakes: ModuleType):
    begun(tmp_path, fakes)
    text = (tmp_path / "fake" / "run1" / "run.json").read_text()
    header = json.loads(text)
    assert header["target_id"] == fakes.TARGET.id
    assert header["config"] == fakes.CONFIG.to_dict()
    assert header["seed"] == fakes.CONFIG.seed
    assert header["facts"] == {"cpu_model": "A"}
    assert header["device"]["emulation"] == "simulated"
    assert {"schema", "edgecost", "started"} <= set(header)
    assert "/secret/key" not in text


@pytest.mark.parametrize("run_id", ["", "..", "a/b", "/abs", ".hidden", "x" * 101, "a b"])
def test_a_run_id_is_a_plain_name(tmp_path: Path, run_id: str):
    with pytest.raises(ConfigError, match="run id"):
        RunFolder.create(tmp_path, "fake", run_id)


def test_another_configuration_names_the_setting(tmp_path: Path, fakes: ModuleType):
    folder = begun(tmp_path, fakes)
    folder.check_same(fakes.DEVICE, fakes.TARGET, fakes.CONFIG)
    with pytest.raises(ConfigError, match=r"run1 was begun with other settings \(config.rounds\); choose another run"):
        folder.check_same(fakes.DEVICE, fakes.TARGET, replace(fakes.CONFIG, rounds=5))
    with pytest.raises(ConfigError, match=r"\(target.threads\)"):
        folder.check_same(fakes.DEVICE, replace(fakes.TARGET, threads=2), fakes.CONFIG)


def test_another_board_is_not_mixed_in_and_load_may_change(tmp_path: Path, fakes: ModuleType):
    folder = begun(tmp_path, fakes, load=0.1, runtimes={"onnxruntime": "1", "torch": "2"})
    now = {"cpu_model": "A", "load": 3.0, "runtimes": {"onnxruntime": "1", "torch": "3"}}
    folder.write_header(fakes.DEVICE, fakes.TARGET, fakes.CONFIG, now)
    with pytest.raises(ConfigError, match=r"\(onnxruntime\)"):
        folder.write_header(fakes.DEVICE, fakes.TARGET, fakes.CONFIG, {**now, "runtimes": {"onnxruntime": "1.1"}})
    with pytest.raises(ConfigError, match=r"board 'fake' has changed .* \(cpu_model\)"):
        folder.write_header(fakes.DEVICE, fakes.TARGET, fakes.CONFIG, {**now, "cpu_model": "B"})


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": "one"}'])
def test_a_broken_header_is_refused(tmp_path: Path, fakes: ModuleType, text: str):
    folder = begun(tmp_path, fakes)
    (folder.path / "run.json").write_text(text)
    with pytest.raises(StorageError, match=r"run.json is not the header of a run"):
        folder.check_same(fakes.DEVICE, fakes.TARGET, fakes.CONFIG)


def test_a_newer_header_is_refused(tmp_path: Path, fakes: ModuleType):
    folder = begun(tmp_path, fakes)
    (folder.path / "run.json").write_text('{"schema": 99}')
    with pytest.raises(StorageError, match="schema 99, newer"):
        folder.header()


def test_subjects_are_kept_once_and_isolation_is_not_forgotten(tmp_path: Path, fakes: ModuleType):
    folder = RunFolder.create(tmp_path, "fake", "run1")
    kernel = Subject("k", {"ops": []}, "conv", "chain", 4, ("c", "c"))
    folder.add_subjects([kernel, Subject("m", {}, "model")])
    folder.add_subjects([Subject("k", {"ops": []}, "as itself"), Subject("n", {})])
    found = {s.key: s for s in folder.subjects() if s is not None}
    assert found == {"k": kernel, "m": Subject("m", {}, "model"), "n": Subject("n", {})}


def test_a_corrupt_workload_line_is_reported_and_the_rest_kept(tmp_path: Path):
    folder = RunFolder.create(tmp_path, "fake", "run1")
    folder.add_subjects([Subject(f"k{i}", {"ops": [i]}) for i in range(3)])
    path = folder.path / "workloads.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"ops":[1]', b'"ops":[7]'))
    assert [s.key if s else None for s in folder.subjects()] == ["k0", None, "k2"]


def test_results_below_a_file_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot make results folder .*not a directory; .*another results folder"):
        RunFolder.create(tmp_path / "file", "fake", "run1")


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "f"
    write_atomically(path, [b"old"])

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(StorageError, match=r"cannot write .*: no space left on device"):
        write_atomically(path, [b"new"])
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_paths_of_keys_of_a_jump_host_are_nobodys_business_either(tmp_path: Path, fakes: ModuleType):
    folder = RunFolder.create(tmp_path, "fake", "run1")
    device = replace(
        fakes.DEVICE, jump=JumpHost("gate", "me", identity_file="/secret/jump", known_hosts="/secret/hosts")
    )
    folder.write_header(device, fakes.TARGET, fakes.CONFIG, {})
    text = (folder.path / "run.json").read_text()
    assert "/secret" not in text
    assert json.loads(text)["device"]["jump"]["host"] == "gate"


def test_a_run_begun_before_targets_had_accelerators_goes_on(tmp_path: Path, fakes: ModuleType):
    folder = begun(tmp_path, fakes)
    path = folder.path / "run.json"
    header = json.loads(path.read_text())
    for name in ("accelerator", "cores", "allow_fallback"):
        del header["target"][name]
    path.write_text(json.dumps(header))
    folder.check_same(fakes.DEVICE, fakes.TARGET, fakes.CONFIG)
    with pytest.raises(ConfigError, match=r"\(target.accelerator\)"):
        folder.check_same(fakes.DEVICE, replace(fakes.TARGET, accelerator="xnnpack"), fakes.CONFIG)
