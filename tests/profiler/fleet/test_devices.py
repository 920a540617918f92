from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from profiler.errors import ConfigError, StorageError
from profiler.fleet.devices import find_device, load_devices, load_document, pin
from profiler.fleet.targets import Target

GOOD = """\
# a comment at the top
version: 1
devices:
  - id: rpi5   # the new one
    host: 192.0.2.1
    user: pi
    identity_file: keys/board
    targets:
      - {runtime: onnxruntime, precision: fp32}
      - {runtime: litert, precision: int8, threads: 2, clock: "1800"}
  - id: rpi4
    host: 192.0.2.2
    port: 2222
    user: pi
    host_key: "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB" # old
    targets: [{runtime: torch, precision: fp32}]
"""
TARGETS = "targets: [{runtime: torch, precision: fp32}]"
KEY = "SHA256:" + "A" * 43

Write = Callable[[str], Path]


def complaint(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_devices(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def test_devices_are_read_with_their_defaults(devices_file: Write) -> None:
    first, second = load_devices(devices_file(GOOD))
    assert (first.id, first.port, first.machine, first.python, first.host_key) == ("rpi5", 22, "rpi5", "python3", None)
    assert first.targets[1] == Target("rpi5", "litert", "int8", 2, "1800")
    assert (second.port, second.host_key) == (2222, "SHA256:" + "B" * 43)


def test_relative_key_files_start_from_the_file_that_names_them(devices_file: Write, tmp_path: Path) -> None:
    assert load_devices(devices_file(GOOD))[0].identity_file == str(tmp_path / "keys" / "board")


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    text = complaint(tmp_path / "none.yaml")
    assert "edgecost fleet up" in text


def test_malformed_yaml_is_located(devices_file: Write) -> None:
    text = complaint(devices_file(GOOD.replace("    host: 192.0.2.1\n", "    host: [192.0.2.1\n")))
    assert "not YAML" in text
    assert "line " in text


def test_an_unknown_key_is_located_and_the_nearest_known_suggested(devices_file: Write) -> None:
    text = complaint(devices_file(GOOD.replace("identity_file:", "identityfile:")))
    assert "line 7" in text
    assert "`devices[0].identityfile`" in text
    assert "did you mean `identity_file`?" in text


def test_an_unknown_key_of_a_target_is_compared_with_a_targets_keys(devices_file: Write) -> None:
    text = complaint(devices_file(GOOD.replace("threads: 2", "thread: 2")))
    assert "line 10" in text
    assert "did you mean `threads`?" in text


def test_a_duplicate_id_names_both_lines(devices_file: Write) -> None:
    text = complaint(devices_file(GOOD.replace("id: rpi4", "id: rpi5")))
    assert "line 11" in text
    assert "line 4" in text
    assert "'rpi5'" in text


def test_a_wrong_type_shows_what_was_given(devices_file: Write) -> None:
    text = complaint(devices_file(GOOD.replace("    user: pi\n    identity", "    user: [pi]\n    identity")))
    assert "line 6" in text
    assert "`devices[0].user` is ['pi']" in text


@pytest.mark.parametrize("port", ["0", "65536", "-1", '"22"', "22.0", "ssh", "yes"])
def test_a_bad_port_is_refused(devices_file: Write, port: str) -> None:
    text = complaint(devices_file(GOOD.replace("port: 2222", f"port: {port}")))
    assert "line 13" in text
    assert "1 to 65535" in text


def test_a_missing_field_is_named(devices_file: Write) -> None:
    text = complaint(devices_file(GOOD.replace("    host: 192.0.2.1\n", "")))
    assert "`devices[0].host` is missing" in text
    assert "line 4" in text


def test_every_further_problem_is_counted(devices_file: Write) -> None:
    assert "(and 1 more)" in complaint(devices_file(GOOD.replace("port: 2222", "port: 0\n    colour: red")))


def test_a_key_given_twice_is_refused_although_yaml_would_keep_the_last(devices_file: Write) -> None:
    text = complaint(devices_file(GOOD.replace("port: 2222", "port: 2222\n    port: 22")))
    assert "line 14" in text
    assert "`port` is given twice" in text


def test_a_target_given_twice_is_refused(devices_file: Write) -> None:
    twice = "{runtime: torch, precision: fp32}"
    assert "given twice" in complaint(devices_file(GOOD.replace(twice, f"{twice}, {twice}")))


def test_int8_with_torch_is_refused(devices_file: Write) -> None:
    assert "fp32 only" in complaint(devices_file(GOOD.replace("torch, precision: fp32", "torch, precision: int8")))


@pytest.mark.parametrize(
    "text", ["", "[]", "just words", "version: 2\ndevices: []", "version: 1", "&a [*a]", "? [a]\n: b"]
)
def test_what_is_no_devices_file_at_all_is_one_sentence(devices_file: Write, text: str) -> None:
    complaint(devices_file(text))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    path.write_bytes(b"version: \xff\xfe")
    assert "UTF-8" in complaint(path)


def test_a_key_that_is_no_fingerprint_is_refused(devices_file: Write) -> None:
    text = complaint(devices_file(GOOD.replace("SHA256:BBB", "MD5:BBB")))
    assert "ssh-keygen -lf" in text


def test_an_unknown_device_lists_the_known_ones(devices_file: Write) -> None:
    with pytest.raises(ConfigError, match=r"did you mean `rpi5`.*rpi5, rpi4"):
        find_device(load_devices(devices_file(GOOD)), "rpi55")


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
        "  targets: [{runtime: torch, precision: fp32}]\n- {<<: *a, id: b}\n"
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

    monkeypatch.setattr("profiler.fleet.yamltext.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        pin(path, "rpi5", KEY)
    assert path.read_text(encoding="utf-8") == GOOD
    assert list(path.parent.iterdir()) == [path]


def test_the_example_lists_six_boards_at_addresses_that_are_nobodys() -> None:
    path = Path(__file__).parents[3] / "devices.yaml"
    devices = load_devices(path)
    assert [d.id for d in devices] == ["rpi5", "rpi4", "jetson-orin-nano", "coral-devboard", "rock5b", "kv260"]
    assert all(d.host.startswith("192.0.2.") and d.emulation == "" for d in devices)
    assert len({t.id for d in devices for t in d.targets}) == sum(len(d.targets) for d in devices)
    assert all(entry.sensors for entry in load_document(path).devices)
