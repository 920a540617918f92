"""What a hostile board tries: each attack with the errors that may answer it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.faults import served
from tests.faults.fuzzing import FACTS, HELLO, RESULT
from tests.faults.hostile import NASTY, Attack, Hook, Pretender, Process

REFUSED = ("AgentCrashed",)
LATE = ("DeviceTimeout",)
ENDED = ("AgentCrashed", "DeviceLost")
UNUSABLE = ("DeviceError", "AgentCrashed", "DeviceLost", "DeviceTimeout")
BUSY = ("DeviceBusy",)
HARMLESS = ("",)

_MB = 1 << 20
LEASE = {"pid": 5, "agent_pid": 5, "agent_start": "5"}


def _says(*parts: Any) -> Hook:
    """Answer with these messages (dicts) and bytes (a line each), then with silence."""

    async def hook(agent: Pretender, request: dict[str, Any]) -> None:
        for part in parts:
            made = part(agent, request) if callable(part) else part
            await (agent.write(made + b"\n") if isinstance(made, bytes) else agent.say(made))
        await agent.sulk()

    return hook


def _result(**wrong: Any) -> Callable[[Pretender, dict[str, Any]], dict[str, Any]]:
    """The proper result of a block's first job, but for what is wrong with it."""
    return lambda agent, request: {**RESULT, "seq": agent.seq(), "id": request["jobs"][0]["id"], **wrong}


def _started(agent: Pretender, request: dict[str, Any]) -> dict[str, Any]:
    return {"event": "started", "seq": agent.seq(), "id": request["jobs"][0]["id"]}


def _queued(agent: Pretender, request: dict[str, Any]) -> dict[str, Any]:
    return {"event": "queued", "jobs": len(request["jobs"])}


def _flood(data: bytes, errors: bool = False, pause_s: float = 0.0) -> Hook:
    """The same bytes for ever."""

    async def hook(agent: Pretender, request: dict[str, Any]) -> None:
        while True:
            await (agent.murmur(data) if errors else agent.write(data))
            await asyncio.sleep(pause_s)

    return hook


def _after_job_begins(flood: Hook) -> Hook:
    async def hook(agent: Pretender, request: dict[str, Any]) -> None:
        await agent.say(_queued(agent, request))
        await agent.say(_started(agent, request))
        await flood(agent, request)

    return hook


def _regardless(data: bytes) -> Hook:
    """Bytes for ever, beyond the window that the host has granted."""

    async def hook(agent: Pretender, request: dict[str, Any]) -> None:
        await agent.answer(request)
        channel = agent._process.channel
        channel._send_window = 1 << 40
        while not agent._process.stdout.is_closing():
            agent._process.stdout.write(data)
            await asyncio.sleep(0)

    return hook


def _big(**field: Callable[[], str]) -> Callable[[Pretender, dict[str, Any]], bytes]:
    """A proper result but for one field, whose JSON text is made when it is needed."""
    ((name, text),) = field.items()

    def make(agent: Pretender, request: dict[str, Any]) -> bytes:
        return json.dumps(_result(**{name: "@"})(agent, request)).replace('"@"', text()).encode()

    return make


def _block(*parts: Any) -> Attack:
    return Attack({"block": _says(_queued, _started, *parts)})


def _exits(status: int, words: bytes = b"") -> Hook:
    async def hook(agent: Pretender, request: dict[str, Any]) -> None:
        if words:
            await agent.murmur(words)
        agent.exit(status)

    return hook


def _late(seconds: float) -> Hook:
    async def hook(agent: Pretender, request: dict[str, Any]) -> None:
        await asyncio.sleep(seconds)
        await agent.answer(request)

    return hook


def _arrives(home: str = "", folder: str = "", sha256: str = "") -> Hook:
    return lambda agent, request: agent.arrive(home, folder, sha256)


def _files(serve: Callable[[Process], Awaitable[None]], **hooks: Hook) -> Attack:
    """The host wants to send a file."""
    return Attack(hooks or {"have": lambda a, r: a.say({"event": "missing", "places": [0]})}, files=serve)


def _busy(words: bytes) -> Hook:
    async def hook(agent: Pretender, request: dict[str, Any]) -> None:
        await agent.arrive()
        await agent.murmur(words)
        agent.exit(75)

    return hook


def _raw(first: bytes, for_ever: bytes) -> Attack:
    """No SSH server at all."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while for_ever:
            writer.write(for_ever)
            await writer.drain()
        await reader.read()

    return Attack({}, raw=speak)


def _shell_says(output: bytes, status: int = 0) -> Callable[[str], tuple[bytes, int] | None]:
    return lambda command: (output, status)


ATTACKS: dict[str, tuple[Attack, tuple[str, ...]]] = {
    # no SSH server
    "silence": (_raw(b"", b""), (*LATE, "Unreachable")),
    "a name without an end": (_raw(b"SSH-2.0-", b"x" * 65536), (*LATE, "Unreachable")),
    "lines before its name for ever": (_raw(b"", b"hello\r\n" * 8192), (*LATE, "Unreachable")),
    "a packet of 4 GB": (_raw(b"SSH-2.0-x\r\n\xff\xff\xff\xf4\x04\x14", b"x" * 65536), (*LATE, "Unreachable")),
    "a packet of 100 MB": (_raw(b"SSH-2.0-x\r\n\x06\x00\x00\x04\x04\x14", b"x" * 65536), (*LATE, "Unreachable")),
    # what is no JSON, or too much of it
    "malformed JSON": (_block(b'{"event": "result", '), REFUSED),
    "no UTF-8": (_block(b"\xff\xfe{}"), REFUSED),
    "another type": (_block(b"[1, 2, 3]"), REFUSED),
    "deep nesting": (_block(b"[" * 500_000), REFUSED),
    "deep nesting in a field": (_block(_big(env=lambda: '{"a":' + "[" * 500_000)), REFUSED),
    "a line of 17 MB": (_block(lambda a, r: b"x" * (17 * _MB)), REFUSED),
    "a text of 15 MB": (_block(_big(error=lambda: '"' + "x" * (15 * _MB) + '"')), REFUSED),
    "five million wrong samples": (_block(_big(samples_ns=lambda: "[" + '"",' * (5 * _MB) + "1]")), REFUSED),
    "eight million samples": (_block(_big(samples_ns=lambda: "[" + "1," * (7 * _MB) + "1]")), REFUSED),
    "a million facts of the time": (
        _block(_big(env=lambda: "{" + ",".join(f'"{i:x}":[]' for i in range(_MB)) + "}")), REFUSED),
    "a million clusters": (
        Attack({"facts": _says(
            lambda a, r: b'{"event":"facts","facts":{"clusters":[' + b"{}," * (5 * _MB) + b"0]}}")}), REFUSED),
    "a number of 16 million digits": (_block(_big(load_ns=lambda: "9" * (15 * _MB))), REFUSED),
    "a megabyte of spaces and a result": (_block(lambda a, r: b" " * _MB + json.dumps(_result()(a, r)).encode()), LATE),
    # what never ends
    "a greeting for ever": (Attack({"start": _flood(b"welcome\n" * 1000)}), REFUSED),
    "a greeting without an end": (Attack({"start": _flood(b"x" * 65536)}), REFUSED),
    "output without an end": (Attack({"block": _flood(b"x" * 65536)}), REFUSED),
    "empty lines for ever": (Attack({"block": _flood(b"\n" * 65536)}), REFUSED),
    "heartbeats for ever": (
        Attack({"block": _after_job_begins(_flood(b'{"event": "heartbeat", "running": null}\n' * 500))}), LATE),
    "heartbeats beyond the window": (
        Attack({"facts": _regardless(b'{"event": "heartbeat", "running": null}\n' * 800)}), (*LATE, *ENDED)),
    "everything beyond the window while nobody reads": (
        Attack({"facts": _regardless(b'{"event": "heartbeat", "running": null}\n' * 800)}, pause_s=2.0),
        ("DeviceLost",)),
    "stderr for ever": (Attack({"block": _after_job_begins(_flood(b"e" * 65536, errors=True))}), LATE),
    "stderr for ever at the start": (Attack({"start": _flood(b"e" * 65536, errors=True)}), LATE),
    # what is no message of the protocol, or not now
    "an unknown event": (_block({"event": "launch", "what": NASTY}), REFUSED),
    "no event": (_block({"id": "a"}), REFUSED),
    "a field too many": (_block(_result(extra=1)), REFUSED),
    "a field too few": (_block(b'{"event":"result","seq":1,"id":"a"}'), REFUSED),
    "a success without samples": (_block(_result(samples_ns=[])), REFUSED),
    "a failure with samples": (_block(_result(status="crashed")), REFUSED),
    "an unknown status": (_block(_result(status=NASTY)), REFUSED),
    "another protocol": (Attack({"hello": _says({**HELLO, "protocol": 99})}), REFUSED),
    "another session": (Attack({"hello": _says({**HELLO, "session": "ab" * 16})}), REFUSED),
    "hello twice": (_block(HELLO), REFUSED),
    "a billion entries of a journal": (
        Attack({"hello": _says(lambda a, r: {**HELLO, "session": a.session, "entries": 10**9})}),
        (*LATE, *REFUSED)),
    # other jobs' results, twice, in a wrong order
    "another job's result": (_block(_result(id="stranger")), REFUSED),
    "a result twice": (_block(_result(), lambda a, r: {**RESULT, "seq": 1, "id": r["jobs"][0]["id"]}), REFUSED),
    "a result twice with a new number": (_block(_result(), _result()), REFUSED),
    "a later entry first": (_block(_result(seq=7)), REFUSED),
    "an earlier entry again": (_block(_result(seq=0)), REFUSED),
    "a result of a job that never began": (
        Attack({"block": _says(_queued, lambda a, r: {**RESULT, "seq": a.seq(), "id": r["jobs"][1]["id"]}, b"{}")}),
        REFUSED),
    "files missing that nobody named": (Attack({"have": _says({"event": "missing", "places": [5000]})}), UNUSABLE),
    "a file that is never there": (Attack({"have": lambda a, r: a.say({"event": "missing", "places": [0]})}), UNUSABLE),
    # figures that are none
    "NaN": (_block(_result(output_error=float("nan"))), REFUSED),
    "Infinity": (_block(_result(energy_mj=float("inf"))), REFUSED),
    "NaN among the samples": (_block(_result(samples_ns=[5, float("nan")])), REFUSED),
    "NaN among the facts": (_block(_result(env={"load_1min": float("nan")})), REFUSED),
    "a negative latency": (_block(_result(samples_ns=[5, -6])), REFUSED),
    "a latency of zero": (_block(_result(samples_ns=[0, 1])), REFUSED),
    "a latency of a hundred years": (_block(_result(samples_ns=[3 * 10**18])), REFUSED),
    "a number beyond 64 bits": (_block(_big(runs_per_batch=lambda: "1" + "0" * 30)), REFUSED),
    "a fraction of a nanosecond": (_block(_result(samples_ns=[5.5])), REFUSED),
    # late, or not at all
    "a reply after the limit": (Attack({"block": _late(20)}), LATE),
    "facts after the limit": (Attack({"facts": _late(20)}), LATE),
    "no hello": (Attack({"hello": _late(20)}), LATE),
    "an exit without a word": (Attack({"hello": _exits(0)}), ENDED),
    "an exit in the middle": (Attack({"block": _exits(3, NASTY.encode())}), ENDED),
    # names and words
    "names with everything in them": (_block(_result(env={NASTY: 1})), REFUSED),
    "an id that is a path": (_block(_result(id="../../../etc/passwd")), REFUSED),
    "a digest that is a path": (
        Attack({"facts": _says({"event": "facts", "facts": {
            **FACTS, "environments": {"litert": {"digest": "../../x", "distributions": {}}}}})}), REFUSED),
    "words with everything in them": (_block({"event": "error", "error": NASTY}), REFUSED),
    "a board that says goodbye": (_block({"event": "bye", "why": NASTY}), ENDED),
    "facts with everything in them": (
        Attack({"facts": lambda a, r: a.say({"event": "facts", "facts": {**FACTS, "cpu_model": NASTY, "os": NASTY}})}),
        HARMLESS),
    "a failure with everything in it": (
        Attack({"block": _says(_queued, _started, _result(
            status="crashed", issues=[], samples_ns=[], runs_per_batch=0, error=NASTY, env={"runtime": NASTY}))}),
        (*LATE, *HARMLESS)),
    # folders and files
    "a workdir that is no path": (Attack({"start": _arrives(folder="../../etc")}), UNUSABLE),
    "a workdir with escapes": (Attack({"start": _arrives(folder="/tmp/\x1b[2J/x")}), UNUSABLE),
    "a home with escapes": (Attack({"start": _arrives(home="/tmp/\u202e")}), UNUSABLE),
    "a workdir of a megabyte": (Attack({"start": _arrives(folder="/" + "x" * _MB)}), UNUSABLE),
    "an agent that is another one": (Attack({"start": _arrives(sha256="ab" * 32)}), UNUSABLE),
    "an agent with a nasty name": (Attack({"start": _arrives(sha256=NASTY.replace("\n", " "))}), UNUSABLE),
    "file answers of 15 MB": (_files(served.huge_file_answers), UNUSABLE),
    "a file answer of 4 GB": (_files(served.gigantic_file_answer), UNUSABLE),
    "file answers to other questions": (_files(served.foreign_file_answers), UNUSABLE),
    "errors of files that are no UTF-8": (_files(served.no_utf8_in_file_errors), UNUSABLE),
    "file answers that are too short": (_files(served.short_file_answers), UNUSABLE),
    "a file server that ends at once": (_files(served.ending_file_server(0)), ("DeviceLost",)),
    "a file server that ends half-way": (_files(served.ending_file_server(2)), ("DeviceLost",)),
    "escapes in the errors of files": (_files(served.escapes_in_file_errors), UNUSABLE),
    # the lease
    "busy, it says, with escapes": (Attack({"start": _busy(NASTY.encode() * 50)}), BUSY),
    "a lease of somebody with escapes": (
        Attack({"start": _busy(json.dumps({**LEASE, "owner": NASTY, "user": NASTY, "since": NASTY}).encode())}), BUSY),
    "a lease of nonsense": (Attack({"start": _busy(b"[" * 5000)}), BUSY),
    "a stale lease whose end is endless": (
        Attack(
            {"start": _busy(json.dumps({**LEASE, "expired": True}).encode())},
            shell=_shell_says(b"x" * (8 * _MB), 1),
        ), BUSY),
}  # fmt: skip
