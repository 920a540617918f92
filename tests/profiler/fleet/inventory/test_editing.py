from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from devices_text import GOOD, TARGETS

from profiler.errors import ConfigError, StorageError
from profiler.fleet.inventory.devices import load_devices
from profiler.fleet.inventory.editing import append, pin, refuse_taken
from profiler.fleet.targets import JumpHost

KEY = "SHA256:" + "A" * 43

Write = Callable[[str], Path]


def test_pinning_inserts_one_line_and_keeps_the_rest(devices_file: Write) -> None:
    path = devices_file(GOOD)
    path.chmod(0o640)
    pin(path, "rpi5", KEY)
    old, new = GOOD.splitlines(), path.read_text(encoding="utf-8").splitlines()
    assert [line for line in new if line not in old] == [f'    host_key: "{KEY}"']
    assert [line for line in new if line in old] == old
    assert load_devices(path)[0].host_key == KEY
    assert load_devices(path)[1].host_key == "SHA256:" + "B" * 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_pinning_replaces_a_key_and_keeps_its_comment(devices_file: Write) -> None:
    path = devices_file(GOOD)
    pin(path, "rpi4", KEY)
    assert path.read_text(encoding="utf-8") == GOOD.replace("SHA256:" + "B" * 43, KEY)


@pytest.mark.parametrize(
    "text",
    [
        f"version: 1\ndevices: [{{id: a, host: h, user: u, {TARGETS}}}]\n",
        f"version: 1\r\ndevices:\r\n- id: a\r\n  host: h\r\n  user: u\r\n  {TARGETS}\r\n",
        f"version: 1\ndevices:\n- user: u\n  host_key:\n  id: a\n  host: h\n  {TARGETS}",
        f"version: 1\ndevices:\n- user: u\n  host: h\n  {TARGETS}\n  id: a",
    ],
    ids=["flow style", "CRLF", "empty value", "last line without an end"],
)
def test_pinning_works_in_every_style(tmp_path: Path, text: str) -> None:
    path = tmp_path / "devices.yaml"
    path.write_bytes(text.encode())
    pin(path, "a", KEY)
    assert load_devices(path)[0].host_key == KEY
    assert (b"\r\n" in path.read_bytes()) == ("\r\n" in text)
    assert path.read_bytes().replace(b"\r\n", b"").count(b"\r") == 0


def test_pinning_where_one_text_means_two_devices_changes_nothing(devices_file: Write) -> None:
    text = (
        "version: 1\ndevices:\n- &a\n  id: a\n  host: h\n  user: u\n  host_key:\n"
        "  machine: m\n  targets: [{runtime: torch, precision: fp32}]\n- {<<: *a, id: b}\n"
    )
    path = devices_file(text)
    assert len(load_devices(path)) == 2
    with pytest.raises(ConfigError, match="yourself"):
        pin(path, "a", KEY)
    assert path.read_text(encoding="utf-8") == text


def test_pinning_nonsense_or_an_unknown_device_changes_nothing(devices_file: Write) -> None:
    path = devices_file(GOOD)
    for device, key in (("rpi5", KEY + "\n"), ("rpi5", "AAAA"), ("rpi9", KEY)):
        with pytest.raises(ConfigError):
            pin(path, device, key)
    assert path.read_text(encoding="utf-8") == GOOD


def test_pinning_that_cannot_write_is_a_storage_error(devices_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = devices_file(GOOD)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("profiler.fleet.inventory.yamltext.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        pin(path, "rpi5", KEY)
    assert path.read_text(encoding="utf-8") == GOOD
    assert list(path.parent.iterdir()) == [path]


GATED = GOOD.replace("    port: 2222\n", "    port: 2222\n    jump: {host: gw, user: lab, known_hosts: hosts}\n")


def test_a_jump_hosts_key_is_pinned_beside_the_boards(devices_file: Write, tmp_path: Path) -> None:
    path = devices_file(GATED)
    pin(path, "rpi4", KEY, of_jump=True)
    _, board = load_devices(path)
    assert board.host_key == "SHA256:" + "B" * 43
    assert board.jump == JumpHost("gw", "lab", host_key=KEY, known_hosts=str(tmp_path / "hosts"))
    with pytest.raises(ConfigError, match="'rpi5'.*without a jump host"):
        pin(path, "rpi5", KEY, of_jump=True)


def test_a_jump_host_that_two_devices_share_by_an_anchor_is_pinned_once(devices_file: Write) -> None:
    text = (
        f"version: 1\ndevices:\n- id: a\n  host: h\n  user: u\n  jump: &gate {{host: gw, user: lab}}\n  {TARGETS}\n"
        f"- id: b\n  host: i\n  user: u\n  jump: *gate\n  {TARGETS}\n"
    )
    path = devices_file(text)
    pin(path, "b", KEY, of_jump=True)
    assert [d.jump.host_key for d in load_devices(path) if d.jump] == [KEY, KEY]
    assert [d.host_key for d in load_devices(path)] == [None, None]


ITEM = f"id: new\nhost: n\nuser: u\n# a word\n{TARGETS}\n"


def test_a_new_file_begins_with_its_preamble(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    append(path, ITEM, "new", "# first\n")
    assert path.read_text(encoding="utf-8").startswith("# first\nversion: 1\ndevices:\n  - id: new\n    host: n\n")
    assert load_devices(path)[0].id == "new"


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.rstrip("\n"),
        GOOD + "# the end\n\n# really\n",
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("version: 1\n", "") + "version: 1\n",
        GOOD.replace(
            "    targets: [{runtime: torch",
            "    notes:\n      - >-\n        a\n        b\n    targets: [{runtime: torch",
        ),
        f"version: 1\ndevices:\n- id: a\n  host: h\n  user: u\n  {TARGETS}\n  throttle: &t {{file: /x}}\n"
        f"- id: b\n  host: i\n  user: u\n  {TARGETS}\n  throttle: *t # c\n",
    ],
    ids=["plain", "no last newline", "comments behind", "CRLF", "key behind", "folded text", "alias at the end"],
)
def test_a_device_is_appended_and_the_rest_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "devices.yaml"
    path.write_bytes(text.encode())
    before = load_devices(path)
    append(path, ITEM, "new", "")
    assert load_devices(path)[:-1] == before
    assert load_devices(path)[-1].id == "new"
    new = path.read_bytes().decode()
    if "# the end" in text:  # a comment behind the devices is not the last one's
        assert new.index("id: new") < new.index("# the end")
    left = new.splitlines()
    for line in text.splitlines():  # nothing is lost, and the order stays
        left = left[left.index(line) + 1 :]
    assert ("\r\n" in new) == ("\r\n" in text)


@pytest.mark.parametrize(
    "text",
    [
        f"version: 1\ndevices: [{{id: a, host: h, user: u, {TARGETS}}}]\n",
        f"version: 1\ndevices:\n- id: new\n  host: h\n  user: u\n  {TARGETS}\n",
    ],
    ids=["flow style", "taken id"],
)
def test_what_cannot_be_appended_to_is_left_alone(devices_file: Write, text: str) -> None:
    path = devices_file(text)
    with pytest.raises(ConfigError):
        append(path, ITEM, "new", "")
    assert path.read_text(encoding="utf-8") == text


def test_an_id_or_address_that_is_taken_is_refused(devices_file: Write, tmp_path: Path) -> None:
    path = devices_file(GATED)
    with pytest.raises(ConfigError, match="a device 'rpi5' in .* already"):
        refuse_taken(path, "rpi5", "other", 22, None)
    with pytest.raises(ConfigError, match=r"192.0.2.1.:22 is the address of 'rpi5'.*`machine`"):
        refuse_taken(path, "new", "192.0.2.1.", 22, None)
    with pytest.raises(ConfigError, match="address of 'rpi4'"):
        refuse_taken(path, "new", "192.0.2.2", 2222, ("GW", 22))
    with pytest.raises(ConfigError, match="small letters"):
        refuse_taken(tmp_path / "none.yaml", "No Id", "h", 22, None)
    refuse_taken(path, "new", "192.0.2.2", 2222, None)
    refuse_taken(tmp_path / "none.yaml", "new", "h", 22, None)
