"""What a study of HW-EvRSNAS is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from profiler.errors import ConfigError

if TYPE_CHECKING:
    from search.evrsnas.evolution import EvolutionConfig

__all__ = ["PENALTY_FORMS", "EvrsnasStudy", "data_folder", "settings_of"]

PENALTY_FORMS = ("relative", "absolute", "two-sided")
"""lambda max(0, Psi - T) / T, lambda max(0, Psi - T) and lambda |Psi - T| / T."""


MUTATION = 0.3
"""Of searches whose scores are known beforehand. At the 0.1 of single searches, where every new architecture costs a
training, a search sees a third as many and more often than not ends short of the best score within its budget."""


@dataclass(frozen=True, slots=True)
class EvrsnasStudy:
    """What to study.

    Attributes:
        data: the folder of measured public data.
        devices: of HW-NAS-Bench; none for all that the data set has or, where targets are named, for no such device.
        datasets: cifar10, cifar100, ImageNet16-120; none for all, wherever a device has costs there.
        cost: what the budgets are of: "latency", "energy", or "both" together, at the same quantile each.
        scores: stores of RMI scores (folders) and tables of scores (files); none searches by MACs.
        score: the name of the score that is searched by, or several joined by "+" (their mean rank).
        final_score, finalists: the score, named likewise, that the best few of a search are ranked by, and how many
            these are; 0 for no such round.
        seeds: how many, from 0.
        population, generations: of every search.
        mutation_rate: of every search; None for `MUTATION`, or that of single searches where scores are not known yet.
        penalty_weight: lambda.
        penalty_form: out of PENALTY_FORMS.
        controls: whether controls are searched too.
        ablations: whether the penalty is varied, and scores under other settings are compared.
        results, targets: a folder of our own measurements, and targets of it that are studied as devices are.
        table: a table of networks that `edgecost table import hw-nas-bench` wrote, instead of that in `data`.
        watts: what one busy core is taken to draw, for an estimate of energy where nothing measures it.
    """

    data: Path
    devices: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    cost: Literal["latency", "energy", "both"] = "latency"
    scores: tuple[Path, ...] = ()
    score: str = ""
    final_score: str = ""
    finalists: int = 0
    seeds: int = 3
    population: int = 20
    generations: int = 100
    penalty_weight: float = 1.0
    penalty_form: str = "relative"
    controls: bool = True
    ablations: bool = True
    results: Path | None = None
    targets: tuple[str, ...] = ()
    table: Path | None = None
    watts: float = 10.0
    mutation_rate: float | None = None

    def __post_init__(self) -> None:
        if self.penalty_form not in PENALTY_FORMS:
            raise ConfigError(f"--penalty-form is {', '.join(PENALTY_FORMS)}, not {self.penalty_form!r}")
        if bool(self.final_score) != bool(self.finalists):
            raise ConfigError("a finalists' round takes both --finalists and --final-score")
        if self.targets and self.results is None:
            raise ConfigError("targets of one's own need the folder of their measurements: --results")
        if self.targets and self.cost == "both":
            raise ConfigError("targets of one's own are studied by latency or by energy, not by both: --cost")

    def evolution(self, *, scores_are_known: bool = True) -> EvolutionConfig:
        """The searches' parameters, without a budget."""
        from search.evrsnas.evolution import EvolutionConfig

        usual = MUTATION if scores_are_known else EvolutionConfig(None).mutation_rate
        return EvolutionConfig(
            None,
            self.population,
            self.generations,
            tournament=min(5, self.population),
            mutation_rate=usual if self.mutation_rate is None else self.mutation_rate,
            penalty_weight=self.penalty_weight,
            penalty_form="absolute" if self.penalty_form == "absolute" else "relative",
            two_sided=self.penalty_form == "two-sided",
        )


def settings_of(options: EvrsnasStudy) -> dict[str, Any]:
    """What a study's file says of its options."""
    names = (
        "devices", "cost", "seeds", "population", "generations", "penalty_weight", "penalty_form", "targets",
        "final_score", "finalists", "mutation_rate",
    )  # fmt: skip
    return {**{name: getattr(options, name) for name in names}, "scores": [str(path) for path in options.scores]}


def data_folder(given: Path | None) -> Path:
    """The folder of measured public data: as given, or EDGECOST_DATA.

    Raises:
        ConfigError: where neither says.
    """
    from edgecost.stages import places

    named = given or places.data_folder()
    if named is None:
        raise ConfigError("name the folder of measured public data with --data, or set EDGECOST_DATA")
    return named
