"""The choices of one superblock: parallel depthwise branches of several kernels and expansions, what they simplify to.

[V] A branch chooses a kernel from 3 to k_max in steps of 2 and an expansion from the step to e_max in steps of it, or
is off; the largest-kernel branch of a block without residual may not be off. Branches of equal kernels merge
(k3 e2 + k3 e2 = k3 e4); one kernel left is a plain MBConv; all branches off is a skipped block, which only a
residual block can be. Several raw combinations so simplify to one choice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.spaces.supernet import BranchLimits

__all__ = ["Kernels", "Superblock", "kernels_text", "merge", "parse_kernels"]

Kernels = tuple[tuple[int, int], ...]
"""A simplified block: (kernel, expansion) by ascending kernel, each kernel once; () is a skipped block."""

_TEXT = re.compile(r"k([0-9]{1,3}(?:,[0-9]{1,3})*) e([0-9]{1,3}(?:,[0-9]{1,3})*)")


def merge(parts: Iterable[tuple[int, int]]) -> Kernels:
    """Branches as (kernel, expansion), those that are off left out, simplified: equal kernels add their expansions."""
    total: Counter[int] = Counter()
    for kernel, expansion in parts:
        total[kernel] += expansion
    return tuple(sorted(total.items()))


def kernels_text(kernels: Kernels) -> str:
    """A block as people write it: "k3,5 e4,2"; "skip"."""
    if not kernels:
        return "skip"
    return f"k{','.join(str(k) for k, _ in kernels)} e{','.join(str(e) for _, e in kernels)}"


def parse_kernels(text: str) -> Kernels:
    """Read what `kernels_text` wrote.

    Raises:
        ConfigError: where the text is not of this form.
    """
    if text == "skip":
        return ()
    match = _TEXT.fullmatch(text)
    if match is not None:
        kernels = [int(k) for k in match[1].split(",")]
        expansions = [int(e) for e in match[2].split(",")]
        fits = len(kernels) == len(expansions) == len(set(kernels))
        if fits and min(expansions) > 0 and all(k % 2 for k in kernels):
            return merge(zip(kernels, expansions, strict=True))
    raise ConfigError(
        f'{text!r} is no block: write kernels (odd, each once) and as many expansions, such as "k3,5 e4,2", or "skip"'
    )


@dataclass(frozen=True)
class Superblock:
    """One place of a supernet with all that it may become.

    Attributes:
        in_channels, out_channels: of the block.
        size: height and width of its input in pixels.
        stride: of its depthwise convolutions.
        branches: the limits of its branches.
        step: of the expansions.
    """

    in_channels: int
    out_channels: int
    size: int
    stride: int
    branches: tuple[BranchLimits, ...]
    step: int

    @property
    def residual(self) -> bool:
        """Whether its input is added to its output."""
        return self.stride == 1 and self.in_channels == self.out_channels

    @property
    def required_branch(self) -> int | None:
        """The branch that may not be off: the last of the largest kernel, in a block without residual."""
        if self.residual:
            return None
        kernels = [branch.kernel for branch in self.branches]
        return max(b for b, kernel in enumerate(kernels) if kernel == max(kernels))

    def branch_choices(self, branch: int) -> tuple[tuple[int, int] | None, ...]:
        """What a branch may become, off (None) first, then by expansion and by kernel: choice
        1 + (g - 1) * K + i has g channel groups and the i-th of K kernels. Where the branch is required,
        choice 0 is listed and never taken."""
        limits = self.branches[branch]
        kernels = range(3, limits.kernel + 1, 2)
        expansions = range(self.step, limits.expansion + 1, self.step)
        return (None, *((k, e) for e in expansions for k in kernels))

    @cached_property
    def raw(self) -> tuple[tuple[int, ...], ...]:
        """Every combination of branch choices, as indices into `branch_choices`."""
        required = self.required_branch
        ranges = [
            range(int(branch == required), len(self.branch_choices(branch))) for branch in range(len(self.branches))
        ]
        return tuple(product(*ranges))

    @cached_property
    def choices(self) -> tuple[Kernels, ...]:
        """The distinct blocks that the combinations simplify to: a skipped one first, then by total expansion."""
        found = {self.simplified(raw) for raw in self.raw}
        return tuple(sorted(found, key=lambda kernels: (sum(e for _, e in kernels), kernels)))

    @cached_property
    def choice_of_raw(self) -> NDArray[np.int64]:
        """(len(raw),): for every combination the index of the choice that it simplifies to."""
        place = {kernels: index for index, kernels in enumerate(self.choices)}
        return np.array([place[self.simplified(raw)] for raw in self.raw], dtype=np.int64)

    def simplified(self, raw: tuple[int, ...]) -> Kernels:
        """The block that a combination of branch choices amounts to."""
        taken = (self.branch_choices(branch)[choice] for branch, choice in enumerate(raw))
        return merge(part for part in taken if part is not None)
