"""A sample of classes, into which the reference is distilled: a file of scores that studies read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.errors import ConfigError

if TYPE_CHECKING:
    from profiler.measure.progress import Progress

__all__ = ["DistilOptions", "distil_sample"]


@dataclass(frozen=True, slots=True)
class DistilOptions:
    """What to distil into.

    Attributes:
        out: the .parquet file.
        data: CIFAR-10 images, or "digits".
        sample: how many classes.
        reference: a file of weights, "trained", package.module:function, or None for what lies beside the images.
        steps: of training; None for the usual.
        jobs: processes at once.
        seed: of the sample, the split, the pictures and the weights.
    """

    out: Path
    data: str = "digits"
    sample: int = 300
    reference: str | None = None
    steps: int | None = None
    jobs: int = 1
    seed: int = 0


def distil_sample(options: DistilOptions, progress: Progress | None = None) -> dict[str, Any]:
    """`edgecost search distilled`: train a sample of NAS-Bench-201 to say what the reference says of pictures.

    Raises:
        ConfigError: for a reference or images that there are not, or a file of another training.
        StorageError: where the file cannot be read or written.
    """
    from search.data import load_images
    from search.evrsnas.arrays import arrays_of
    from search.evrsnas.distilling import Distiller, Distilling
    from search.evrsnas.nominees import sample_of_larger
    from search.evrsnas.references import reference_for
    from search.evrsnas.trained_table import fill_table
    from search.spaces.nasbench201 import NasBench201

    if options.out.suffix != ".parquet":
        raise ConfigError(f"{options.out} is to be a .parquet file")
    space = NasBench201()
    positions = sample_of_larger(arrays_of(space), options.sample, options.seed)
    images = load_images(options.data)
    beside = None if options.data == "digits" else Path(options.data)
    reference = reference_for(options.reference, images, options.seed, options.out.parent / "references", beside)
    how = Distilling() if options.steps is None else Distilling(steps=options.steps)
    trainer = Distiller(space, how, images, reference, options.seed)
    told = progress.message if progress else lambda line: None
    table = fill_table(options.out, trainer, [space.at(i) for i in positions], jobs=options.jobs, told=told)
    seconds = sum(row.seconds for row in table.rows.values())
    return {
        "sentence": f"{options.out} has {len(table.rows)} classes that {reference.origin} was distilled into, in "
        f"{seconds:.0f} CPU s ({images.note})",
        "sample": len(positions),
        "architectures": len(table.rows),
        "cpu_seconds": round(seconds, 1),
        "reference": reference.origin,
        "file": str(options.out),
    }
