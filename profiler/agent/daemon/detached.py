"""From a relay's fork to a daemon: a session of its own, descriptors, log, signals, journal, and what stays behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import traceback
from typing import Any, Dict, NoReturn

from .. import leaf, processes, stale
from ..boardlease import Lease
from ..place import Place
from ..worker.pinning import Pins
from .daemon import Daemon, log
from .journal import Journal
from .tidying import tidy

MOST_LOG_BYTES = 1 << 20
FAILED_EXIT = 70


def detach(place: Place, owner: Dict[str, Any], lease: Lease, listener: socket.socket, journal: Journal) -> NoReturn:
    """Be the session's daemon in this freshly forked process; never returns."""
    status = FAILED_EXIT
    try:
        os.setsid()
        _close_all_but(lease.number, listener.fileno(), journal.number)
        _redirect(place.log)
        _serve(place, owner, lease, listener, journal)
        status = 0
    except BaseException:  # its last words are all that can be found out about it
        _say_last_words()
    finally:
        os._exit(status)


def _redirect(log_path: str) -> None:
    """Nothing of the link stays open, or its server would wait for this process."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        grown = os.path.exists(log_path) and os.stat(log_path).st_size > MOST_LOG_BYTES
        words = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if grown else 0), 0o600)
    except OSError:  # a full disk
        words = os.open(os.devnull, os.O_WRONLY)
    for number, source in ((0, nothing), (1, words), (2, words)):
        os.dup2(source, number)
    os.close(nothing)
    os.close(words)


def _close_all_but(*kept: int) -> None:
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        numbers = list(range(256))
    for number in numbers:
        if number > 2 and number not in kept:
            try:
                os.close(number)
            except OSError:  # that of the listing itself
                continue


def _serve(place: Place, owner: Dict[str, Any], lease: Lease, listener: socket.socket, journal: Journal) -> None:
    alarm = _hear_signals()
    lease.describe(owner, place.session)
    left = stale.sweep()
    if left:
        log("%d processes of an agent that is gone were still there" % left)
    if Pins(leaf.current(), place.workdir).restore():
        log("not all governors and clocks could be put back that an agent had set which is gone")
    tidy(place)
    _write_card(place.card)
    if journal.cut_bytes:
        log("%d torn bytes were cut off the journal" % journal.cut_bytes)
    log("session %s begins with %d entries" % (place.session, len(journal)))
    daemon = Daemon(place, lease, listener, journal, alarm)
    daemon.run()
    for path in (place.socket, place.card):
        _remove(path)
    if daemon.forget:
        shutil.rmtree(place.folder, ignore_errors=True)


def _hear_signals() -> int:
    """A descriptor that becomes readable when the process is asked to end; losing a terminal is no reason to."""
    ours, theirs = os.pipe()
    for number in (ours, theirs):
        os.set_blocking(number, False)
    signal.set_wakeup_fd(theirs)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, frame: None)
    return ours


def _write_card(path: str) -> None:
    """Who the agent is, for people and tools; a full disk does without."""
    pid = os.getpid()
    card = {"pid": pid, "start": processes.start_of(pid), "boot_id": processes.boot_id()}
    try:
        with open(path + ".new", "w") as file:
            json.dump(card, file)
        os.replace(path + ".new", path)
    except OSError as error:
        log("%s cannot be written: %s" % (path, error))
        _remove(path)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _say_last_words() -> None:
    try:
        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
