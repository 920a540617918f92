from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.agent.worker.replies import empty_reply
from profiler.errors import AgentCrashed
from profiler.fleet import messages
from profiler.fleet.messages import Result, escape, parse_message

GOOD: dict[str, Any] = {
    "event": "result",
    "seq": 3,
    "id": "7",
    "status": "ok",
    "issues": ["unpinned"],
    "samples_ns": [10_000_000, 10_100_000],
    "runs_per_batch": 12,
    "load_ns": 5,
    "first_run_ns": 6,
    "warmup_runs": 40,
    "output_error": 0.0,
    "energy_mj": None,
    "power": None,
    "error": "",
    "env": {"load_1min": 0.5, "runtime": "onnxruntime 1.0", "pinned": False, "freq_mhz": None, "threads": 2},
}
POWER: dict[str, Any] = {
    "sensor": "meter", "scope": "wall", "form": "power", "times_us": [0, 100, 200], "values": [5, 6, 5], "polls": 9,
    "lsb": 0.001, "gain_u": 0.02, "offset_uw": 0.0, "idle_before_us": [0, 50], "load_us": [60, 140],
    "idle_after_us": [150, 200], "runs": 7,
}  # fmt: skip
FACTS = {"machine_id": "ab12", "cpu_model": "A76", "arch": "aarch64", "logical_cores": 4}
HELLO = {
    "event": "hello", "protocol": 2, "pid": 12, "start": "8823", "boot_id": "ab", "session": "0123456789abcdef",
    "python": "3.7.1", "entries": 0, "running": None, "queued": 0,
}  # fmt: skip


def line(message: object) -> bytes:
    return json.dumps(message).encode()


def refused(message: object, device_id: str = "") -> str:
    with pytest.raises(AgentCrashed) as caught:
        parse_message(message if isinstance(message, bytes) else line(message), device_id)
    return str(caught.value)


def vars_of(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


# what is accepted


def test_a_result_and_its_reply() -> None:
    result = parse_message(line(GOOD))
    assert isinstance(result, Result)
    reply = result.reply()
    assert type(reply) is messages.Reply
    assert reply.model_dump() == {name: value for name, value in GOOD.items() if name not in ("event", "seq", "id")}


def test_what_a_power_sensor_showed_becomes_the_journals_record() -> None:
    result = parse_message(line(GOOD | {"power": POWER}))
    assert isinstance(result, Result)
    assert result.power is not None
    record = result.power.record()
    assert record.times_us == (0, 100, 200)
    assert {name: list(v) if isinstance(v, tuple) else v for name, v in vars_of(record).items()} == POWER | {
        "meter": "board",
        "periodic_uw": 0.0,
    }


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (HELLO, messages.Hello),
        (HELLO | {"running": "k", "queued": 3, "entries": 10**6}, messages.Hello),
        ({"event": "heartbeat", "running": None}, messages.Heartbeat),
        ({"event": "heartbeat", "running": "k-1"}, messages.Heartbeat),
        ({"event": "error", "error": "what?"}, messages.Complaint),
        ({"event": "facts", "facts": FACTS}, messages.FactsMessage),
        ({"event": "missing", "places": [0, 5]}, messages.Missing),
        ({"event": "queued", "jobs": 2}, messages.Queued),
        ({"event": "dropped"}, messages.Dropped),
        ({"event": "bye", "why": "nobody came"}, messages.Bye),
        ({"event": "started", "seq": 0, "id": "k"}, messages.Started),
    ],
)
def test_every_other_message(message: dict[str, Any], kind: type) -> None:
    assert type(parse_message(line(message))) is kind


def test_facts_that_only_a_newer_agent_knows_are_dropped() -> None:
    message = parse_message(line({"event": "facts", "facts": FACTS | {"colour": {"deep": ["green"]}}}))
    assert isinstance(message, messages.FactsMessage)
    assert message.facts.cpu_model == "A76"
    assert "colour" not in message.facts.model_dump()


def test_the_agents_own_failures_are_accepted() -> None:
    reply = empty_reply("7") | {"status": "timed_out", "error": "ended after 3 s", "event": "result", "seq": 1}
    assert parse_message(line(reply)).event == "result"


# what is not


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"hello\n", b"{", b"[]", b"null", b"{}", b'{"event": "dance"}', b'{"event": ["hello"]}', b"\xff\xfe"],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    refused(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "fine"},
        {"issues": ["made_up"]},
        {"issues": ["unpinned"] * 50},
        {"samples_ns": [-1]},
        {"samples_ns": [0]},
        {"samples_ns": [1.5]},
        {"samples_ns": ["1"]},
        {"samples_ns": [True]},
        {"samples_ns": [10**30]},
        {"samples_ns": [float("nan")]},
        {"samples_ns": [float("inf")]},
        {"samples_ns": [1] * (messages.MAX_SAMPLES + 1)},
        {"runs_per_batch": -1},
        {"runs_per_batch": 10**12},
        {"load_ns": -1},
        {"first_run_ns": 0},
        {"warmup_runs": -1},
        {"output_error": float("nan")},
        {"output_error": -0.1},
        {"power": POWER | {"values": [5, 6]}},
        {"power": POWER | {"times_us": [0, 200, 100]}},
        {"power": POWER | {"load_us": [60]}},
        {"power": POWER | {"scope": "guessed"}},
        {"energy_mj": 0.0},
        {"energy_mj": -1.0},
        {"energy_mj": float("inf")},
        {"error": "x" * 501},
        {"error": None},
        {"env": {"deep": {"er": 1}}},
        {"env": {"list": [1]}},
        {"env": {"x": float("nan")}},
        {"env": {"x": "y" * 501}},
        {"env": {"\x1b[2J": 1}},
        {"env": {f"x{i}": i for i in range(101)}},
        {"id": "x" * 501},
        {"id": 7},
        {"id": "../../etc/passwd"},
        {"id": ""},
        {"seq": -1},
        {"seq": True},
        {"seq": 10**10},
        {"surprise": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_result_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    refused(GOOD | changes)


@pytest.mark.parametrize("name", sorted(GOOD.keys() - {"power"}))
def test_a_result_without_any_one_field_is_refused(name: str) -> None:
    refused({key: value for key, value in GOOD.items() if key != name})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"samples_ns": []}, "a success without samples"),
        ({"runs_per_batch": 0}, "a success without samples"),
        ({"status": "crashed"}, "a failure with samples"),
        ({"status": "crashed", "samples_ns": [], "energy_mj": 3.0}, "a failure with samples"),
    ],
)
def test_it_is_either_samples_or_a_failure(changes: dict[str, Any], why: str) -> None:
    assert why in refused(GOOD | changes)


@pytest.mark.parametrize(
    "changes", [{"machine_id": "\n"}, {"logical_cores": 0}, {"runtimes": {"a": 1}}, {"load_1min": -1.0}]
)
def test_facts_out_of_bounds_are_refused(changes: dict[str, Any]) -> None:
    refused({"event": "facts", "facts": FACTS | changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": -1},
        {"pid": 0},
        {"pid": 2**40},
        {"start": 8823},
        {"boot_id": "x" * 501},
        {"session": "a b"},
        {"entries": -1},
        {"entries": 10**10},
        {"running": "\x1b[2J"},
        {"running": 7},
        {"queued": None},
        {"surprise": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_greeting_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    refused(HELLO | changes)


@pytest.mark.parametrize(
    "message",
    [
        {"event": "missing", "places": [-1]},
        {"event": "missing", "places": [0] * 10_001},
        {"event": "missing", "places": ["0"]},
        {"event": "queued", "jobs": -1},
        {"event": "bye"},
        {"event": "bye", "why": "x" * 501},
        {"event": "dropped", "more": 1},
        {"event": "started", "seq": 0},
        {"event": "started", "seq": 0, "id": "a/b"},
        {"event": "heartbeat", "running": ["k"]},
    ],
)
def test_other_messages_out_of_bounds_are_refused(message: dict[str, Any]) -> None:
    refused(message)


def test_a_number_too_large_for_json_readers_is_refused() -> None:
    refused(line(GOOD).replace(b'"output_error": 0.0', b'"output_error": 1e999'))


def test_a_line_beyond_the_bound_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_LINE_BYTES", 100)
    assert "a line of 101 bytes" in refused(b" " * 101)


@pytest.mark.parametrize(
    "data",
    [
        b'{"event": "heartbeat", "running": null, "running": null}',
        b'{"event": "facts", "facts": {' + b",".join(b'" %d": 1' % number for number in range(1000)) + b"}}",
    ],
)
def test_objects_without_bounds_or_with_a_field_twice_are_refused(data: bytes) -> None:
    assert "fields" in refused(data)


@pytest.mark.parametrize(
    "body",
    [
        b'"samples_ns": [' + b"0," * 500_000 + b"0]",
        b'"env": {' + b",".join(b'"\\u0007%x": []' % number for number in range(100_000)) + b"}",
        b'"more": [' + b"[]," * 500_000 + b"0]",
    ],
)
def test_refusing_a_long_line_takes_little_memory(body: bytes) -> None:
    import tracemalloc

    data = b'{"event": "result", ' + body + b"}"
    tracemalloc.start()
    refused(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 * len(data)


def test_deep_nesting_is_refused_and_does_no_harm() -> None:
    refused(b'{"event": "result", "env": ' + b"[" * 100_000)


def test_the_error_is_one_sentence_that_names_the_board_and_quotes_nothing_raw() -> None:
    said = refused(b'{"event": "\\u001b[31mred\\n"}', "rpi5")
    assert said.startswith("The agent on rpi5 sent what is not of its protocol (")
    assert said.isprintable()
    assert len(said) < 400


# text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain µs ×", "plain µs ×"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\r\nb\tc\0", r"a\r\nb\tc\x00"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egnp", r"\u202egnp"),
        ("a\u200bb\u2028c", r"a\u200bb\u2028c"),
        ("\ud800", r"\ud800"),
        ("C:\\path", "C:\\path"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_escaped_text_is_bounded_after_escaping() -> None:
    assert escape("x" * 10, 10) == "x" * 10
    assert escape("x" * 11, 10) == "x" * 9 + "…"
    assert escape("\x1b" * 4, 10) == "\\x1b\\x1b\\…"


@given(st.text())
def test_escaped_text_is_printable_bounded_and_stays_as_it_is(text: str) -> None:
    shown = escape(text, 50)
    assert shown == "" or shown.isprintable()
    assert len(shown) <= 50
    assert escape(shown, 50) == shown


def test_all_text_of_a_message_is_escaped() -> None:
    result = parse_message(line(GOOD | {"error": "\x1b[2J", "env": {"runtime": "\x07bell"}}))
    assert isinstance(result, Result)
    assert result.error == r"\x1b[2J"
    assert result.env["runtime"] == r"\x07bell"
    facts = parse_message(line({"event": "facts", "facts": FACTS | {"runtimes": {"torch": "\x1b]0;owned\x07"}}}))
    assert isinstance(facts, messages.FactsMessage)
    assert facts.facts.runtimes["torch"] == r"\x1b]0;owned\x07"


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_any_json_is_a_message_or_an_error_of_ours(value: object) -> None:
    data = json.dumps({"event": "result", "env": value} if value else value).encode()
    refused(data)
