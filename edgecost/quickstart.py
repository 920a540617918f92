"""The quick start: every stage of the work once, on the embedded fleet, in one command that can be interrupted.

    fleet up -> profile six targets -> closure -> reference -> search under a budget <-> verify -> train
             -> S3NAS: profile blocks -> search a supernet -> scale -> train -> verify -> report

Each stage writes its file below the output folder; what is there and was made with the same options is not made
again. The stages themselves are those of the command line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.quickstart_evrsnas import Round, search_until_held, underestimate
from edgecost.quickstart_s3nas import SmallS3nas, run_small_s3nas
from edgecost.stages.closing import closure
from edgecost.stages.costs import HEADLINE_MODEL, load_table, write_json
from edgecost.stages.places import fleet_root
from edgecost.stages.planning import PlanOptions, measure_config
from edgecost.stages.profiling import profile_targets
from edgecost.stages.searching import SearchOptions, quantile_budget, search_evrsnas, train_finalists
from edgecost.stages.verification import verify_study

if TYPE_CHECKING:
    from edgecost.stages.profiling import Run
    from profiler.fleet.targets import Device
    from profiler.measure.progress import Progress

__all__ = ["QuickstartOptions", "run_quickstart"]

SEARCH_BOARD = "ort-fp32-t1"
BUDGET_QUANTILE = 0.5
"""The budget: a latency that so large a share of the space's random architectures stays below."""


@dataclass(frozen=True, slots=True)
class QuickstartOptions:
    """What to run.

    Attributes:
        out: folder of all results.
        data: CIFAR-10 images, or None for the bundled digits.
        seed: of everything random.
        small: two boards, few networks and a short search.
    """

    out: Path
    data: Path | None = None
    seed: int = 0
    small: bool = False

    @property
    def plan(self) -> PlanOptions:
        """The networks to measure."""
        fit, held_out = (4, 6) if self.small else (12, 20)
        return PlanOptions("nasbench201", (), fit, held_out, self.seed)

    @property
    def generations(self) -> int:
        """Length of the search."""
        return 3 if self.small else 12

    @property
    def training_steps(self) -> int:
        """Batches that the winner and its control are trained on."""
        return 20 if self.small else 100


def run_quickstart(options: QuickstartOptions, progress: Progress) -> dict[str, Any]:
    """Run all stages; returns the summary that is also written as summary.json.

    Raises:
        EdgeCostError: where a stage cannot be completed; what was measured until then stays.
    """
    seconds: dict[str, float] = {}

    def timed(name: str, stage: Callable[[], Any]) -> Any:
        started = time.monotonic()
        answer = stage()
        spent_s = time.monotonic() - started
        seconds[name] = round(seconds.get(name, 0.0) + spent_s, 1)
        progress.message(f"{name}: done in {spent_s:.0f} s")
        return answer

    out = options.out
    with _fleet() as boards:
        devices = boards[:2] if options.small else boards
        runs = timed("profile", lambda: _profile(options, devices, progress))
        table = load_table(out)
        closed = timed("validate", lambda: closure(table))
        write_json(out / "closure.json", closed)
        target = next(t.id for d in devices for t in d.targets if d.id == SEARCH_BOARD)
        budget_ms = quantile_budget(table, target, BUDGET_QUANTILE, options.seed)
        plan = SearchOptions(target, budget_ms, data=options.data, generations=options.generations, seed=options.seed)

        def search(given_ms: float) -> dict[str, Any]:
            found = replace(plan, budget=given_ms)
            return dict(timed("search", lambda: search_evrsnas(found, out, None, progress)))

        def verify(study: dict[str, Any]) -> dict[str, Any]:
            path = Path(study["file"])
            return dict(timed("verify", lambda: verify_study(path, devices, "quick", out, progress, budget_ms)))

        rounds = search_until_held(budget_ms, underestimate(closed["points"][target]), search, verify)
        small = SmallS3nas(out, options.data, options.seed, options.small)
        board, on_board = next((d, t) for d in devices for t in d.targets if t.id == target)
        s3nas = run_small_s3nas(small, board, on_board, progress, timed)
    last = rounds[-1]
    training = timed("train", lambda: train_finalists(last.study, plan, out, options.training_steps, progress))
    summary = _summary(options, runs, closed, rounds, training, s3nas, seconds)
    write_json(out / "summary.json", summary)
    from edgecost.report.build import write_report

    timed("report", lambda: write_report(out, out / "report.html"))
    return summary


@contextmanager
def _fleet() -> Iterator[tuple[Device, ...]]:
    """The six boards: those that `edgecost fleet up` started, or started here for the length of the block."""
    from profiler.fleet.inventory.devices import load_devices
    from profiler.fleet.virtual.background import status
    from profiler.fleet.virtual.loopback import Fleet

    found = status(fleet_root())
    if found.up:
        yield load_devices(found.devices_path)
        return
    with Fleet(fleet_root()) as fleet:
        yield fleet.devices()


def _profile(options: QuickstartOptions, devices: tuple[Device, ...], progress: Progress) -> list[Run]:
    chosen = [(device, target) for device in devices for target in device.targets]
    config = measure_config("quick", seed=options.seed)
    runs = profile_targets(chosen, options.plan, config, options.out, "quick", progress)
    for run in runs:
        progress.message(run.sentence())
    return runs


def _summary(
    options: QuickstartOptions,
    runs: list[Run],
    closed: dict[str, Any],
    rounds: list[Round],
    training: dict[str, Any],
    s3nas: dict[str, Any],
    seconds: dict[str, float],
) -> dict[str, Any]:
    best = [r for r in closed["rows"] if r["model"] == HEADLINE_MODEL]
    lines = [
        "This machine's CPU in several configurations, reached over SSH as if they were boards; not real boards.",
        "",
    ]
    for row in best:
        floor = closed["noise_floor_mape"].get(row["target"])
        beside = f" (noise floor {floor:.1f} %)" if floor is not None else ""
        lines.append(
            f"{row['target']:44s} closure on {row['n']} held-out networks: MAPE {row['mape']:.1f} %{beside}, "
            f"within 10 %: {row['within_10']:.0f} %, Kendall {row['kendall_tau']:.2f}"
        )
    lines += ["", *_search_lines(rounds), training["sentence"], "", *s3nas["lines"]]
    study, verified = rounds[-1].study, rounds[-1].verdict
    return {
        "runs": [r.to_dict() for r in runs],
        "closure": best,
        "search": {k: study[k] for k in ("target", "budget_ms", "feasible", "best", "n_evaluations", "file")},
        "winner": verified,
        "rounds": [{"given_ms": r.given_ms, **r.verdict} for r in rounds],
        "training": training,
        "s3nas": s3nas,
        "seconds": seconds,
        "seed": options.seed,
        "lines": lines,
        "report": str(options.out / "report.html"),
    }


def _search_lines(rounds: list[Round]) -> list[str]:
    budget_ms = rounds[0].verdict["budget_ms"]
    lines = [
        f"the search is given {rounds[0].given_ms:g} ms: the budget of {budget_ms:g} ms less what nine in ten held-out "
        "networks stay within"
    ]
    for number, found in enumerate(rounds):
        if number:
            lines.append(f"searched again with {found.given_ms:g} ms: the budget less what that winner was off by")
        lines += [found.study["sentence"], found.verdict["sentence"]]
    return lines
