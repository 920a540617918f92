"""Fuzzing of `parse_message`: whatever bytes it is given, it returns a message or refuses them in one printable line.

EDGECOST_FUZZ=long python -m pytest tests/faults/test_fuzz_messages.py     # the long form
"""

from __future__ import annotations

import copy
import json
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from profiler.errors import AgentCrashed
from profiler.fleet import messages

SHORT_EXAMPLES = 120
LONG_EXAMPLES = 7_000
"""Of each of the three kinds of input."""

FACTS: dict[str, Any] = {
    "machine_id": "0123456789abcdef", "cpu_model": "Cortex-A76", "arch": "aarch64", "logical_cores": 4,
    "memory_mb": 8000, "kernel": "6.6.0", "os": "Debian", "libc": "glibc 2.36", "python": "3.11.2",
    "executable": "/usr/bin/python3", "runtimes": {"onnxruntime": "1.20.1"},
    "environments": {"litert": {"digest": "d1", "distributions": {"ai-edge-litert": "2.0.2"}}},
    "clusters": [{"cpus": [0, 1], "capacity": 1024, "max_mhz": 2400, "governor": "ondemand"}],
    "markers": {"platform_machine": "aarch64"}, "energy_sensor": None, "governor": "performance", "pinned": True,
    "affinity": "0-3", "freq_mhz": 2400.0, "load_1min": 0.1,
}  # fmt: skip
RESULT: dict[str, Any] = {
    "event": "result", "seq": 1, "id": "a1", "status": "ok", "issues": ["unpinned"], "samples_ns": [5, 6],
    "runs_per_batch": 1, "load_ns": 1, "first_run_ns": 1, "warmup_runs": 1, "output_error": 0.0, "energy_mj": None,
    "error": "", "env": {"load_1min": 0.5, "pinned": False, "runtime": "onnxruntime 1.20.1", "freq_mhz": None},
}  # fmt: skip
FAILURE: dict[str, Any] = {
    **RESULT, "status": "crashed", "issues": [], "samples_ns": [], "runs_per_batch": 0, "error": "SIGSEGV",
}  # fmt: skip
HELLO: dict[str, Any] = {
    "event": "hello", "protocol": 2, "pid": 77, "start": "123456", "boot_id": "b-1", "session": "00ff" * 8,
    "python": "3.11.2", "entries": 3, "running": None, "queued": 0,
}  # fmt: skip
VALID: tuple[dict[str, Any], ...] = (
    HELLO,
    RESULT,
    FAILURE,
    {"event": "facts", "facts": FACTS},
    {"event": "missing", "places": [0, 3]},
    {"event": "queued", "jobs": 2},
    {"event": "dropped"},
    {"event": "bye", "why": "asked to"},
    {"event": "started", "seq": 0, "id": "a1"},
    {"event": "heartbeat", "running": "a1"},
    {"event": "error", "error": "what?"},
)
"""One of every message, such as an agent sends them."""

_TEXTS = st.text(max_size=20) | st.sampled_from(
    ["", "\x1b]0;x\x07", "\u202e", "\ud800", "../../x", "<script>", "\0", "ok", "hello", "result", "a" * 501, "é" * 65]
)
_NUMBERS = (
    st.integers(-5, 5)
    | st.sampled_from([2**31, 2**63, 2**64, -(2**63) - 1, 10**15 + 1, 10**400, 1e308, -0.0, 5e-324])
    | st.floats(allow_nan=True, allow_infinity=True)
)
_LEAVES = st.none() | st.booleans() | _NUMBERS | _TEXTS
JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)

_EVENTS = st.sampled_from([str(each["event"]) for each in VALID])


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A message in which up to four things are wrong, of its values or of its bytes."""
    message = copy.deepcopy(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(0, 3))):
        _mutate_value(draw, message)
    data = json.dumps(message, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    return _mutate_bytes(draw, data) if draw(st.booleans()) else data


def _mutate_value(draw: st.DrawFn, message: dict[str, Any]) -> None:
    place: Any = message
    while True:
        inside = [key for key in place if isinstance(place[key], dict) and place[key]]
        if not inside or draw(st.booleans()):
            break
        place = place[draw(st.sampled_from(inside))]
    keys = sorted(place, key=str)
    kind = draw(st.sampled_from(["replace", "remove", "add", "append", "event"]))
    if kind == "event":
        message["event"] = draw(_EVENTS | JSON)
    elif kind == "add" or not keys:
        place[draw(_TEXTS)] = draw(JSON)
    elif kind == "remove":
        del place[draw(st.sampled_from(keys))]
    else:
        key = draw(st.sampled_from(keys))
        found = place[key]
        place[key] = [*found, draw(JSON)] if kind == "append" and isinstance(found, list) else draw(JSON)


def _mutate_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    kind = draw(st.sampled_from(["cut", "insert", "flip", "repeat", "twice"]))
    if kind == "cut":
        return data[:at]
    if kind == "insert":
        return data[:at] + draw(st.binary(max_size=6)) + data[at:]
    if kind == "flip" and at < len(data):
        return data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
    if kind == "repeat":
        return data[:at] + data[at : at + 3] * draw(st.integers(2, 300)) + data[at:]
    return data[:-1] + b"," + data[1:]  # every key twice


KINDS: dict[str, st.SearchStrategy[bytes]] = {
    "bytes": st.binary(max_size=300) | st.builds(lambda data: b'{"event":' + data, st.binary(max_size=60)),
    "json": JSON.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
    | st.builds(
        lambda e, v: json.dumps({"event": e, **v}).encode(), _EVENTS, st.dictionaries(_TEXTS, JSON, max_size=5)
    ),
    "mutations": mutations(),
}


def judge(line: bytes) -> str:
    """What became of a line: "accepted" or "refused"; AssertionError where it is neither."""
    try:
        message = messages.parse_message(line, "board")
    except AgentCrashed as error:
        refusal = error
    else:
        assert type(message).__module__ == messages.__name__
        assert message.model_dump_json()  # what was accepted can be written down again
        return "accepted"
    text = str(refusal)
    assert text.isprintable(), ascii(text)
    assert len(text) < 600, len(text)
    assert refusal.device_id == "board"
    return "refused"


def fuzz(kind: str, examples: int, number: int = 0) -> Counter[str]:
    """Try so many examples; how many were accepted and refused. Raises what a failing example raises."""
    counts: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(KINDS[kind])
    def each(line: bytes) -> None:
        counts[judge(line)] += 1

    run: Callable[[], None] = each
    run()
    return counts


def examples_wanted() -> int:
    """Of each kind, by EDGECOST_FUZZ."""
    return LONG_EXAMPLES if os.environ.get("EDGECOST_FUZZ") == "long" else SHORT_EXAMPLES
