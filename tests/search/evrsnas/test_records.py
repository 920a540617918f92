import json
import math

import pytest

from profiler.errors import StorageError
from search.evrsnas.records import Evaluation
from search.spaces import Architecture

ARCH = Architecture("s", (1, 2))


@pytest.mark.parametrize(
    "evaluation",
    [
        Evaluation(ARCH, 2.5, 3.0, 0.0, 2.5),
        Evaluation(ARCH, math.nan, math.nan, math.inf, -math.inf),
        Evaluation(ARCH, math.nan, 3.0, 0.5, -math.inf),
    ],
)
def test_plain_form_is_strict_json_and_round_trips(evaluation):
    text = json.dumps(evaluation.to_dict(), allow_nan=False)
    back = Evaluation.from_dict(json.loads(text))
    assert repr(back) == repr(evaluation)


def test_feasible_needs_score_and_cost():
    assert Evaluation(ARCH, 2.5, 3.0, 0.0, 2.5).feasible
    assert not Evaluation(ARCH, 2.5, 3.0, 0.1, 2.4).feasible
    assert not Evaluation(ARCH, math.nan, 3.0, 0.0, -math.inf).feasible


def test_nonsense_is_refused():
    with pytest.raises(StorageError):
        Evaluation.from_dict({"space": "s"})
