"""Filling a store of RMI scores, and bringing stores together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.spaces import chosen_space, image_source
from profiler.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from profiler.measure.progress import Progress
    from search.evrsnas.engines import Engine
    from search.evrsnas.filling import Network
    from search.evrsnas.scoring import RmiScorer
    from search.evrsnas.store import RmiStore

__all__ = ["RmiOptions", "fill", "fill_store", "merge_stores"]

_FRUITLESS = 3
"""Rounds in a row in which workers died before any portion was done, after which it is given up."""


@dataclass(frozen=True, slots=True)
class RmiOptions:
    """What to score, how and where.

    Attributes:
        store: the store's folder.
        space, supernet: the search space.
        sample: how many isomorphism classes, drawn by the seed; None for all.
        preset: the score preset.
        steps, networks: other than the preset's.
        balanced: choose the batch class by class, whatever the preset.
        data, reference: images, and what they are compared by; see `reference_for`.
        engine, jobs: where the work is done.
        in_flight: candidates trained together in one process.
        portion: networks trained between two times that they are stored.
        device: what torch computes on.
        seed: of the sample, the batch, the weights and a reference's training.
        sample_seed: of the sample, where it is to be that of another seed.
    """

    store: Path
    space: str = "nasbench201"
    supernet: str | None = None
    sample: int | None = None
    preset: str = "quick"
    steps: int | None = None
    networks: int | None = None
    balanced: bool = False
    data: Path | None = None
    reference: str | None = None
    engine: str = "local"
    jobs: int | None = None
    in_flight: int = 1
    portion: int = 4
    device: str = "cpu"
    seed: int = 0
    sample_seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("in_flight", "portion"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name.replace('_', '-')} is at least 1, not {getattr(self, name)}")
        if self.sample is not None and self.sample < 1:
            raise ConfigError(f"--sample is at least 1, not {self.sample}")


def fill_store(options: RmiOptions, progress: Progress | None = None) -> dict[str, Any]:
    """`edgecost rmi score`: train what the store lacks, and say what it has.

    Raises:
        ConfigError: for unknown names, unfit data or reference, or an engine that nobody answers at.
        StorageError: where the store cannot be read or written.
    """
    from search.data import load_images
    from search.evrsnas.course import steps_to_record
    from search.evrsnas.engines import check_engine, parse_engine
    from search.evrsnas.filling import open_networks, sample_classes
    from search.evrsnas.references import reference_for
    from search.evrsnas.scoring import RmiScorer, check_classes, check_images, preset
    from search.evrsnas.store import RmiStore

    started = time.perf_counter()
    jobs = 1 if options.jobs is None and options.device != "cpu" and options.engine == "local" else options.jobs
    engine = parse_engine(options.engine, jobs)  # a GPU is kept busy by candidates in flight, not by processes
    check_engine(engine)
    _check_device(options.device)
    space = chosen_space(options.space, options.supernet)
    if options.sample is None and space.size > 100_000:
        raise ConfigError(f"{space.name} has {space.size:.3g} architectures: score a --sample of them")
    how = preset(options.preset)
    how = replace(
        how,
        steps=how.steps if options.steps is None else options.steps,
        networks=how.networks if options.networks is None else options.networks,
        balanced=how.balanced or options.balanced,
    )
    store = RmiStore(options.store)
    images = load_images(image_source(options.data))
    check_images(images, how, options.seed)
    reference = reference_for(options.reference, images, options.seed, options.store / "references", options.data)
    scorer = RmiScorer(space, how, reference, images, options.seed, options.device)
    check_classes(scorer.batch, how)
    if progress:
        progress.message(f"reference: {reference.origin}, {100 * reference.accuracy:.1f} % of the test images right")
        if store.quarantined:
            progress.message(f"{store.quarantined} damaged rows of {store.folder} were moved to its quarantine")
    # another space than the scorer's, which travels with the work: sampling fills it with tables
    drawn_by = options.seed if options.sample_seed is None else options.sample_seed
    architectures = sample_classes(chosen_space(options.space, options.supernet), options.sample, drawn_by)
    at = steps_to_record(how.steps)
    settings = {**scorer.course_settings, "preset": how.name, "origin": reference.origin, "data": images.note}
    settings |= {"batch_seed": options.seed, "balanced": how.balanced}
    store.describe(scorer.course_identity, settings)

    def lacking() -> list[Network]:
        return open_networks(architectures, scorer, store, how.networks, at)

    wanted = len(architectures) * how.networks
    found = wanted - len(lacking())
    lost = fill(scorer, store, lacking, at, engine, options.in_flight, options.portion, progress)
    store.compact()
    return _answer(options, store, scorer, len(architectures), wanted, found, lost, time.perf_counter() - started)


def fill(
    scorer: RmiScorer,
    store: RmiStore,
    lacking: Callable[[], list[Network]],
    at: Sequence[int],
    engine: Engine,
    in_flight: int = 1,
    portion: int = 4,
    progress: Progress | None = None,
) -> int:
    """Train what is lacking until nothing is; returns how often workers died meanwhile.

    Args:
        scorer, store: how candidates are scored and where rows are kept.
        lacking: tells the networks that the store lacks.
        at: the steps to record.
        engine, in_flight, portion: where, how many together, and how many between two times of storing.
        progress: is told of every portion.

    Raises:
        StorageError: where workers die again and again before they have done anything.
    """
    from search.evrsnas.engines import WorkersLost, run_all
    from search.evrsnas.filling import portions, score_portion

    todo: list[Network] = lacking()
    lost = fruitless = 0
    while todo:
        work = portions(scorer, todo, at, in_flight, portion)
        if progress:
            progress.start(len(work))
        done = 0
        try:
            for rows in run_all(score_portion, work, engine):
                store.append(rows)
                store.compact_many()
                done += 1
                if progress:
                    progress.advance(f"{len(store)} rows stored")
        except WorkersLost as error:
            lost += 1
            fruitless = 0 if done else fruitless + 1
            if fruitless == _FRUITLESS:
                raise StorageError(f"{error}; {_FRUITLESS} times nothing came back: check the workers") from None
            if progress:
                progress.message(f"{error}; nothing stored is lost, and the rest is begun anew")
        store.refresh()
        todo = lacking()
    return lost


def merge_stores(folders: Sequence[Path], into: Path) -> dict[str, Any]:
    """Bring the rows of several stores together in one.

    Raises:
        ConfigError: where one of them is not there.
        StorageError: where one cannot be read, or `into` not written.
    """
    from search.evrsnas.store import RmiStore, existing_store

    stores = [existing_store(folder) for folder in folders]
    target = RmiStore(into)
    taken = sum(target.merge(store) for store in stores)
    target.compact()
    damaged = sum(store.quarantined for store in (*stores, target))
    sentence = f"{taken} rows taken into {into}, which now has {len(target)}"
    if damaged:
        sentence += f"; {damaged} damaged ones were moved to quarantine"
    return {"sentence": sentence, "taken": taken, "rows": len(target), "quarantined": damaged}


def _answer(
    options: RmiOptions,
    store: RmiStore,
    scorer: RmiScorer,
    architectures: int,
    wanted: int,
    found: int,
    lost: int,
    seconds: float,
) -> dict[str, Any]:
    rows = [r for r in store.rows(scorer.course_identity) if r.seed == scorer.seed]
    diverged = len({(r.architecture, r.network) for r in rows if r.diverged})
    sentence = (
        f"{architectures} architectures x {scorer.preset.networks} networks to step {scorer.preset.steps}: "
        f"{wanted - found} trained, {found} found, in {seconds:.1f} s; the store {options.store} has {len(store)} rows"
    )
    if diverged:
        sentence += f"; {diverged} networks diverged and have no score"
    if lost:
        sentence += f"; workers died {lost} times and their work was done again"
    return {
        "sentence": sentence,
        "store": str(options.store),
        "identity": scorer.course_identity,
        "preset": scorer.preset.name,
        "steps": scorer.preset.steps,
        "networks": scorer.preset.networks,
        "architectures": architectures,
        "trained": wanted - found,
        "found": found,
        "diverged": diverged,
        "rows": len(store),
        "quarantined": store.quarantined,
        "rounds_lost": lost,
        "wall_s": round(seconds, 2),
    }


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"torch cannot compute on {device!r} here: {str(error).splitlines()[0]}") from None
