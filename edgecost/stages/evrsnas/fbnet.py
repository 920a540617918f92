"""The study of HW-EvRSNAS on FBNet's space: four devices of HW-NAS-Bench, whose costs are public. Its accuracies are
not, so the study knows of scores and costs, and of no regret."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.evrsnas.options import EvrsnasStudy, settings_of
from profiler.errors import ConfigError

if TYPE_CHECKING:
    from profiler.measure.progress import Progress
    from search.data import ImageSet
    from search.evrsnas.beyond.score_names import NamedScore
    from search.evrsnas.scores import Scorer
    from search.spaces.fbnet import FBNet

__all__ = ["FbnetStudy", "run_fbnet"]

NOTE = (
    "Accuracies of FBNet's space on images of 32 x 32 are not public: answers are compared by the score that was "
    "searched by, and nothing is said of how accurate they are"
)


@dataclass(frozen=True, slots=True)
class FbnetStudy:
    """What to study.

    Attributes:
        options: data, devices, stores, score, seeds, sizes, penalty.
        preset: how phi is computed.
        quantiles: budgets as shares of random architectures that meet them; none for 0.1, 0.2, ... 0.8.
        networks: fresh networks an architecture, other than the preset's.
        seed: of the batch, the weights and the sample that ranks are taken in.
    """

    options: EvrsnasStudy
    preset: str = "untrained"
    quantiles: tuple[float, ...] = ()
    networks: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        o = self.options
        wrong = [
            name for name, given in (("--target", o.targets), ("--table", o.table), ("--dataset", o.datasets)) if given
        ]
        if wrong:
            raise ConfigError(f"a study of fbnet takes no {wrong[0]}: its costs are those of HW-NAS-Bench's devices")
        if o.cost != "latency" or o.finalists:
            raise ConfigError("a study of fbnet is by latency and without finalists: leave --cost and --finalists out")
        if len(o.scores) > 1 or any(path.is_file() for path in o.scores):
            raise ConfigError("a study of fbnet takes one --scores: the store that phi is looked up and kept in")


def run_fbnet(study: FbnetStudy, out: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Search every device, budget and seed, and write OUT/study-fbnet.json; returns its content with the file's name.

    Raises:
        ConfigError: where data are missing, or an option is not for this space.
        StorageError: where a file cannot be written.
    """
    from edgecost.stages.evrsnas.files import FBNET_KIND, FBNET_STUDY, write_study
    from edgecost.stages.evrsnas.spent import Meter
    from edgecost.stages.places import check_writable
    from profiler.tables.formats.hwnasbench import read_hwnasbench
    from search.data import load_images
    from search.evrsnas.open_study import LayerCosts, OpenStudy, Remembered, open_cells, open_summary
    from search.evrsnas.study import QUANTILES
    from search.spaces.fbnet import FBNet

    started = time.perf_counter()
    check_writable(out / FBNET_STUDY)
    options, space = study.options, FBNet()
    table = read_hwnasbench(options.data)
    cells = []
    for device in options.devices or table.devices:
        cells += open_cells(LayerCosts.of_fbnet(space, table, device), study.quantiles or QUANTILES, study.seed)
    images = load_images(str(options.data))
    name = options.score or "phi+macs"
    if progress:
        progress.message(f"the score {name}: reference, batch and the sample that ranks are taken in")
    score = _score(study, name, space, images, out)
    own = Remembered(space, score.function)
    macs = Remembered(space, _score(study, "macs", space, images, out).function)
    searches = OpenStudy(
        space,
        cells,
        own,
        {"macs": macs},
        range(options.seeds),
        options.evolution(scores_are_known=False),
        options.controls,
    )
    if progress:
        progress.start(len(cells) * options.seeds)
    meter = Meter(options.watts)
    rows = searches.run(progress.advance if progress else lambda label: None)
    spent = meter.read()
    lines = open_summary(rows)
    found = [line for line in lines if line["method"] == "hw-evrsnas"]
    violations = sum(line["violations"] for line in lines)
    sentence = (
        f"FBNet: {len(cells)} budgets on {len(found)} devices x {options.seeds} seeds by {name} in "
        f"{spent['wall_s']:.0f} s; {violations} budgets broken by answers called feasible, "
        f"{sum(line['infeasible'] for line in found)} of {sum(line['answers'] for line in found)} answers flagged "
        f"infeasible; {own.scored} architectures scored. {NOTE}"
    )
    answer = {
        "schema": 1,
        "kind": FBNET_KIND,
        "sentence": sentence,
        "note": NOTE,
        "score": name,
        "score_facts": dict(score.facts),
        "settings": {
            **settings_of(options),
            "preset": study.preset,
            "networks": study.networks,
            "quantiles": list(study.quantiles or QUANTILES),
        },
        "data": images.note,
        "violations": violations,
        "search": spent,
        "scored": own.scored,
        "summary": lines,
        "wall_s": round(time.perf_counter() - started, 2),
        "rows": rows,
    }
    path = write_study(out / FBNET_STUDY, answer)
    return {**answer, "file": str(path)}


def _score(study: FbnetStudy, name: str, space: FBNet, images: ImageSet, out: Path) -> NamedScore:
    """The score of a name: phi out of the store, and what it lacks is added."""
    from search.evrsnas.beyond.score_names import named_score
    from search.evrsnas.filling import FillingScorer
    from search.evrsnas.references import reference_for
    from search.evrsnas.scores import ScoreStore
    from search.evrsnas.scoring import RmiScorer, check_classes, check_images, preset
    from search.evrsnas.store import RmiStore

    how = preset(study.preset)
    how = how if study.networks is None else replace(how, networks=study.networks)

    def phi() -> Scorer:
        store = RmiStore(study.options.scores[0] if study.options.scores else out / "cache" / "rmi-store")
        check_images(images, how, study.seed)
        reference = reference_for(None, images, study.seed, out / "cache", study.options.data)
        scorer = RmiScorer(space, how, reference, images, study.seed)
        check_classes(scorer.batch, how)
        return FillingScorer(scorer, store)

    return named_score(name, space, images, study.seed, ScoreStore(out / "cache" / "scores.jsonl"), phi)
