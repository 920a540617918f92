"""The cost model of a target under the cut and isolation that `edgecost validate --cuts` chose for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from profiler.errors import UnknownWorkload

if TYPE_CHECKING:
    from predictors.additive import AdditiveModel
    from predictors.measured import Measurements
    from profiler.tables.table import CostTable

__all__ = ["USUAL", "choice_of", "fit_chosen", "measurements_of"]

USUAL = ("fused", "chained")
"""Cut and isolation where nothing was chosen."""


def choice_of(table: CostTable, target_id: str) -> tuple[str, str]:
    """Cut and isolation of a target as recorded beside the runs that the table was read from; the usual ones, fused
    kernels in chains, where nothing is.

    Raises:
        StorageError: the record cannot be read.
    """
    from edgecost.stages.cuts import read_comparison

    for results in _folders(table):
        for found in read_comparison(results):
            if found["target"] == target_id and found["chosen"] is not None:
                return str(found["chosen"]["cut"]), str(found["chosen"]["isolation"])
    return USUAL


def measurements_of(table: CostTable, target_id: str) -> Measurements:
    """What models of a target learn from, with its kernels that were chained in pairs, which have a table of their own.

    Raises:
        UnknownWorkload: the table lacks the target.
    """
    from edgecost.stages.costs import load_table
    from edgecost.stages.cuts import PAIRS
    from predictors.measured import Measurements

    for results in _folders(table):
        if any((results / PAIRS).glob("*/*/run.json")):
            pairs = load_table(results / PAIRS, with_emulated=table.with_emulated)
            return Measurements.from_table(table, target_id, pairs)
    return Measurements.from_table(table, target_id)


def fit_chosen(table: CostTable, target_id: str) -> tuple[AdditiveModel, str]:
    """The network-level predictor of a target, and a sentence on its cut; "" for the usual one.

    Where a cut was chosen that models cannot add up, or of which too little was measured, it is the usual model, and
    the sentence says so. Networks of which only a part was measured under the chosen cut go by the usual one.

    Raises:
        UnknownWorkload: as of `CostModel.fit`.
        StorageError: as of `choice_of`.
    """
    from predictors.additive import AdditiveModel
    from predictors.chosen import ChosenCutModel

    cut, isolation = choice_of(table, target_id)
    if (cut, isolation) == USUAL:
        return AdditiveModel().fit(table, target_id), ""
    usual = "kernels are fused and chained"
    if cut == "blocks":
        why = f"closure chose whole blocks for {target_id}, which networks are not cut into here: {usual}"
        return AdditiveModel().fit(table, target_id), why
    measurements = measurements_of(table, target_id)
    try:
        # mypy cannot see that the record holds a cut and an isolation; the model refuses any other
        model = ChosenCutModel(cut, isolation).fit_measurements(measurements)  # type: ignore[arg-type]
    except UnknownWorkload as error:
        fitted = AdditiveModel().fit_measurements(measurements)
        return fitted, f"closure chose {cut} kernels, {isolation}, for {target_id}; {usual} all the same: {error}"
    return model, (
        f"kernels are {cut} and {isolation}, as closure chose for {target_id}; networks that were not wholly measured "
        "so, and those of S3NAS under another cut than the fused one, go by fused kernels in chains"
    )


def _folders(table: CostTable) -> list[Path]:
    """The folders of results that hold the table's runs: RESULTS of RESULTS/<device>/<run>."""
    return sorted({Path(source).parent.parent for source in table.sources})
