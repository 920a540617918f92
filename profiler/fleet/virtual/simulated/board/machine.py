"""The board itself: virtual time, and all that happens while it passes.

Time jumps from one event to the next: the end of a batch, a call that is due beside the measurement, a look of the
thermal governor, a switch of mode. In between everything is constant or has a closed form, so that an hour of virtual
time takes seconds. All durations are in seconds of virtual time unless a name says otherwise.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from .account import Account
from .governor import Governor
from .heat import Heat
from .noise import Noise
from .power import Power, Sensor
from .roofline import Cost
from .store import Store

LEAST_SEGMENT_S = 1e-6
LONGEST_SEGMENT_S = 1.0
SAVE_EVERY_S = 10.0
IDLE_S = 0.05
"""After so long without work a governor that scales with load has gone down."""
WARM_PARTS = 4
"""Segments to the time constant of warming up, while it lasts."""


class Due:
    """Something that is called again and again beside whatever goes on.

    Attributes:
        took_ns: how long it took the last time. It is called when it would be over, and sees times that end then: so
            nobody reads a clock that is ahead of somebody else's.
    """

    def __init__(self, period_s: float, call: Callable[[], None], due_ns: int) -> None:
        self.period_ns = max(1, int(period_s * 1e9))
        self.call = call
        self.due_ns = due_ns
        self.took_ns = 0


class Machine:
    """A simulated board as one of its processes sees it.

    Args:
        spec: the board, as plain values.
        folder: of its home, where it keeps what lasts.

    Attributes:
        state: what lasts: virtual time, temperature, drift, counters.
        evicted: whether the caches have been emptied since the last run.
        working: whether a model runs at this very moment, as whoever looks on beside it sees.
        governor: what is set of the processor's clock.
        account: what has been counted.
    """

    def __init__(self, spec: dict[str, Any], folder: str) -> None:
        self.spec = spec
        self.folder = folder
        self._state = Store(folder + "/state.json")
        self.governor = Governor(spec["clock"], Store(folder + "/controls.json"))
        self.rng = random.Random(f"{spec['id']}/{spec['seed']}/outside")
        self._took_part = False
        self.working = False
        self.evicted = False
        self._due: list[Due] = []
        self._aside_ns: int | None = None
        self._aside_spent_ns = 0
        self._stolen_s = 0.0
        self._adopt()

    def _adopt(self) -> None:
        """Make the parts anew from what is stored."""
        spec, self.state = self.spec, self._state.value
        for name in ("now_ns", "boot_ns", "back_ns", "saved_ns", "idle_since_ns"):
            self.state.setdefault(name, 0)
        for name in ("boots", "processes", "models"):
            self.state.setdefault(name, 0)
        self.state.setdefault("step_left_s", -1.0)
        part = self.state.setdefault
        self.noise = Noise(spec["noise"], part("noise", {}), self.rng)
        self.heat = Heat(spec["thermal"], part("heat", {}), len(spec["clock"]["mhz"]), spec["power"])
        self.power = Power(spec["power"], spec["clock"], part("power", {}), self.rng)
        self.sensor = Sensor(spec["sensor"], part("sensor", {}), self.rng) if spec["sensor"] else None
        self.account = Account(self.state)

    def sync(self) -> None:
        """Take over what other processes of the board have done since; whoever runs models is alone in that."""
        self.governor.refresh()
        if not self._took_part and self._state.refresh():
            self._adopt()

    def save(self) -> None:
        """Keep what lasts."""
        self.state["saved_ns"] = self.state["now_ns"]
        self._state.save()

    def join(self) -> None:
        """This process begins to run models: it has its own randomness and its own place in the count."""
        if self._took_part:
            return
        self.sync()
        self._took_part = True
        self.state["processes"] += 1
        self.rng.seed(f"{self.spec['id']}/{self.spec['seed']}/{self.state['processes']}")
        self.noise.begin_process()
        self.save()

    # ---------------------------------------------------------------- clocks

    @property
    def now_s(self) -> float:
        """Since the board was first switched on."""
        return float(self.state["now_ns"]) / 1e9

    @property
    def uptime_s(self) -> float:
        """Since it booted."""
        return float(self.state["now_ns"] - self.state["boot_ns"]) / 1e9

    def clock_ns(self) -> int:
        """What the board's clock shows; reading it takes a little."""
        clock = self.spec["clock"]
        if self._aside_ns is None:
            self.state["now_ns"] += clock["read_ns"]
            shown = self.state["now_ns"]
        else:  # somebody beside the measurement reads it: that takes nothing from the measurement
            self._aside_ns += clock["read_ns"]
            shown = self._aside_ns
        shown += 10**9 - self.state["boot_ns"] - self.state["back_ns"]
        tick = clock["resolution_ns"]
        return int(shown // tick * tick)

    def step(self, running: bool) -> int:
        """The step of frequency that the processor is at."""
        ramped = self.state.get("run_s", 0.0) >= self.spec["clock"]["ramp_s"]
        wanted = self.governor.busy_step if running and ramped else self.governor.rest_step
        return int(min(wanted, self.heat.cap))

    # ---------------------------------------------------------------- time passes

    def run(self, cost: Cost, runs: int, age_s: float, cold: bool = False) -> float:
        """Have a model run so often; returns how long that took. Only the first run can find empty caches.

        Args:
            cost: of one run.
            runs: how many, one after the other.
            age_s: how long the model has been running since it was loaded.
            cold: whether the caches hold nothing of it.
        """
        noise, clock = self.noise, self.spec["clock"]
        if (cold or self.evicted) and runs > 1:
            self.evicted = False
            first_s = self.run(cost, 1, age_s, cold=True)
            return first_s + self.run(cost, runs - 1, age_s + first_s)
        began = self.state["now_ns"]
        if began - self.state["idle_since_ns"] > IDLE_S * 1e9:
            self.state["run_s"] = 0.0
        activity = cost.activity
        jitter = noise.jitter(runs)
        left = float(runs)
        cold = cold or self.evicted
        self.evicted = False
        self.working = True
        while left > 1e-9:
            step = self.step(True)
            net_w = self.power.net_w(activity, step)
            warm, warm_limit = self._warming(age_s + (self.state["now_ns"] - began) / 1e9)
            each_s = cost.run_s(clock["mhz"][step], cold) * noise.level(self.now_s) * jitter * warm
            limit_s = min(warm_limit, self._until_event_s(self.power.idle_w + net_w), self._until_ramped_s())
            done = min(left, max(limit_s, LEAST_SEGMENT_S) / each_s)
            took_s = done * each_s * noise.mean(done * each_s)
            took_s += noise.interruptions_s(took_s) + self._stolen_s
            self._stolen_s = 0.0
            self._pass(took_s, net_w, True)
            left -= done
        self.working = False
        self.state["idle_since_ns"] = self.state["now_ns"]
        return float(self.state["now_ns"] - began) / 1e9

    def rest(self, seconds: float) -> None:
        """Let time pass with nothing to do."""
        end = self.state["now_ns"] + int(seconds * 1e9)
        while self.state["now_ns"] < end:
            left_s = (end - self.state["now_ns"]) / 1e9
            self._pass(min(left_s, max(LEAST_SEGMENT_S, self._until_event_s(self.power.idle_w))), 0.0, False)

    def spend(self, seconds: float) -> None:
        """What reading a file or running a program takes."""
        if self._aside_ns is None:
            self._pass(seconds, 0.0, False)
        else:
            spent_ns = int(seconds * 1e9)
            self._aside_spent_ns += spent_ns
            self._aside_ns = max(self._aside_ns, min(self._aside_ns + spent_ns, self.state["now_ns"]))
            if self.working:
                self._stolen_s += seconds * self.spec["noise"]["observer_share"]

    def beside(self, period_s: float, call: Callable[[], None]) -> Due:
        """Call something at every `period_s`, from now on, whatever goes on."""
        due = Due(period_s, call, self.state["now_ns"])
        self._due.append(due)
        return due

    def forget(self, due: Due) -> None:
        """Call it no more."""
        if due in self._due:
            self._due.remove(due)

    def _until_event_s(self, watts: float) -> float:
        now = self.state["now_ns"]
        found = min(self.noise.until_change_s(self.now_s), self.heat.until_poll_s(watts), LONGEST_SEGMENT_S)
        for due in self._due:
            found = min(found, (due.due_ns + due.took_ns - now) / 1e9)
        return found

    def _until_ramped_s(self) -> float:
        missing_s = self.spec["clock"]["ramp_s"] - self.state.get("run_s", 0.0)
        return float(missing_s) if missing_s > 0 else math.inf

    def _warming(self, age_s: float) -> tuple[float, float]:
        """By what a model is slower at an age, and for how long that holds."""
        noise = self.spec["noise"]
        if not noise["warm_excess"] or age_s > 12 * noise["warm_s"]:
            return 1.0, math.inf
        return 1 + noise["warm_excess"] * math.exp(-age_s / noise["warm_s"]), noise["warm_s"] / WARM_PARTS

    def _pass(self, duration_s: float, net_w: float, running: bool) -> None:
        """Let time pass in which nothing changes but what has a closed form."""
        state = self.state
        state["now_ns"] += max(1, round(duration_s * 1e9))
        state["run_s"] = state.get("run_s", 0.0) + duration_s if running else state.get("run_s", 0.0)
        watts = self.power.idle_w + net_w
        if self.sensor:
            self.sensor.age(
                duration_s, watts + self.power.leak_w(self.heat.celsius - self.spec["thermal"]["ambient_c"])
            )
        throttled = self.heat.throttled
        if running:
            self.account.work(duration_s, self.noise.drift(self.now_s), bool(self.noise.state["mode"]), throttled)
        self.heat.age(duration_s, watts)
        if self.heat.throttled != throttled:
            self.account.turn(self.now_s, self.heat.throttled)
        self.power.age(duration_s)
        self.account.age(duration_s, running, self.noise.background)
        self.noise.age(duration_s, running)
        self._step_back(duration_s)
        if self._took_part and state["now_ns"] - state["saved_ns"] > SAVE_EVERY_S * 1e9:
            self.save()
        self._call_due()

    def _step_back(self, duration_s: float) -> None:
        clock, state = self.spec["clock"], self.state
        if not clock["step_every_s"]:
            return
        if state["step_left_s"] < 0:
            state["step_left_s"] = self.rng.expovariate(1 / clock["step_every_s"])
        state["step_left_s"] -= duration_s
        if state["step_left_s"] <= 0:
            state["back_ns"] += int(clock["step_s"] * 1e9)
            state["step_left_s"] = self.rng.expovariate(1 / clock["step_every_s"])

    def _call_due(self) -> None:
        if self._aside_ns is not None:
            return
        for due in list(self._due):
            now = self.state["now_ns"]
            if due not in self._due or now < due.due_ns + due.took_ns:
                continue
            due.due_ns += (
                (now - due.due_ns) // due.period_ns + 1
            ) * due.period_ns  # what was missed is not made up for
            self._aside_ns, self._aside_spent_ns = now - due.took_ns, 0
            try:
                due.call()
            finally:
                self._aside_ns, due.took_ns = None, self._aside_spent_ns

    def boot(self) -> None:
        """The board goes down and comes up again: it is off for a while, and forgets what no disk holds."""
        off_s = self.spec["faults"]["boot_s"]
        self.state["now_ns"] += int(off_s * 1e9)
        self.heat.cool(off_s)
        self.state.update(
            boot_ns=self.state["now_ns"], back_ns=0, boots=self.state["boots"] + 1, idle_since_ns=self.state["now_ns"]
        )
        self.account.forget()
        self.state["sensor"] = {}
        self.governor.forget()
        self.save()
