"""`edgecost devices init`, `trust`, `check` and `schema` as a user types them, against real SSH servers."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ssh_servers import USER, BentServer

from profiler.errors import ConfigError
from profiler.fleet.inventory.devices import load_devices, load_document
from profiler.fleet.inventory.schema import MODELINE, schema_text

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(run: Run) -> Run:
    """Runs `edgecost devices ...` in an empty folder; returns (exit code, stdout, stderr)."""
    return lambda *arguments: run("devices", *arguments)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BentServer]:
    with BentServer(tmp_path_factory.mktemp("board")) as up:
        yield up


def address(server: BentServer) -> list[str]:
    return ["--host", "127.0.0.1", "--port", str(server.port), "--user", USER, "--identity", str(server.identity)]


def test_a_board_that_was_never_seen_gets_an_entry_that_works(run: Run, board: BentServer) -> None:
    code, out, err = run("init", "fresh", *address(board), "--yes")
    assert code == 0, err
    assert f"shows the host key ssh-ed25519 {board.fingerprint}" in err
    assert "devices provision fresh" in err
    text = Path("devices.yaml").read_text(encoding="utf-8")
    assert text.startswith(MODELINE)
    (device,) = load_devices(Path("devices.yaml"))
    assert (device.host_key, device.identity_file) == (board.fingerprint, str(board.identity))
    assert (device.emulation, device.port) == ("loopback", board.port)
    assert {t.runtime for t in device.targets} >= {"onnxruntime", "litert"}
    assert "".join(f"    {line}\n" for line in out.splitlines()[1:]) in text
    # it is taken now, under this name and any other
    for name, words in (("fresh", "'fresh'"), ("other", "is the address of 'fresh'")):
        code, _, err = run("init", name, *address(board), "--yes")
        assert code == 2
        assert words in err
    assert Path("devices.yaml").read_text(encoding="utf-8") == text


def test_an_entry_is_appended_to_what_is_there_and_told_as_json(run: Run, board: BentServer) -> None:
    old = "# mine\nversion: 1\ndevices:\n- id: a\n  host: h\n  user: u # me\n"
    old += "  targets: [{runtime: torch, precision: fp32}]\n"
    Path("devices.yaml").write_text(old)
    code, out, err = run("init", "fresh", *address(board), "--yes", "--json", "--emulation", "qemu")
    assert code == 0, err
    answer = json.loads(out)
    assert (answer["id"], answer["entry"]["emulation"], answer["notes"]) == ("fresh", "qemu", [])
    assert Path("devices.yaml").read_text(encoding="utf-8").startswith(old)
    assert [entry.id for entry in load_document(Path("devices.yaml")).devices] == ["a", "fresh"]


def test_nothing_is_written_or_shown_to_a_board_whose_key_is_not_accepted(
    run: Run, board: BentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    before = list(board.commands)
    code, _, err = run("init", "fresh", *address(board))
    assert code == 1
    assert "pin it?" in err
    assert not Path("devices.yaml").exists()
    assert board.commands == before


def test_a_board_behind_a_jump_host_is_added_and_trusted(run: Run, board: BentServer, tmp_path: Path) -> None:
    with BentServer(tmp_path, forwards=True) as gate:
        gate.admit(board.identity)  # `init` offers one key to both
        jump = ["--jump", f"{USER}@127.0.0.1:{gate.port}"]
        code, _, err = run("init", "fresh", *address(board), *jump, "--yes")
        assert code == 0, err
        (device,) = load_devices(Path("devices.yaml"))
        assert device.jump is not None
        assert (device.jump.port, device.jump.host_key) == (gate.port, gate.fingerprint)
        assert device.host_key == board.fingerprint
        text = Path("devices.yaml").read_text(encoding="utf-8")
        Path("devices.yaml").write_text(text.replace(gate.fingerprint, "SHA256:" + "A" * 43))
        code, out, err = run("trust", "fresh", "--jump", "--yes", "--json")
        assert code == 0, err
        assert "DIFFERS from the one pinned" in err
        assert json.loads(out) == {"id": "fresh", "jump": True, "type": "ssh-ed25519", "host_key": gate.fingerprint}
        assert Path("devices.yaml").read_text(encoding="utf-8") == text
        code, out, _ = run("trust", "fresh", "--yes")
        assert code == 0
        assert f"pinned ssh-ed25519 {board.fingerprint} for fresh" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--jump", "nobody"), "user@host"),
        (("--jump", "u@h:99999"), "user@host"),
        (("--emulation", "vm"), "loopback or qemu"),
    ],
)
def test_arguments_that_make_no_sense_are_one_sentence(run: Run, arguments: tuple[str, ...], words: str) -> None:
    code, _, err = run("init", "fresh", "--host", "127.0.0.1", "--user", "u", *arguments, "--yes")
    assert code == 2
    assert words in err
    code, _, err = run("init", "No Id", "--host", "127.0.0.1", "--user", "u", "--yes")
    assert code == 2
    assert "small letters" in err


def test_a_jump_host_is_written_in_every_way() -> None:
    from edgecost.stages.inventory import _jump

    assert (_jump("me@gw", None).host, _jump("me@gw", None).port) == ("gw", 22)
    found = _jump("me@[fe80::1]:2222", "k")
    assert (found.host, found.user, found.port, found.identity_file) == ("fe80::1", "me", 2222, "k")
    with pytest.raises(ConfigError):
        _jump("me@gw:0", None)


def test_trusting_a_jump_host_that_is_not_there_is_one_sentence(run: Run) -> None:
    Path("devices.yaml").write_text(
        "version: 1\ndevices:\n- {id: a, host: h, user: u, targets: [{runtime: torch, precision: fp32}]}\n"
    )
    code, _, err = run("trust", "a", "--jump", "--yes")
    assert code == 2
    assert "without a jump host" in err


def test_check_compares_what_is_declared_and_fails_where_it_is_wrong(run: Run, board: BentServer) -> None:
    Path("devices.yaml").write_text(
        "version: 1\ndevices:\n"
        f"- {{id: a, host: 127.0.0.1, port: {board.port}, user: {USER}, identity_file: {board.identity},\n"
        f"    host_key: '{board.fingerprint}', arch: riscv64, python: /no/python,\n"
        "    clusters: [{name: big, cpus: '4000'}], targets: [{runtime: onnxruntime, precision: fp32}]}\n"
    )
    code, out, err = run("check", "--json")
    assert code == 1
    errors = [finding["what"] for finding in json.loads(out)["a"] if finding["level"] == "error"]
    assert len(errors) == 3
    for error, words in zip(errors, ("`arch` says riscv64", "CPU 4000", "'/no/python' runs no Python"), strict=True):
        assert words in error
    assert "a: 3 to mend" in err


def test_the_schema_is_printed_or_written(run: Run) -> None:
    code, out, _ = run("schema")
    assert (code, out) == (0, schema_text())
    assert run("schema", "--out", "schemas/x.json")[0] == 0
    assert Path("schemas/x.json").read_text(encoding="utf-8") == schema_text()
    code, out, _ = run("schema", "--out", "schemas/x.json", "--json")
    assert (code, json.loads(out)) == (0, {"file": "schemas/x.json"})


def test_one_address_under_two_ids_is_found_before_any_board_is_asked(run: Run) -> None:
    board = "host: 127.0.0.1, port: 9, user: u, targets: [{runtime: torch, precision: fp32}]"
    Path("devices.yaml").write_text(f"version: 1\ndevices:\n- {{id: a, {board}}}\n- {{id: b, {board}}}\n")
    code, _, err = run("check")
    assert code == 2
    assert "devices.yaml, line 4: 'b' has the address 127.0.0.1:9 of 'a' in line 3" in err
