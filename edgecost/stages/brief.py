"""Nominated architectures, trained briefly: from the budgets of a study to a file of scores that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.errors import ConfigError

if TYPE_CHECKING:
    from profiler.measure.progress import Progress

__all__ = ["BriefOptions", "train_nominees"]


@dataclass(frozen=True, slots=True)
class BriefOptions:
    """What to train.

    Attributes:
        out: the .parquet file.
        data: the folder of measured public data: costs, and CIFAR-10 images.
        score: nominates; several joined by "+" for their mean rank.
        count: nominees a budget.
        scores: stores and files that the nominating score is found in, beside MACs and parameters.
        devices: of HW-NAS-Bench; none for all.
        epochs: of training.
        jobs: processes at once.
        seed: of the split, the weights and the order of the images.
    """

    out: Path
    data: Path
    score: str = "macs"
    count: int = 8
    scores: tuple[Path, ...] = ()
    devices: tuple[str, ...] = ()
    epochs: int | None = None
    jobs: int = 1
    seed: int = 0


def train_nominees(options: BriefOptions, progress: Progress | None = None) -> dict[str, Any]:
    """`edgecost search trained`: train the best of every budget of the study by a cheap score, on CIFAR-10.

    Raises:
        ConfigError: for an unknown score or device, data that are missing, or a file of another training.
        StorageError: where the file cannot be read or written.
    """
    from edgecost.stages.evrsnas.cells import cells_of
    from edgecost.stages.evrsnas.options import EvrsnasStudy
    from edgecost.stages.evrsnas.scores import known_scores
    from search.data import load_images
    from search.evrsnas.arrays import arrays_of
    from search.evrsnas.brief import BriefTrainer, BriefTraining
    from search.evrsnas.nominees import nominees
    from search.evrsnas.study_scores import combined
    from search.evrsnas.trained_table import fill_table
    from search.spaces.nasbench201 import NasBench201

    if options.out.suffix != ".parquet":
        raise ConfigError(f"{options.out} is to be a .parquet file")
    space = NasBench201()
    arrays = arrays_of(space)
    study = EvrsnasStudy(options.data, options.devices, ("cifar10",), scores=options.scores)
    cells = cells_of(study, space, ())
    score = combined(options.score, known_scores(study, arrays))
    positions = nominees(cells, score, options.count)
    how = BriefTraining() if options.epochs is None else BriefTraining(epochs=options.epochs)
    images = load_images(str(options.data))
    trainer = BriefTrainer(space, how, images, options.seed)
    told = progress.message if progress else lambda line: None
    table = fill_table(options.out, trainer, [space.at(i) for i in positions], jobs=options.jobs, told=told)
    # architectures that share all that matters share one training, and its cost
    trained = {space.essential(space.parse(name)): row for name, row in table.rows.items()}
    seconds = sum(row.seconds for row in trained.values())
    return {
        "sentence": f"{len(positions)} architectures nominated by {options.score} within {len(cells)} budgets; "
        f"{options.out} has {len(table.rows)}, of {len(trained)} trainings that took {seconds:.0f} CPU s "
        f"({images.note})",
        "nominees": len(positions),
        "budgets": len(cells),
        "architectures": len(table.rows),
        "trainings": len(trained),
        "cpu_seconds": round(seconds, 1),
        "images_seen": sum(row.images_seen for row in trained.values()),
        "forward_macs": sum(row.images_seen * row.macs for row in trained.values()),
        "file": str(options.out),
    }
