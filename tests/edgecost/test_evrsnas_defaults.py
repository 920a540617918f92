from pathlib import Path

import numpy as np
import pytest

from edgecost.stages.evrsnas.defaults import with_defaults, with_fitted
from edgecost.stages.evrsnas.options import EvrsnasStudy
from search.evrsnas.arrays import arrays_of
from search.evrsnas.judging import macs_and_params
from search.spaces import find_space


def test_the_fitted_phi_is_searched_by_where_it_is_known_and_no_score_is_named():
    plain = EvrsnasStudy(Path())
    assert with_defaults(plain, ("macs", "phi", "phi_fit", "live_macs")).score == "phi_fit+live_macs"
    assert with_defaults(plain, ("macs", "phi", "live_macs")) == plain
    asked = EvrsnasStudy(Path(), score="phi")
    assert with_defaults(asked, ("phi", "phi_fit")) == asked


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


@pytest.mark.parametrize("step", [0, 50])
def test_untrained_scores_are_fitted_to_nothing(step):
    arrays = arrays_of(find_space("nasbench201"))
    drawn = np.random.default_rng(0).choice(np.unique(arrays.representatives), 200, replace=False)
    sample = np.where(np.isin(arrays.representatives, drawn), arrays.representatives * 1.0, np.nan)
    assert ("phi_fit" in with_fitted({f"phi 12345678 {step}": sample}, arrays)) == (step > 0)
