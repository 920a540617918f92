"""The score that a search beyond the plain one goes by: what a user named, phi out of a store where one is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.data import ImageSet
    from search.evrsnas.beyond.score_names import NamedScore
    from search.evrsnas.scores import Scorer
    from search.evrsnas.store import RmiStore
    from search.spaces.base import SearchSpace

__all__ = ["Phi", "score_of"]


@dataclass(frozen=True, slots=True)
class Phi:
    """How phi is had.

    Attributes:
        preset: the name of the score preset.
        store: a store that `edgecost rmi score` filled, or None for the search's own journal.
        reference: what candidates are compared with, as `rmi score` takes it.
        data: the file or folder that the images came from.
        seed: of the batch, the weights and a reference's training.
    """

    preset: str
    store: Path | None
    reference: str | None
    data: Path | None
    seed: int


def score_of(text: str, space: SearchSpace, images: ImageSet, seed: int, cache: Path, phi: Phi) -> NamedScore:
    """The score that a text names.

    Args:
        text: see `search.evrsnas.beyond.score_names`.
        space, images: what is scored, and on what.
        seed: of the training-free scores and of the sample that ranks are taken in.
        cache: the folder of the search's own references and scores.
        phi: how phi is had.

    Raises:
        ConfigError: for an unknown name, a store that is not there, or an unfit reference or batch.
    """
    from search.evrsnas.beyond.score_names import PHI, named_score, parts_of
    from search.evrsnas.scores import ScoreStore
    from search.evrsnas.store import existing_store

    # before anything is trained
    store = existing_store(phi.store) if phi.store is not None and PHI in parts_of(text) else None
    journal = ScoreStore(cache / "scores.jsonl")
    return named_score(text, space, images, seed, journal, lambda: _phi(space, images, cache, phi, store))


def _phi(space: SearchSpace, images: ImageSet, cache: Path, phi: Phi, store: RmiStore | None) -> Scorer:
    from search.evrsnas.filling import FillingScorer
    from search.evrsnas.reference import trained_reference
    from search.evrsnas.references import reference_for
    from search.evrsnas.scoring import RmiScorer, check_classes, check_images, preset

    how = preset(phi.preset)
    check_images(images, how, phi.seed)
    if store is None and phi.reference is None:
        scorer = RmiScorer(space, how, trained_reference(images, phi.seed, cache), images, phi.seed)
    else:
        kept = cache if store is None else store.folder / "references"
        reference = reference_for(phi.reference, images, phi.seed, kept, phi.data)
        scorer = RmiScorer(space, how, reference, images, phi.seed)
    check_classes(scorer.batch, how)
    return scorer if store is None else FillingScorer(scorer, store)
