"""File servers (SFTP, version 3, by hand) that answer what they should not."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable

from tests.faults.hostile import NASTY, Process

_MB = 1 << 20


async def huge_file_answers(process: Process) -> None:
    """Every answer of the file server has 15 MB."""
    answer = struct.pack(">I", 15 * _MB) + b"\x65" + b"\0" * (15 * _MB - 1)
    await _serve_files(process, lambda request_id: answer)


async def gigantic_file_answer(process: Process) -> None:
    await _serve_files(process, lambda request_id: struct.pack(">I", 0xFFFFFFFF) + b"\x65")


async def foreign_file_answers(process: Process) -> None:
    """Answers to what nobody asked."""
    await _serve_files(process, lambda request_id: struct.pack(">IBII", 9, 101, (request_id + 7) % 2**32, 0) * 1000)


async def escapes_in_file_errors(process: Process) -> None:
    words = NASTY.encode() * 20
    await _serve_files(
        process,
        lambda i: struct.pack(">IBIII", 17 + len(words), 101, i, 4, len(words)) + words + struct.pack(">I", 0),
    )


async def _serve_files(process: Process, answer: Callable[[int], bytes]) -> None:
    async def packet() -> bytes:
        (size,) = struct.unpack(">I", await process.stdin.readexactly(4))
        return bytes(await process.stdin.readexactly(size))

    try:
        await packet()
        process.stdout.write(struct.pack(">IBI", 5, 2, 3))
        while True:
            data = await packet()
            process.stdout.write(answer(struct.unpack(">I", data[1:5])[0]))
            await process.stdout.drain()
    except asyncio.IncompleteReadError:
        return


def ending_file_server(requests: int) -> Callable[[Process], Awaitable[None]]:
    """Ends when it has had so many requests, and the connection stays."""

    async def serve(process: Process) -> None:
        left = requests

        def answer(request_id: int) -> bytes:
            nonlocal left
            left -= 1
            if left < 0:
                raise asyncio.IncompleteReadError(b"", None)
            return struct.pack(">IBI", 9, 102, request_id) + struct.pack(">I", 0)

        await _serve_files(process, answer)

    return serve


async def no_utf8_in_file_errors(process: Process) -> None:
    await _serve_files(process, lambda i: struct.pack(">IBIII", 17 + 2, 101, i, 4, 2) + b"\xff\xfe" + b"\0\0\0\0")


async def short_file_answers(process: Process) -> None:
    """Answers that end before they are whole."""
    await _serve_files(process, lambda i: struct.pack(">IBI", 5, 105, i) + struct.pack(">I", 0) + b"\0\0\0\1\x65")
