"""Between a link and a session's daemon: bytes in, bytes out. The link may end at any moment; the daemon stays.

Only here is a daemon started: by whoever comes first, once the board's lease is free.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import sys
import time
from typing import Any, Dict, Iterator, Optional

from . import boardlease
from .boardlease import BUSY_EXIT, Lease
from .lines import CHUNK_BYTES
from .place import Place

SESSION = re.compile(r"[0-9a-f]{16,64}")

LOST_EXIT = 70
"""The daemon ended without a goodbye, or would not start (EX_SOFTWARE of sysexits)."""

CANNOT_EXIT = 73
"""The session's folder cannot be used: no space, no right to write (EX_CANTCREAT)."""

USAGE_EXIT = 2
POLL_S = 0.1
BACKLOG = 8
MOST_UNSENT_BYTES = 1 << 20
FLUSH_S = 2.0
MOST_BYE_BYTES = 4096


class LinkEnded(Exception):
    """Nobody is at the other end of stdin any more."""


def attach(workdir: str, session: str, owner_json: str, wait_s: float) -> int:
    """Relay between stdin, stdout and the session's daemon; returns the exit status."""
    owner = json.loads(owner_json)
    if not SESSION.fullmatch(session) or not isinstance(owner, dict):
        sys.stderr.write("a session is named by 16 to 64 hexadecimal digits, and its owner by a JSON object\n")
        return USAGE_EXIT
    os.umask(0o077)
    place = Place.of(workdir, session)
    inbox = _Inbox()
    try:
        link = _reach(place, owner, time.monotonic() + wait_s, inbox)
    except LinkEnded:
        return 0
    except OSError as error:
        sys.stderr.write("the session's folder %s cannot be used: %s\n" % (place.folder, error.strerror or error))
        return CANNOT_EXIT
    if link is None:
        sys.stderr.write(json.dumps(boardlease.holder(place.lease)) + "\n")
        return BUSY_EXIT
    with link:
        greeting = json.dumps({"op": "owner", "owner": owner}).encode("utf-8") + b"\n"
        if _relay(link, greeting + inbox.taken):
            return 0
    sys.stderr.write("the agent is gone: %s\n" % (_last_words(place.log) or "it left no word"))
    return LOST_EXIT


class _Inbox:
    """Watches stdin while there is nobody yet to hand its bytes to: waiting for a lease ends with the link."""

    def __init__(self) -> None:
        self.taken = b""

    def wait(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            LinkEnded: stdin is at its end.
        """
        watched = [0] if len(self.taken) < MOST_UNSENT_BYTES else []
        if select.select(watched, [], [], seconds)[0]:
            chunk = os.read(0, CHUNK_BYTES)
            if not chunk:
                raise LinkEnded()
            self.taken += chunk


def _reach(place: Place, owner: Dict[str, Any], deadline: float, inbox: _Inbox) -> Optional[socket.socket]:
    """A connection to the session's daemon, which is started if there is none; None if the board stays taken."""
    while True:
        link = _connect(place)
        if link is not None:
            return link
        lease = Lease.take(place.lease)
        if lease is not None:
            return _start(place, owner, lease)
        if time.monotonic() >= deadline:
            return None
        inbox.wait(POLL_S)


def _connect(place: Place) -> Optional[socket.socket]:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(place) as address:
            link.connect(address)
    except OSError:  # nobody listens; a file may be left of somebody who did
        link.close()
        return None
    return link


def _start(place: Place, owner: Dict[str, Any], lease: Lease) -> socket.socket:
    """Fork a daemon that holds the lease, and connect to it.

    It is spared an interpreter's start, which takes long on a small board. The socket listens before the fork: whoever
    connects is heard as soon as the daemon is ready.
    """
    # the daemon's modules are imported and its journal is opened here, where somebody hears of what goes wrong
    from .daemon.detached import detach
    from .daemon.journal import Journal

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.closing(lease), listener:
        for each in (os.path.dirname(place.folder), place.folder):  # the workdir itself is the host's to make
            with contextlib.suppress(FileExistsError):
                os.mkdir(each, 0o700)
        with contextlib.suppress(FileNotFoundError):  # with the lease in hand: it is nobody's
            os.unlink(place.socket)
        with _address(place) as address:
            listener.bind(address)
        listener.listen(BACKLOG)
        with contextlib.closing(Journal(place.journal)) as journal:
            if os.fork() == 0:
                detach(place, owner, lease, listener, journal)
        link = _connect(place)
    if link is None:
        raise OSError("the agent that was just started does not listen")
    return link


@contextlib.contextmanager
def _address(place: Place) -> Iterator[str]:
    """The socket's address: those of sockets are short, and paths may be long."""
    folder = os.open(place.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield "/proc/self/fd/%d/%s" % (folder, os.path.basename(place.socket))
    finally:
        os.close(folder)


def _relay(link: socket.socket, first: bytes) -> bool:
    """Carry bytes until one end is gone; False where that was the daemon's, without a goodbye."""
    for number in (0, 1, link.fileno()):
        os.set_blocking(number, False)
    up, down = _Pipe(0, link.fileno(), first), _Pipe(link.fileno(), 1)
    while True:
        readers = [pipe.source for pipe in (up, down) if pipe.wants_more()]
        writers = [pipe.sink for pipe in (up, down) if pipe.unsent]
        ready, able, _ = select.select(readers, writers, [])
        for pipe in (up, down):
            if pipe.source in ready:
                pipe.read()
            if pipe.sink in able:
                pipe.write()
        if down.broken or up.ended:  # the link is gone; what it still brought is handed on
            up.drain(FLUSH_S)
            return True
        if down.ended and not down.unsent:
            return _says_bye(down.tail)


class _Pipe:
    """One direction: bytes from a descriptor to another, a bounded number of them at a time."""

    def __init__(self, source: int, sink: int, first: bytes = b"") -> None:
        self.source = source
        self.sink = sink
        self.unsent = bytearray(first)
        self.tail = b""
        self.ended = False  # nothing comes any more
        self.broken = False  # nothing is taken any more

    def wants_more(self) -> bool:
        return not self.ended and len(self.unsent) < MOST_UNSENT_BYTES

    def read(self) -> None:
        try:
            chunk = os.read(self.source, CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self.ended = not chunk
        self.tail = (self.tail + chunk)[-MOST_BYE_BYTES:]
        if not self.broken:
            self.unsent += chunk

    def write(self) -> None:
        try:
            while self.unsent:
                del self.unsent[: os.write(self.sink, self.unsent[:CHUNK_BYTES])]
        except BlockingIOError:
            return
        except OSError:
            self.broken = True
            self.unsent.clear()

    def drain(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        while self.unsent and select.select([], [self.sink], [], max(0.0, deadline - time.monotonic()))[1]:
            self.write()


def _says_bye(tail: bytes) -> bool:
    """Whether the last line is the daemon's goodbye."""
    try:
        message = json.loads(tail.strip().rpartition(b"\n")[2].decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and message.get("event") == "bye"


def _last_words(log: str) -> str:
    """The last line of the daemon's log."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - MOST_BYE_BYTES))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][-300:] if lines else ""
