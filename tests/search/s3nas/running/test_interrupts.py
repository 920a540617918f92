"""Ctrl-C is remembered once, obeyed the second time, and left to others elsewhere."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from search.s3nas.running.interrupts import Interrupts


def test_the_first_is_remembered_and_the_second_obeyed() -> None:
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        assert not interrupts.asked
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.asked
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_leave_signals_alone() -> None:
    seen = []

    def work() -> None:
        with Interrupts() as interrupts:
            seen.append((signal.getsignal(signal.SIGINT), interrupts.asked))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, False)]
