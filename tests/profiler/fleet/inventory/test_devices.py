from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from devices_text import GOOD

from profiler.errors import ConfigError
from profiler.fleet.inventory.devices import find_device, load_devices, load_document
from profiler.fleet.targets import Cluster, LeaseTerms, Target

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


def test_devices_of_one_machine_know_that_they_share_it(devices_file: Write) -> None:
    path = devices_file(GOOD.replace("    user: pi\n", "    user: pi\n    machine: rack\n"))
    assert [d.shared for d in load_devices(path)] == [True, True]
    assert [d.shared for d in load_devices(devices_file(GOOD))] == [False, False]


RICH = """\
version: 1
devices:
  - id: rock
    host: 192.0.2.5
    user: me
    clusters: [{name: big, cpus: "4-5,7", capacity: 1024}, {name: little, cpus: [0, 3, 1, 2], max_mhz: 1800}]
    governor: performance
    memory_limit_mb: 900
    libraries: {gpu: /usr/lib/libgpu.so, edgetpu: /usr/lib/libedgetpu.so.1}
    lease: {wait_s: 3}
    targets:
      - {runtime: litert, precision: int8, accelerator: edgetpu, cores: big, allow_fallback: true}
"""


def test_everything_a_board_declares_reaches_its_device(devices_file: Write) -> None:
    (board,) = load_devices(devices_file(RICH))
    big = Cluster("big", (4, 5, 7), 1024)
    assert board.clusters == (big, Cluster("little", (0, 1, 2, 3), None, 1800))
    assert (board.governor, board.memory_limit_mb, board.lease) == ("performance", 900, LeaseTerms(3, 600))
    assert board.libraries == (("edgetpu", "/usr/lib/libedgetpu.so.1"), ("gpu", "/usr/lib/libgpu.so"))
    (target,) = board.targets
    assert target.id == "rock/litert-edgetpu-int8-t1-big"
    assert target.allow_fallback
    assert board.affinity(target) == (4, 5, 7)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("cores: big", "cores: bog"), ("line 12", "no cluster 'bog' (did you mean `big`?)", "big, little")),
        (
            ("accelerator: edgetpu", "accelerator: cuda"),
            ("line 12", "litert has no accelerator 'cuda'", "edgetpu, gpu"),
        ),
        (("runtime: litert", "runtime: litre"), ("line 12", "no runtime 'litre'")),
        (("precision: int8,", "precision: int8, threads: 4,"), ("line 12", "4 threads", "3 CPUs of 'big'")),
        (("[0, 3, 1, 2]", '"3-5"'), ("line 6", "CPU 4", "'big' and 'little'")),
        (("name: little", "name: big"), ("line 6", "'big'", "given twice")),
        (('"4-5,7"', '"5-4"'), ("line 6", '"5-4"', '"0-3,6"')),
        (('"4-5,7"', "[4, 4]"), ("line 6", "named twice")),
        (('"4-5,7"', "many"), ("line 6", "`devices[0].clusters[0].cpus`")),
        (("gpu: /usr", "gpus: /usr"), ("line 9", "accelerator 'gpus' (did you mean `gpu`?)")),
        (("/usr/lib/libgpu.so", "lib/libgpu.so"), ("line 9", "no absolute path")),
        (("wait_s: 3", "wait: 3"), ("line 10", "did you mean `wait_s`?")),
        (("capacity: 1024", "capacities: 1024"), ("line 6", "did you mean `capacity`?")),
        (("wait_s: 3", "wait_s: .inf"), ("line 10", "lease.wait_s")),
        (("user: me", "user: me\n    jump: {host: gw}"), ("line 6", "`devices[0].jump.user` is missing")),
    ],
    ids=lambda value: value[1] if isinstance(value[1], str) and len(value) == 2 else "",
)
def test_what_contradicts_itself_is_located(
    devices_file: Write, wrong: tuple[str, str], words: tuple[str, ...]
) -> None:
    assert wrong[0] in RICH
    text = complaint(devices_file(RICH.replace(*wrong)))
    assert [word for word in words if word not in text] == [], text


def test_one_address_under_two_ids_is_refused_unless_they_are_one_machine(devices_file: Write) -> None:
    same = GOOD.replace("192.0.2.2\n    port: 2222", "192.0.2.1")
    text = complaint(devices_file(same))
    assert "line 12" in text
    assert "192.0.2.1:22 of 'rpi5' in line 5" in text
    assert "`machine`" in text
    load_devices(devices_file(same.replace("id: rpi4", "id: rpi4\n    machine: rpi5")))
    # a private address behind another jump host is another board
    load_devices(devices_file(same.replace("id: rpi4", "id: rpi4\n    jump: {host: gw, user: u}")))


def test_the_example_lists_six_boards_at_addresses_that_are_nobodys() -> None:
    path = Path(__file__).parents[4] / "devices.yaml"
    devices = load_devices(path)
    assert [d.id for d in devices] == ["rpi5", "rpi4", "jetson-orin-nano", "coral-devboard", "rock5b", "kv260"]
    assert all(d.host.startswith("192.0.2.") and d.emulation == "" for d in devices)
    assert len({t.id for d in devices for t in d.targets}) == sum(len(d.targets) for d in devices)
    assert all(entry.sensors for entry in load_document(path).devices)
    assert all(entry.arch and entry.clusters for entry in load_document(path).devices)
