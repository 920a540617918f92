"""Requests are read whole or refused in a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from profiler.agent.daemon import requests
from profiler.agent.jobs import BadRequest


def line(**request: Any) -> bytes:
    return json.dumps(request).encode()


def test_every_request_is_read(good_job: dict[str, Any]) -> None:
    assert requests.read(line(op="hello", since=3, alone_s=None, linger_s=5)) == requests.Hello(3, None, 5.0)
    assert requests.read(line(op="hello", since=0, alone_s=0, linger_s=0)) == requests.Hello(0, 0.0, 0.0)
    assert requests.read(line(op="facts")) == requests.FactsWanted()
    assert requests.read(line(op="have", files=[["/a", "00"]])) == requests.Have([("/a", "00")])
    assert requests.read(line(op="block", jobs=[good_job])) == requests.Block([good_job])
    assert requests.read(line(op="drop")) == requests.Drop()
    assert requests.read(line(op="quit")) == requests.Quit(False)
    assert requests.read(line(op="quit", forget=True)) == requests.Quit(True)
    assert requests.read(line(op="owner", owner={"host": "x"})) == requests.Owner({"host": "x"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"what?", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"", "JSON"),
        (b"[" * 200_000, "JSON"),
        (b"[]", "unknown request None"),
        (b'{"op": "dance"}', "unknown request 'dance'"),
        (b'{"op": "job"}', "unknown request 'job'"),
        (b'{"op": "owner", "owner": 3}', "unknown request 'owner'"),
        (b'{"op": ["' + b"x" * 5000 + b'"]}', "unknown request"),
        (b'{"op": "hello", "alone_s": 1, "linger_s": 1}', "hello.since"),
        (b'{"op": "hello", "since": -1, "alone_s": 1, "linger_s": 1}', "hello.since"),
        (b'{"op": "hello", "since": 0, "alone_s": NaN, "linger_s": 1}', "hello.alone_s"),
        (b'{"op": "hello", "since": 0, "alone_s": 1, "linger_s": Infinity}', "hello.linger_s"),
        (b'{"op": "hello", "since": 0, "alone_s": 1, "linger_s": null}', "hello.linger_s"),
        (b'{"op": "hello", "since": 0, "alone_s": 1, "linger_s": -1}', "hello.linger_s"),
        (b'{"op": "have", "files": 3}', "have.files"),
        (b'{"op": "have", "files": [["a"]]}', "have.files"),
        (b'{"op": "have", "files": [["a", 3]]}', "have.files"),
        (b'{"op": "block"}', "block.jobs"),
        (b'{"op": "block", "jobs": [3]}', "job must be an object"),
    ],
)
def test_what_is_no_request_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        requests.read(text)


@pytest.mark.parametrize(
    "request_",
    [{"op": "block", "jobs": [{}] * 10_001}, {"op": "have", "files": [["a", "b"]] * 10_001}],
)
def test_there_is_an_end_to_a_request(request_: Any) -> None:
    with pytest.raises(BadRequest, match="at most 10000"):
        requests.read(line(**request_))
