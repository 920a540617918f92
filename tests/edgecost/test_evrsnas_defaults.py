import numpy as np
import pytest

from edgecost.stages.evrsnas.defaults import PREFERRED, default_score, with_fitted
from edgecost.stages.evrsnas.options import MUTATION, EvrsnasStudy
from search.evrsnas.arrays import arrays_of
from search.evrsnas.evolution import EvolutionConfig
from search.evrsnas.judging import macs_and_params
from search.evrsnas.surrogate import DISTILLED, DISTILLED_FIT, FITTED, LIVE_MACS
from search.spaces import find_space


@pytest.mark.parametrize(
    ("known", "searched_by"),
    [
        (("macs", "phi", "phi_fit", "live_macs", "distilled", "distilled_fit"), "distilled_fit+live_macs"),
        (("macs", "phi", "phi_fit", "live_macs", "distilled"), "phi_fit+live_macs"),
        (("macs", "phi", "phi_fit", "live_macs"), "phi_fit+live_macs"),
        (("macs", "phi_fit", "live_macs"), "phi_fit+live_macs"),
        (("macs", "phi", "phi_fit"), "phi+macs"),
        (("macs", "phi", "live_macs"), "phi+macs"),
        (("macs", "params", "naswot"), "macs"),
    ],
)
def test_the_best_score_that_is_wholly_known_is_searched_by(known, searched_by):
    assert default_score(known) == searched_by


def test_fitted_scores_and_macs_go_by_their_own_names():
    assert PREFERRED[:2] == (f"{DISTILLED_FIT}+{LIVE_MACS}", f"{FITTED}+{LIVE_MACS}")


def test_a_sample_of_trained_scores_makes_a_score_of_the_space():
    arrays = arrays_of(find_space("nasbench201"))
    macs = arrays.scores(macs_and_params(arrays)[0])
    drawn = np.random.default_rng(0).choice(np.unique(arrays.representatives), 200, replace=False)
    sample = np.where(np.isin(arrays.representatives, drawn), macs, np.nan)
    found = with_fitted({"phi 12345678 50": sample, "macs": macs}, arrays)
    assert set(found) == {"phi 12345678 50", "macs", "live_macs", "phi_fit"}
    assert np.isfinite(found["phi_fit"][arrays.connected]).all()
    assert set(with_fitted({"macs": macs}, arrays)) == {"macs"}
    own = np.ones(len(arrays))
    assert with_fitted({"phi 12345678 50": sample, "phi_fit": own}, arrays)["phi_fit"] is own


def test_a_sample_of_distilled_classes_makes_a_score_of_the_space():
    arrays = arrays_of(find_space("nasbench201"))
    macs = arrays.scores(macs_and_params(arrays)[0])
    drawn = np.random.default_rng(0).choice(np.unique(arrays.representatives), 200, replace=False)
    sample = np.where(np.isin(arrays.representatives, drawn), macs, np.nan)
    found = with_fitted({DISTILLED: sample, "macs": macs}, arrays)
    assert set(found) == {DISTILLED, "macs", LIVE_MACS, DISTILLED_FIT}
    assert np.isfinite(found[DISTILLED_FIT][arrays.connected]).all()
    assert set(with_fitted({DISTILLED: macs, "macs": macs}, arrays)) == {DISTILLED, "macs"}  # all is known


@pytest.mark.parametrize("step", [0, 50])
def test_untrained_scores_are_fitted_to_nothing(step):
    arrays = arrays_of(find_space("nasbench201"))
    drawn = np.random.default_rng(0).choice(np.unique(arrays.representatives), 200, replace=False)
    sample = np.where(np.isin(arrays.representatives, drawn), arrays.representatives * 1.0, np.nan)
    assert ("phi_fit" in with_fitted({f"phi 12345678 {step}": sample}, arrays)) == (step > 0)


def test_mutation_is_a_study_s_own_where_scores_are_known_and_as_asked_for_anywhere(tmp_path):
    assert EvrsnasStudy(tmp_path).evolution().mutation_rate == MUTATION > EvolutionConfig(None).mutation_rate
    dear = EvrsnasStudy(tmp_path).evolution(scores_are_known=False)
    assert dear.mutation_rate == EvolutionConfig(None).mutation_rate
    assert EvrsnasStudy(tmp_path, mutation_rate=0.0).evolution().mutation_rate == 0.0
