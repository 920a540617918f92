"""The table of FBNet's layers: what it says, what it sums to, and files that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from profiler.errors import ConfigError
from profiler.tables.formats.hwnasbench import (
    FBNET_OPERATORS,
    FILE_NAME,
    FbnetBlock,
    FbnetPlace,
    fbnet_places,
    read_hwnasbench,
)

Rows = list[dict[str, Any]]


def row(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "device": "toy", "key": "layer", "latency_ms": 1.5, "absolute": True, "block": "ConvBlock", "h": 8, "w": 8,
        "cin": 4, "cout": 4, "expand": 3, "kernel": 5, "stride": 1, "group": 1,
    }  # fmt: skip
    return {**values, **changes}


def constant(**changes: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("h", "w", "cin", "cout", "expand", "kernel", "stride", "group"))
    return row(**{**empty, "key": "CONST_stem_head_fc", "block": None, "absolute": False, "latency_ms": 2.0, **changes})


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Rows], Path]:
    """Writes rows as a file of this format."""

    def written(rows: Rows) -> Path:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / FILE_NAME)
        return tmp_path / FILE_NAME

    return written


def test_layers_constants_and_groups(write: Callable[[Rows], Path]) -> None:
    relative = row(cout=8, stride=2, latency_ms=-0.25, absolute=False)
    skip = row(block="Skip", latency_ms=0.0, kernel=None, expand=None, group=None)
    path = write([row(), row(group=2, latency_ms=1.0), relative, skip, constant()])
    table = read_hwnasbench(path)
    assert table.devices == ("toy",)
    assert table.fixed_ms == {"toy": 2.0}
    assert table.of("toy") == (
        FbnetBlock("toy", 4, 4, 8, 1, 5, 3, 1.5, True),
        FbnetBlock("toy", 4, 8, 8, 2, 5, 3, -0.25, False),
    )
    assert [x.latency_ms for x in table.of("toy", groups=2)] == [1.0]
    assert read_hwnasbench(path.parent) == table


def test_rounding_of_a_zero_constant_is_zero(write: Callable[[Rows], Path]) -> None:
    assert read_hwnasbench(write([row(), constant(latency_ms=-3.4e-14)])).fixed_ms == {"toy": 0.0}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row()], "'toy' has no row 'CONST_stem_head_fc'"),
        ([constant()], "no row of block 'ConvBlock'"),
        ([row(), row(), constant()], "row 1 .* stands there twice"),
        ([row(), constant(), constant()], "second constant of toy"),
        ([row(), constant(latency_ms=-1.0)], "negative latency"),
        ([row(latency_ms=float("nan")), constant()], "row 0 .* no finite number of ms"),
        ([row(latency_ms=float("inf")), constant()], "no finite number of ms"),
        ([row(latency_ms=0.0), constant()], "an absolute one is above zero"),
        ([row(absolute=False), constant()], "absolute = False"),
        ([row(stride=2), constant()], "absolute = True"),
        ([row(kernel=4), constant()], "kernels are odd"),
        ([row(h=9), constant()], "inputs are square"),
        ([row(cin=0), constant()], "cin = 0"),
        ([row(group=None), constant()], "group = None"),
        ([row(block="Other"), constant()], "neither 'ConvBlock' nor 'Skip'"),
        ([row(), row(block="Skip", latency_ms=0.5), constant()], "skipped layer of 0.5 ms"),
        ([row(device=""), constant()], "names no device"),
    ],
)
def test_rows_that_cannot_be(write: Callable[[Rows], Path], rows: Rows, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_hwnasbench(write(rows))


def test_missing_and_malformed_files(tmp_path: Path, write: Callable[[Rows], Path]) -> None:
    with pytest.raises(ConfigError, match=f"there is no .*{FILE_NAME}; name the file"):
        read_hwnasbench(tmp_path)
    other = tmp_path / "other.parquet"
    pd.DataFrame({"device": ["toy"], "latency_ms": [1.0]}).to_parquet(other)
    with pytest.raises(ConfigError, match="lacks the columns key, block, h"):
        read_hwnasbench(other)
    whole = write([row(), constant()])
    for broken in (b"", b"not parquet at all", whole.read_bytes()[:-40]):
        other.write_bytes(broken)
        with pytest.raises(ConfigError, match="cannot be read as a parquet file") as error:
            read_hwnasbench(other)
        assert "\n" not in str(error.value)


def test_a_device_or_layer_that_is_not_there(write: Callable[[Rows], Path]) -> None:
    table = read_hwnasbench(write([row(), constant()]))
    with pytest.raises(ConfigError, match="no device 'pixel9'; it has toy"):
        table.of("pixel9")
    with pytest.raises(ConfigError, match="no figure of toy for k3 e1 g1 at 16x32x32 -> 16 /1"):
        table.network_ms("toy", [0] * 22)
    with pytest.raises(ConfigError, match="22 codes from 0 to 8"):
        table.network_ms("toy", [9] * 22)


def test_places_of_fbnet() -> None:
    places = list(fbnet_places())
    assert len(places) == 22
    assert places[0] == FbnetPlace(16, 16, 32, 1)
    assert places[5] == FbnetPlace(24, 32, 32, 2)
    assert places[-1] == FbnetPlace(184, 352, 4, 1)
    assert sum(not place.residual for place in places) == 6


def test_the_public_table_is_whole(data_dir: Path) -> None:
    table = read_hwnasbench(data_dir)
    assert table.devices == ("raspi4", "pixel3", "eyeriss", "fpga")
    assert table.fixed_ms["fpga"] == 0.0
    for device in table.devices:
        layers = table.of(device)
        assert len(layers) == 72
        assert {layer.place for layer in layers} == set(fbnet_places())


def test_sums_are_the_documented_whole_network(data_dir: Path) -> None:
    table = read_hwnasbench(data_dir)
    documented = pd.read_parquet(data_dir / "hwnasbench_documented_examples.parquet")
    example = documented[(documented.space == "fbnet") & (documented.dataset == "cifar100")].iloc[0]
    for device in table.devices:
        assert table.network_ms(device, [0] * 22) == pytest.approx(example[f"{device}_latency"], rel=1e-12)


def test_sums_are_the_whole_networks_of_another_file(data_dir: Path) -> None:
    table = read_hwnasbench(data_dir)
    networks = pd.read_parquet(data_dir / "help_fbnet_latency.parquet")
    for device in table.devices:
        some = networks[networks.device == device].iloc[:500]
        codes = [[int(code) for code in text.split()] for text in some.op_idx]
        assert {code for row in codes for code in row} == set(range(len(FBNET_OPERATORS)))
        sums = np.array([table.network_ms(device, row) for row in codes])
        np.testing.assert_allclose(sums, some.latency_ms.to_numpy(), rtol=1e-12)
