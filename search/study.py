"""One search as a study: configuration, reference, scores, course and result in one JSON file; resumable.

    config = SearchConfig(target="rpi5/onnxruntime-fp32-t1", evolution=EvolutionConfig(budget_ms=6.0))
    result = run_search(config, cost_fn, Path("results/search/rpi5-6ms.json"), cost_identity=table_digest)

Beside the study lie what it needs to go on after it was killed (a checkpoint, until the study is complete) and what
further studies reuse: trained references and the journal of scores.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from profiler.errors import ConfigError, StorageError
from search.data import ImageSet, load_images
from search.evrsnas.evolution import CostFunction, EvolutionConfig, ScoreFunction, evolve
from search.evrsnas.records import Evaluation, EvolutionResult, Generation
from search.evrsnas.reference import Reference, read_reference, trained_reference
from search.evrsnas.scores import ScoreStore, StoredScorer
from search.evrsnas.scoring import RmiScorer, check_classes, check_images, preset
from search.files import write_text
from search.spaces import find_space
from search.spaces.base import SearchSpace
from search.units import TEXTS, CostUnit, named, unnamed

__all__ = ["STUDY_SCHEMA", "SearchConfig", "StudyProgress", "StudyResult", "read_study", "run_search"]

STUDY_SCHEMA = 1


class StudyProgress(Protocol):
    """What a study calls while it works."""

    def start(self, total: int) -> None:
        """The search begins: `total` generations, the initial population included."""

    def advance(self, label: str) -> None:
        """One generation is done."""

    def message(self, text: str) -> None:
        """Something people should know, in one line."""


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """Everything that the outcome of a search depends on, besides the costs.

    Attributes:
        target: the id of the target whose costs constrain the search.
        evolution: the budget and the parameters of the algorithm.
        space: the name of the search space.
        preset: the name of the score preset.
        data: "digits", or the path of CIFAR-10 data.
        reference: the path of an .npz with the reference's weights; None trains one on the data.
        seed: of the search, the batch, the candidates' weights and the reference's training.
        unit: of the costs and the budget: "ms", or "mj" for energy. Within a search both go by the names of latency;
            in a study's file they are named by their unit.
        scope: of energies: what they include.
    """

    target: str
    evolution: EvolutionConfig
    space: str = "nasbench201"
    preset: str = "quick"
    data: str = "digits"
    reference: str | None = None
    seed: int = 0
    unit: CostUnit = "ms"
    scope: str = ""

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form; one of latencies looks as it did before there were others."""
        data = asdict(self)
        if self.unit == "ms":
            del data["unit"], data["scope"]
        return dict(named(data, self.unit))


@dataclass(frozen=True)
class StudyResult:
    """What a search found.

    Attributes:
        config: what was asked for.
        identity: a digest of the configuration, the score settings, the data and the costs.
        result: history, archive, best, feasibility, number of evaluations.
        facts: about scoring: the reference and its accuracy, the note on the data, the preset, the batch, scores
            computed and found, quarantined rows of the score store; and the space's definition where its name does
            not say everything.
        wall_s: seconds of the process that finished the search (an earlier, killed one not counted).
        labels: how people write the architectures of the archive, in its order.
    """

    config: SearchConfig
    identity: str
    result: EvolutionResult
    facts: Mapping[str, Any] = field(default_factory=dict)
    wall_s: float = 0.0
    labels: tuple[str, ...] = ()

    @property
    def best_label(self) -> str:
        """How people write the answer."""
        return self.labels[[e.architecture for e in self.result.archive].index(self.result.best.architecture)]

    def sentence(self) -> str:
        """The outcome in one sentence."""
        best, budget, unit = self.result.best, self.config.evolution.budget_ms, TEXTS[self.config.unit]
        found = f"{self.best_label} with score {best.score:.3f} at {best.cost_ms:.3f} {unit} on {self.config.target}"
        tail = f"after {self.result.evaluations} scored architectures in {self.wall_s:.0f} s"
        if budget is None:
            return f"best without a budget: {found}, {tail}"
        if self.result.feasible:
            return f"best within {budget:g} {unit}: {found}, {tail}"
        return (
            f"INFEASIBLE: nothing seen meets {budget:g} {unit}; the least violating is {found}, "
            f"{100 * best.violation:.1f} % over, {tail}; raise the budget or search longer"
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form; unknown figures are null."""
        rows = [{"label": n, **e.to_dict()} for n, e in zip(self.labels, self.result.archive, strict=True)]
        data = {
            "schema": STUDY_SCHEMA,
            "kind": "evrsnas",
            "identity": self.identity,
            "config": self.config.to_dict(),
            "space": self.config.space,
            "target": self.config.target,
            "budget_ms": self.config.evolution.budget_ms,
            "seed": self.config.seed,
            "feasible": self.result.feasible,
            "sentence": self.sentence(),
            "best": {"label": self.best_label, **self.result.best.to_dict()},
            "n_evaluations": self.result.evaluations,
            "wall_s": round(self.wall_s, 2),
            "facts": dict(self.facts),
            "course": [{"generation": g.index, **asdict(g)} for g in self.result.history],
            "evaluations": rows,
        }
        return {**named(data, self.config.unit), "facts": dict(self.facts)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StudyResult:
        """Read what `to_dict` wrote.

        Raises:
            StorageError: where the data is not such a form or of a newer schema.
        """
        try:
            if data["schema"] > STUDY_SCHEMA:
                raise StorageError(f"the study is of a newer version (schema {data['schema']}): update edgecost")
            facts = data["facts"]
            data = unnamed(data, data["config"].get("unit", "ms"))
            config = {**data["config"], "evolution": EvolutionConfig(**data["config"]["evolution"])}
            history = [Generation(**{k: v for k, v in g.items() if k != "generation"}) for g in data["course"]]
            archive = tuple(Evaluation.from_dict(e) for e in data["evaluations"])
            best = Evaluation.from_dict(data["best"])
            result = EvolutionResult(tuple(history), archive, best, bool(data["feasible"]), int(data["n_evaluations"]))
            labels = tuple(str(e["label"]) for e in data["evaluations"])
            return cls(SearchConfig(**config), data["identity"], result, facts, float(data["wall_s"]), labels)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StorageError(f"not a study: {error!r}") from None


def run_search(
    config: SearchConfig,
    cost_fn: CostFunction,
    out: Path,
    *,
    cost_identity: str = "",
    cache_dir: Path | None = None,
    progress: StudyProgress | None = None,
    space: SearchSpace | None = None,
    images: ImageSet | None = None,
) -> StudyResult:
    """Search, and write the study to `out`.

    A complete study of the same identity at `out` is returned as it is; one that was killed is continued.

    Args:
        config: what to search.
        cost_fn: Psi of a sequence of architectures in the unit of `config`; NaN where unknown.
        out: the study's JSON file.
        cost_identity: names the costs (such as a digest of the fitted cost model); other costs are another study.
        cache_dir: where references and scores are kept; by default the folder "cache" beside `out`.
        progress: is told of every generation.
        space, images: objects instead of the names in `config`.

    Raises:
        ConfigError: for unknown names, unreadable data, or costs that are all missing.
        StorageError: where a file cannot be read or written.
    """
    started = time.perf_counter()
    cache_dir = cache_dir or out.parent / "cache"
    space = space or find_space(config.space)
    images = images or load_images(config.data)
    scorer, store, facts = _scorer(config, space, images, cache_dir, progress)
    identity = _digest(config.to_dict(), facts["score_identity"], images.digest, cost_identity)
    done = _complete(out, identity)
    if done is not None:
        return done
    checkpoint = out.with_name(f".{out.stem}-{identity[:12]}.checkpoint")
    result = _evolve(config, space, scorer, cost_fn, checkpoint, identity, progress)
    facts |= {"scores_computed": scorer.computed, "quarantined_rows": store.quarantined}
    labels = tuple(space.describe(e.architecture) for e in result.archive)
    study = StudyResult(config, identity, result, facts, time.perf_counter() - started, labels)
    write_text(out, json.dumps(study.to_dict(), indent=1, allow_nan=False) + "\n")
    checkpoint.unlink(missing_ok=True)
    return study


def read_study(path: Path) -> StudyResult:
    """Read a study from its file.

    Raises:
        ConfigError: where there is no such file.
        StorageError: where it cannot be read.
    """
    if not path.is_file():
        raise ConfigError(f"there is no study at {path}")
    try:
        return StudyResult.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StorageError(f"the study {path} cannot be read: {error}") from None


def _scorer(
    config: SearchConfig, space: SearchSpace, images: ImageSet, cache_dir: Path, progress: StudyProgress | None
) -> tuple[StoredScorer, ScoreStore, dict[str, Any]]:
    how = preset(config.preset)
    check_images(images, how, config.seed)
    reference = _reference(config, images, cache_dir)
    scorer = RmiScorer(space, how, reference, images, config.seed)
    check_classes(scorer.batch, how)
    store = ScoreStore(cache_dir / "scores.jsonl")
    if progress:
        progress.message(f"reference: {reference.origin}, {100 * reference.accuracy:.1f} % of the test images right")
        if store.quarantined:
            progress.message(f"{store.quarantined} damaged rows of {store.path} were moved to quarantine")
    facts = {
        "reference": reference.origin,
        "reference_accuracy": reference.accuracy,
        "data": images.note,
        "preset": asdict(how),
        "batch": scorer.batch.indices.tolist(),
        "score_identity": scorer.identity,
    }
    if space.definition:
        facts["space"] = dict(space.definition)
    return StoredScorer(space, scorer, store), store, facts


def _reference(config: SearchConfig, images: ImageSet, cache_dir: Path) -> Reference:
    if config.reference is not None:
        return read_reference(Path(config.reference), images)
    return trained_reference(images, config.seed, cache_dir)


def _evolve(
    config: SearchConfig,
    space: SearchSpace,
    score_fn: ScoreFunction,
    cost_fn: CostFunction,
    checkpoint: Path,
    identity: str,
    progress: StudyProgress | None,
) -> EvolutionResult:
    if progress:
        progress.start(config.evolution.generations + 1)

    def observe(generation: Generation) -> None:
        if progress:
            best = generation.best_feasible_score
            state = "nothing within budget yet" if best is None else f"best {best:.3f}"
            progress.advance(f"generation {generation.index}: {state}, {generation.evaluations} scored")

    return evolve(
        space,
        score_fn,
        cost_fn,
        config.evolution,
        np.random.default_rng(config.seed),
        checkpoint=checkpoint,
        identity=identity,
        observer=observe,
    )


def _complete(out: Path, identity: str) -> StudyResult | None:
    """The study at `out` if it is readable and of this identity; anything else there will be replaced."""
    try:
        study = read_study(out)
    except (ConfigError, StorageError):
        return None
    return study if study.identity == identity else None


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
