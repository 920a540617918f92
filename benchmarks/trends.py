"""How often samples are said to drift that do not, and how often ones that do: by several tests.

    python benchmarks/trends.py [--trials 400] [--seed 1]

Samples of 10 ms are lognormal: a slow part (Ornstein-Uhlenbeck, forgotten in 0.03 to 0.6 s) and one of each sample.
All tests look at the medians of at most 16 groups, and ask besides that the trend carries by more than 1 %.

in use          Kendall's tau beyond `IN_ORDER` (profiler.agent.worker.steady)
independent     Mann and Kendall's test at the 1 % level of independent times
AR(1)           the same, its variance multiplied by what the lag-1 correlation of the residuals asks for, beyond 3.6:
                so many deviations are as many false alarms as those of the test in use
self-normalised a straight line's slope over the partial sums of its residuals (Bunzel and Vogelsang 2005, the whole
                series as bandwidth), beyond 19.5, chosen likewise

To reach by the test in use: false alarms in 1 of 100 series on average and in 6 of 100 of any kind at most; 9 of 10
lines and half of the fades of 10 %. Exit code 1 where that is missed.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable

import numpy as np
from streams import Floats, ar1, machine

from profiler.agent.worker.steady import GROUPS, drift, drifts

STEP_S = 0.010
TOLERANCE = 0.01
KINDS = list(itertools.product((30, 60, 150, 400), (0.03, 0.1, 0.3, 0.6), ((0.006, 0.004), (0.012, 0.003))))
"""How many samples, how long the slow part takes to forget (s), deviations of the slow part and of each sample."""

TRENDS: dict[str, Callable[[Floats], Floats]] = {
    "none": lambda t: 0 * t,
    "a line of 3 %": lambda t: 0.03 * t,
    "a line of 6 %": lambda t: 0.06 * t,
    "a line of 10 %": lambda t: 0.10 * t,
    "5 % that fade": lambda t: 0.05 * np.exp(-4 * t),
    "10 % that fade": lambda t: 0.10 * np.exp(-4 * t),
}
"""Over the samples, t from 0 to 1; what fades has 2 % left at the end."""


def _groups(samples: Floats) -> Floats:
    size = -(-samples.size // GROUPS)
    found: Floats = np.median(samples[samples.size % size :].reshape(-1, size), axis=1)
    return found


def independent(samples: Floats) -> bool:
    """At the 1 % level."""
    found = drift(samples.tolist())
    return found.sure > 2.58 and found.carries > TOLERANCE


def corrected(samples: Floats) -> bool:
    """By the correlation of what the line leaves."""
    groups, found = _groups(samples), drift(samples.tolist())
    place = np.arange(groups.size)
    rest = groups - np.polyval(np.polyfit(place, groups, 1), place)
    r = float(rest[1:] @ rest[:-1] / (rest @ rest))
    r = min(0.95, max(0.0, (r * groups.size + 2) / (groups.size - 4)))  # of residuals it is too low by so much
    return found.sure / ((1 + r) / (1 - r)) ** 0.5 > 3.6 and found.carries > TOLERANCE


def self_normalised(samples: Floats) -> bool:
    """By the partial sums of what the line leaves."""
    groups = _groups(samples)
    place = np.arange(groups.size) - (groups.size - 1) / 2
    slope = float(place @ groups / (place @ place))
    sums = np.cumsum((groups - groups.mean() - slope * place) * place)
    error = (2 * float(sums @ sums) / groups.size) ** 0.5 / float(place @ place)
    return abs(slope) > 19.5 * error and abs(slope) * (groups.size - 1) > TOLERANCE * float(np.median(groups))


TESTS: dict[str, Callable[[Floats], bool]] = {
    "in use": lambda samples: drifts(samples.tolist(), TOLERANCE),
    "independent": independent,
    "AR(1)": corrected,
    "self-normalised": self_normalised,
}


def main() -> int:
    """Print how often each test finds each trend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(f"{machine()}; seed {args.seed}, {args.trials} trials of each of {len(KINDS)} kinds of noise")
    rng = np.random.default_rng(args.seed)
    found = {(name, trend): np.zeros(len(KINDS)) for name in TESTS for trend in TRENDS}
    for kind, (n, forgets_s, (slow, single)) in enumerate(KINDS):
        for _ in range(args.trials):
            noise = np.exp(slow * ar1(rng, n, float(np.exp(-STEP_S / forgets_s))) + single * rng.normal(size=n))
            for trend, shape in TRENDS.items():
                samples = noise * np.exp(shape(np.linspace(0, 1, n)))
                for name, test in TESTS.items():
                    found[name, trend][kind] += test(samples) / args.trials
    for name in TESTS:
        cells = [f"{trend} {100 * s.mean():.1f} ({100 * s.min():.0f} to {100 * s.max():.1f})"
                 for trend in TRENDS if len(s := found[name, trend])]  # fmt: skip
        print(f"{name}, found %: " + "; ".join(cells))
    alarms = found["in use", "none"]
    good = alarms.mean() <= 0.01 and alarms.max() <= 0.06
    good &= found["in use", "a line of 10 %"].mean() >= 0.9 and found["in use", "10 % that fade"].mean() >= 0.5
    print("all is as it should be" if good else "something is missed")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
