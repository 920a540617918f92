"""What happens to a link: the board works on, and the host comes back and misses nothing. No job is run again."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.faults.arena import Bench, wait_until
from tests.faults.conftest import Faulty


def cut_and_refuse(bench: Bench) -> None:
    bench.proxy.refuse(0.5)
    bench.proxy.cut()


def reset_and_swallow(bench: Bench) -> None:
    bench.proxy.swallow(0.5)
    bench.proxy.reset()


FAULTS: dict[str, Callable[[Bench], object]] = {
    "cut": lambda bench: bench.proxy.cut(),
    "reset": lambda bench: bench.proxy.reset(),
    "stalled for a while": lambda bench: bench.proxy.stall(1.0),
    "slow": lambda bench: bench.proxy.delay(0.1, lasting_s=1.0),
    "cut, and nobody answers at first": cut_and_refuse,
    "cut, and whoever calls again hears nothing": reset_and_swallow,
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_link_that_is(name: str, bench: Bench, survive: Faulty) -> None:
    verdict = survive(bench, lambda: FAULTS[name](bench))
    assert verdict.repeats == 0


def test_the_board_works_while_the_link_is_gone(bench: Bench, survive: Faulty) -> None:
    """All jobs that it was given end although nobody is there; the host, back again, needs no further start."""

    def gone() -> None:
        bench.proxy.refuse(60)
        bench.proxy.cut()
        wait_until(lambda: sum(bench.ends().values()) == 6, "the board to do its jobs alone")
        bench.proxy.heal()

    assert survive(bench, gone).repeats == 0


def test_a_server_that_is_gone_for_a_while_changes_nothing(bench: Bench, survive: Faulty) -> None:
    def gone() -> None:
        bench.server_off()
        time.sleep(1.0)
        bench.on()

    assert survive(bench, gone).repeats == 0
