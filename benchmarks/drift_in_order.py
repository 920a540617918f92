"""Why intervals of boards that drift hold the truth a little too often.

    python benchmarks/drift_in_order.py [--boards 100000] [--seed 1]

The boards of the proof's family "drifting" (profiler/validation/drawn.py): processes and jobs with an offset each, a
random walk of 1 to 4 % in the root of an hour and a line of up to 20 % an hour, both also at half and at twice that. A
campaign lasts four minutes; each of its three rounds is at a random moment of its own third. The truth is the median
state over the campaign. Beside it rounds at three random moments of the whole.
"""

from __future__ import annotations

import argparse

import numpy as np
from streams import Floats, machine

from profiler.measure.rounds import median_quantile

CAMPAIGN_H = 240 / 3600
MOMENTS = 60
ROUNDS = 3


def covered(levels: Floats, truth: Floats) -> float:
    """How many intervals of (boards, ROUNDS) logarithms hold the truth, in %; those that fail the gate are left out."""
    spread = levels.std(1, ddof=1)
    half = median_quantile(ROUNDS) * spread / ROUNDS**0.5
    held = np.abs(np.median(levels, 1) - truth) <= half
    return 100 * float(held[spread <= 0.02].mean())


def main() -> None:
    """Print coverage in order and at random moments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(f"{machine()}; seed {args.seed}, {args.boards} boards")
    rng = np.random.default_rng(args.seed)
    n, step_h = args.boards, CAMPAIGN_H / MOMENTS

    def log_uniform(low: float, high: float) -> Floats:
        found: Floats = np.exp(rng.uniform(np.log(low), np.log(high), n))
        return found

    for scale in (0.0, 0.5, 1.0, 2.0):
        walk, line = scale * log_uniform(0.01, 0.04), scale * rng.uniform(-0.2, 0.2, n)
        steps = rng.normal(size=(n, MOMENTS)) * (walk * step_h**0.5)[:, None] + (line * step_h)[:, None]
        path = np.cumsum(steps, axis=1)
        process, job = log_uniform(0.002, 0.008), log_uniform(5e-4, 4e-3)
        third = MOMENTS // ROUNDS
        in_order = rng.integers(0, third, (n, ROUNDS)) + third * np.arange(ROUNDS)
        found = []
        for moments in (in_order, rng.integers(0, MOMENTS, (n, ROUNDS))):
            own = process[:, None] * rng.normal(size=(n, ROUNDS)) + job[:, None] * rng.normal(size=(n, ROUNDS))
            found.append(covered(np.take_along_axis(path, moments, 1) + own, np.median(path, 1)))
        moved = 100 * float(np.median(np.ptp(path, axis=1)))
        print(
            f"boards that move by {moved:.2f} % (median): {found[0]:.1f} % hold the truth; "
            f"{found[1]:.1f} % where the rounds are at random moments"
        )


if __name__ == "__main__":
    main()
