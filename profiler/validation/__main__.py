"""`python -m profiler.validation`: measure, count, write the proof. Exit code 1: a target is missed; 2: an error."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from profiler.errors import ConfigError, EdgeCostError
from profiler.measure.campaign import PROTOCOL_VERSION
from profiler.validation.cases import FAMILIES, USUAL_JOBS, cases_of
from profiler.validation.claims import CLAIMS
from profiler.validation.explained import reasons
from profiler.validation.report import Proof, write_proof
from profiler.validation.running import measure_cases

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = _options(arguments)
    try:
        names = _chosen(options.only)
        families = [family for family in FAMILIES if any(family in CLAIMS[name].families for name in names)]
        cases = list(cases_of(options.seed, options.jobs, families))
        _say(f"{len(cases)} simulated boards of the families {', '.join(families)}")
        records = measure_cases(cases, options.work / f"seed-{options.seed}", _say)
    except EdgeCostError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    by_family = {family: [record for record in records if record["family"] == family] for family in families}
    proof = Proof(
        options.seed,
        options.jobs,
        datetime.now(UTC).date().isoformat(),
        PROTOCOL_VERSION,
        {family: len(some) for family, some in by_family.items()},
        sum(len(record.get("tries", ())) for record in records),
        {name: CLAIMS[name].judge(by_family) for name in names},
        options.only,
    )
    try:
        explained = reasons(proof.missed)
        write_proof(proof, options.out, explained)
    except EdgeCostError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    for lines in proof.lines.values():
        for line in lines:
            word = {True: "met", False: "MISSED", None: ""}[line.met]
            print(f"{line.claim:75} {line.target:14} {100 * line.seen:7.2f} %  {line.count:6}  {word}")  # noqa: T201
    print(options.out / "proof.md")  # noqa: T201
    return 1 if any(line.claim not in explained for line in proof.missed) else 0


def _chosen(only: str) -> list[str]:
    names = [name.strip() for name in only.split(",") if name.strip()] or list(CLAIMS)
    unknown = [name for name in names if name not in CLAIMS]
    if unknown:
        raise ConfigError(f"there is no claim {unknown[0]!r}; choose from {', '.join(CLAIMS)}")
    return names


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m profiler.validation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn [1]")
    parser.add_argument(
        "--jobs", type=int, default=USUAL_JOBS,
        help=f"figures on quiet and drifting boards together; the other families go with it [{USUAL_JOBS}]",
    )  # fmt: skip
    parser.add_argument("--only", default="", help=f"claims, with commas between: {', '.join(CLAIMS)} [all]")
    parser.add_argument("--out", type=Path, default=Path("results/protocol"), help="for proof.json and proof.md")
    parser.add_argument(
        "--work", type=Path, default=Path(".edgecost/protocol"),
        help="what was measured is kept here, so that an interrupted proof goes on",
    )  # fmt: skip
    return parser.parse_args(arguments)


def _say(what: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {what}", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
