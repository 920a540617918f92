"""The rule by which an option is kept."""

from __future__ import annotations

import json
import math

import pytest

from search.s3nas.post.keeprule import Trial, decide
from search.s3nas.post.options import Option
from search.s3nas.post.outcomes import Filled
from search.spaces.network import Block, Network, Stage
from search.spaces.supernet import Head, Stem

NETWORK = Network("made-up", 16, 4, Stem(8, 3, 1), (Stage(8, 1, (Block(((3, 2),)),)),), Head(16))
PLAIN, HSWISH, HALF, SE = Option(), Option("hswish"), Option(removed=0.5), Option(removed=0.0)


def trial(option: Option, *accuracies: float, n_test: int = 0) -> Trial:
    return Trial(option, Filled(0.5, NETWORK, 1.0), accuracies, n_test)


def kept(*trials: Trial) -> str:
    decision = decide(trials, 2.0)
    assert sum(row.kept for row in decision.rows) == 1
    return decision.kept.trial.option.name


def test_the_best_wins_where_it_is_clearly_better() -> None:
    assert kept(trial(PLAIN, 0.70, 0.71, 0.69), trial(SE, 0.80, 0.81, 0.79), trial(HSWISH, 0.75, 0.74, 0.76)) == "se"


def test_a_tie_within_one_standard_error_goes_to_the_plainest() -> None:
    """Means 0.70, 0.71 and 0.72, each of a standard error of 0.02 / sqrt(3); of a difference 0.0163."""
    plain, hswish, se = (trial(o, m - 0.02, m, m + 0.02) for o, m in ((PLAIN, 0.70), (HSWISH, 0.71), (SE, 0.72)))
    assert plain.standard_error == pytest.approx(0.02 / math.sqrt(3))
    assert kept(plain, se) == "se"
    assert kept(se, hswish, plain) == "hswish"
    assert kept(hswish, plain) == "plain"


def test_equal_means_go_to_the_plainer() -> None:
    assert kept(trial(SE, 0.7), trial(HALF, 0.7)) == "se -50%"
    assert kept(trial(HSWISH, 0.7), trial(HALF, 0.7)) == "hswish"


def test_one_seed_has_the_error_of_its_test_images() -> None:
    small, large = ((trial(PLAIN, 0.50, n_test=n), trial(SE, 0.51, n_test=n)) for n in (100, 100_000))
    assert small[0].standard_error == pytest.approx(0.05)
    assert math.isnan(small[0].sd)
    assert kept(*small) == "plain"
    assert kept(*large) == "se"


def test_without_any_error_nothing_passes_for_a_tie() -> None:
    assert math.isnan(trial(PLAIN, 0.7).standard_error)
    assert kept(trial(PLAIN, 0.7), trial(SE, 0.7001)) == "se"


def test_every_row_says_why() -> None:
    plain, hswish, se = (trial(o, m - 0.02, m, m + 0.02) for o, m in ((PLAIN, 0.60), (HSWISH, 0.71), (SE, 0.72)))
    why = [row.why for row in decide([se, hswish, plain], 2.0).rows]
    assert why[0] == "not kept: 11.00 points (standard error 1.63) behind 'hswish' at the same budget"
    assert why[1] == "kept: 1.00 points (standard error 1.63) behind 'se' is a tie, and it is plainer"
    assert why[2].startswith("not kept: 1.00 points (standard error 1.63) ahead of 'hswish' do not outweigh")
    assert decide([plain, trial(SE, 0.1)], 2.0).kept.why == "kept: no option beats spending its cost on phi"
    assert "ahead of 'plain', which spends the cost on phi" in decide([plain, se], 2.0).kept.why
    assert "standard error unknown" in decide([trial(PLAIN, 0.7), trial(SE, 0.8)], 2.0).kept.why


def test_the_decision_is_json() -> None:
    data = decide([trial(PLAIN, 0.7), trial(SE, 0.8, n_test=100)], 2.0, "mj").to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert (data["kept"], data["unit"], data["budget"]) == ("se", "mj", 2.0)
    plain, se = data["options"]
    assert plain["accuracy_sd"] is plain["standard_error"] is plain["measured"] is None
    assert se["standard_error"] == pytest.approx(0.04)
    assert se["macs"] > 0
    assert se["params"] > 0
    assert se["network"]["stages"][0]["blocks"] == ["k3 e2"]
