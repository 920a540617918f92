from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import predictors.population as population_module
from predictors.population import Population, count_matrix, price
from profiler.errors import ConfigError, StorageError
from profiler.workloads.cuts import CUTS, cut_as
from profiler.workloads.fusion import cut
from profiler.workloads.graph import Workload
from tests.contracts.simulated_target import networks

NETS = networks(12)


def counted(nets: list[Workload] = NETS) -> Population:
    return count_matrix(nets, "onnxruntime", "fp32")


def same(a: Population, b: Population) -> bool:
    return a.keys == b.keys and a.kernels == b.kernels and (a.counts != b.counts).nnz == 0


def test_every_kernel_is_counted_where_it_runs() -> None:
    found = counted()
    dense = found.counts.toarray()
    assert dense.shape == (len(NETS), len(found.kernels))
    for row, net in zip(dense, NETS, strict=True):
        keys = [k.key for k in cut(net, "onnxruntime", "fp32")]
        assert [keys.count(key) for key in found.keys] == row.tolist()
    assert found.n_kernels.tolist() == [len(cut(n, "onnxruntime", "fp32")) for n in NETS]


def test_prices_are_sums_of_costs() -> None:
    found = counted()
    costs = np.random.default_rng(0).uniform(0.1, 1.0, len(found.kernels))
    by_key = dict(zip(found.keys, costs, strict=True))
    expected = [sum(by_key[k.key] for k in cut(n, "onnxruntime", "fp32")) for n in NETS]
    np.testing.assert_allclose(price(found, costs), expected)


def test_a_missing_cost_spoils_exactly_the_workloads_that_need_it() -> None:
    found = counted()
    dense = found.counts.toarray()
    column = next(c for c in range(dense.shape[1]) if 0 < (dense[:, c] > 0).sum() < len(NETS))
    costs = np.ones(len(found.kernels))
    costs[column] = math.nan
    assert np.isnan(price(found, costs)).tolist() == (dense[:, column] > 0).tolist()


def test_the_number_of_costs_is_checked() -> None:
    with pytest.raises(ConfigError, match="one cost a kernel"):
        price(counted(), np.ones(3))


def test_counts_are_kept_and_the_maker_not_called_again(tmp_path: Path) -> None:
    calls = []

    def maker() -> Iterator[Workload]:
        calls.append(1)
        return iter(NETS)

    def ask(space_id: str = "test", precision: str = "fp32") -> Population:
        return count_matrix(maker, "onnxruntime", precision, cache=tmp_path / "new" / "folder", space_id=space_id)  # type: ignore[arg-type]

    first, second = ask(), ask()
    assert same(first, second)
    assert len(calls) == 1
    ask(space_id="another")
    ask(precision="int8")
    assert len(calls) == 3
    assert same(ask(), first)


def test_cuts_are_counted_and_kept_apart(tmp_path: Path) -> None:
    found = {how: count_matrix(NETS[:3], "onnxruntime", "fp32", how, cache=tmp_path, space_id="s") for how in CUTS[:3]}
    assert len(list(tmp_path.iterdir())) == 3
    for how, one in found.items():
        again = count_matrix([], "onnxruntime", "fp32", how, cache=tmp_path, space_id="s")
        assert same(again, one)
        assert again.cut == how
        assert one.n_kernels.tolist() == [len(cut_as(net, how, "onnxruntime", "fp32")) for net in NETS[:3]]
    assert found["exported"].n_kernels.sum() > found["fused"].n_kernels.sum()


def test_another_version_of_the_runtime_is_asked_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count_matrix(NETS[:1], "onnxruntime", "fp32", "optimised", cache=tmp_path, space_id="s")
    monkeypatch.setattr("onnxruntime.__version__", "0.0.1")
    assert count_matrix(NETS[:2], "onnxruntime", "fp32", "optimised", cache=tmp_path, space_id="s").counts.shape[0] == 2


def test_a_number_stands_for_what_an_earlier_workload_runs() -> None:
    found = count_matrix([NETS[0], NETS[1], 0, NETS[2], 1], "onnxruntime", "fp32")
    assert same(found, counted([NETS[0], NETS[1], NETS[0], NETS[2], NETS[1]]))


def test_a_population_is_counted_under_several_cuts() -> None:
    fused, exported = counted(), count_matrix(NETS, "onnxruntime", "fp32", "exported")
    both = fused.beside(exported)
    assert both.under("fused") is both
    assert both.under("exported") is exported
    assert both.under("optimised") is None
    with pytest.raises(ConfigError, match="counted under the cut 'exported' already"):
        both.beside(exported)
    with pytest.raises(ConfigError, match="11 workloads under the cut 'exported' are not the 12"):
        fused.beside(count_matrix(NETS[:11], "onnxruntime", "fp32", "exported"))


def test_other_fusion_rules_are_counted_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count_matrix(NETS[:2], "onnxruntime", "fp32", cache=tmp_path, space_id="s")
    monkeypatch.setattr(population_module, "FUSION_VERSION", 10**6)
    assert count_matrix(NETS[:3], "onnxruntime", "fp32", cache=tmp_path, space_id="s").counts.shape[0] == 3


@pytest.mark.parametrize("damage", [b"", b"not a zip", "truncate", "flip"])
def test_a_damaged_cache_is_counted_again(tmp_path: Path, damage: bytes | str) -> None:
    first = count_matrix(NETS, "onnxruntime", "fp32", cache=tmp_path, space_id="s")
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    if damage == "truncate":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "flip":
        file.write_bytes(whole[:300] + bytes(255 - b for b in whole[300:600]) + whole[600:])
    else:
        assert isinstance(damage, bytes)
        file.write_bytes(damage)
    assert same(count_matrix(NETS, "onnxruntime", "fp32", cache=tmp_path, space_id="s"), first)
    assert file.read_bytes() == whole


def test_a_cache_needs_a_name_and_a_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="space_id"):
        count_matrix(NETS, "onnxruntime", "fp32", cache=tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        count_matrix(NETS[:1], "onnxruntime", "fp32", cache=tmp_path / "file" / "cache", space_id="s")


def test_nothing_is_an_empty_population() -> None:
    found = counted([])
    assert found.counts.shape == (0, 0)
    assert price(found, np.zeros(0)).shape == (0,)
