"""HW-NAS-Bench's form, written and read again."""

from dataclasses import replace
from pathlib import Path

import pytest

from profiler.errors import ConfigError
from profiler.tables.formats.hwnasbench import FILE_NAME, FbnetBlock, FbnetTable, fbnet_places, read_hwnasbench
from profiler.tables.formats.hwnasbench_writing import write_hwnasbench


def made_up() -> FbnetTable:
    places = list(dict.fromkeys(fbnet_places()))
    rows = [
        FbnetBlock(
            device, p.in_channels, p.out_channels, p.size, p.stride, 3, 1, 0.1 + i / 7 - (not p.residual), p.residual
        )
        for device in ("mine", "theirs")
        for i, p in enumerate(places)
    ]
    return FbnetTable(tuple(rows), {"mine": 1 / 3, "theirs": 0.0})


def test_a_file_is_read_as_it_was_written(tmp_path: Path):
    write_hwnasbench(made_up(), tmp_path / "t.parquet", "a note")
    read = read_hwnasbench(tmp_path / "t.parquet")
    assert read.rows == made_up().rows
    assert read.fixed_ms == made_up().fixed_ms


def test_the_public_table_is_written_as_it_stands(data_dir: Path, tmp_path: Path):
    import pandas as pd

    table = read_hwnasbench(data_dir)
    write_hwnasbench(table, tmp_path / "t.parquet")
    assert read_hwnasbench(tmp_path / "t.parquet") == replace(table, source=str(tmp_path / "t.parquet"))
    was, now = pd.read_parquet(data_dir / FILE_NAME), pd.read_parquet(tmp_path / "t.parquet")
    assert list(was.columns) == list(now.columns)
    order = ["device", "key"]
    merged = was.merge(now, on=order, suffixes=("", "_now"))
    assert len(merged) == len(was) == len(now)
    for name in ("block", "h", "cin", "cout", "expand", "kernel", "stride", "group"):
        one, other = merged[name], merged[f"{name}_now"]
        assert ((one == other) | (one.isna() & other.isna())).all(), name
    assert (merged["absolute"] == merged["absolute_now"]).all()
    # the constant of fpga is zero but for rounding in the published recovery
    assert (merged["latency_ms"] - merged["latency_ms_now"]).abs().max() < 1e-9


def test_what_cannot_be_written_is_refused(tmp_path: Path):
    table = made_up()
    with pytest.raises(ConfigError, match=r"end in \.parquet"):
        write_hwnasbench(table, tmp_path / "t.csv")
    with pytest.raises(ConfigError, match="no layer to write"):
        write_hwnasbench(FbnetTable((), {"mine": 1.0}), tmp_path / "t.parquet")
    broken = FbnetTable((replace(table.rows[0], latency_ms=float("nan")),), {"mine": 1.0})
    with pytest.raises(ConfigError, match="measure it again"):
        write_hwnasbench(broken, tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []
