import csv
import json
import math
from pathlib import Path
from types import ModuleType

import pytest

from profiler.errors import ConfigError, StorageError
from profiler.tables.row import Row
from profiler.tables.table import CostTable, Gates


@pytest.fixture
def table(fakes: ModuleType) -> CostTable:
    conv, net = fakes.chain("conv2d", 1), fakes.network(2)
    target = fakes.TARGET.id
    rows = [
        Row(target, conv.key, "kernel", "conv, 3x3", 50.5, 49.0, 52.0, 90.0, 0.01, 3, issues=("noisy", "spread_high")),
        Row(target, net.key, "model", "=net", 1e6, 9e5, 2e6, n_rounds=1, split="fit", energy_mj=0.5, load_ns=7.0),
        Row(target, "f" * 32, "model", "broken", status="crashed", error='signal 11, "sic"'),
    ]
    workloads = {conv.key: conv, net.key: net}
    return CostTable(rows, workloads, [fakes.TARGET], Gates(spread=0.1), corrupt_lines=3, sources=["results/fake/r1"])


def same(a: Row, b: Row) -> bool:
    """Equal, NaN being equal to NaN."""
    return a.to_dict() == b.to_dict() and math.isnan(a.latency_ns) == math.isnan(b.latency_ns)


@pytest.mark.parametrize("name", ["t.json", "t.parquet", "T.PARQUET"])
def test_a_table_survives_the_way_to_a_file_and_back(tmp_path: Path, table: CostTable, name: str):
    table.export(tmp_path / name)
    back = CostTable.load(tmp_path / name)
    assert all(same(a, b) for a, b in zip(table.all_rows, back.all_rows, strict=True))
    assert math.isnan(back.all_rows[2].latency_ns)
    assert back.workloads == table.workloads
    assert (back.targets, back.gates, back.sources) == (table.targets, table.gates, table.sources)
    assert back.corrupt_lines == 3
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_json_is_plain_json_without_nan(tmp_path: Path, table: CostTable):
    table.export(tmp_path / "t.json")
    data = json.loads((tmp_path / "t.json").read_text(), parse_constant=pytest.fail)
    assert data["rows"][2]["latency_ns"] is None
    assert data["rows"][0]["issues"] == ["noisy", "spread_high"]


def test_csv_has_a_column_for_everything_and_empty_cells_for_what_is_missing(tmp_path: Path, table: CostTable):
    table.export(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["conv, 3x3", "=net", "broken"]
    assert float(rows[0]["latency_ns"]) == 50.5
    assert rows[0]["issues"] == "noisy spread_high"
    assert rows[2]["latency_ns"] == rows[1]["isolated_ns"] == ""
    assert list(rows[0]) == list(Row.__dataclass_fields__)


def test_parquet_is_read_by_pandas_with_proper_types(tmp_path: Path, table: CostTable):
    import pandas as pd

    table.export(tmp_path / "t.parquet")
    frame = pd.read_parquet(tmp_path / "t.parquet")
    assert frame["latency_ns"].dtype == "float64"
    assert frame["n_rounds"].tolist() == [3, 1, 0]
    assert frame["latency_ns"].isna().tolist() == [False, False, True]


def test_frame_has_numbers_where_numbers_belong(table: CostTable):
    frame = table.to_frame()
    assert len(frame) == 3
    assert frame["energy_mj"].dtype == "float64"
    assert frame["isolated_ns"].isna().tolist() == [False, True, True]


def test_endings_are_checked(tmp_path: Path, table: CostTable):
    with pytest.raises(ConfigError, match=r"t.xlsx: the name must end in .csv, .parquet or .json"):
        table.export(tmp_path / "t.xlsx")
    with pytest.raises(ConfigError, match=r"must end in .json or .parquet"):
        CostTable.load(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["t.json", "t.parquet"])
def test_files_that_are_no_tables_are_named(tmp_path: Path, name: str):
    path = tmp_path / name
    with pytest.raises(ConfigError, match=rf"there is no table .*{name}"):
        CostTable.load(path)
    for content in (b"", b"nonsense", b"[]", b'{"schema": 1}', b"\xff\x00"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=rf"{name} is not a cost table"):
            CostTable.load(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageError, match="cannot read table"):
        CostTable.load(path)


def test_a_foreign_parquet_file_is_not_taken_for_a_table(tmp_path: Path):
    import pandas as pd

    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ConfigError, match="is not a cost table"):
        CostTable.load(tmp_path / "t.parquet")


def test_rows_that_contradict_themselves_are_refused(tmp_path: Path, table: CostTable):
    table.export(tmp_path / "t.json")
    data = json.loads((tmp_path / "t.json").read_text())
    for change in ({"latency_ns": None}, {"kind": "cat"}, {"surplus": 1}, {"issues": None}):
        broken = {**data, "rows": [{**data["rows"][0], **change}]}
        (tmp_path / "t.json").write_text(json.dumps(broken))
        with pytest.raises(ConfigError, match="is not a cost table"):
            CostTable.load(tmp_path / "t.json")


@pytest.mark.parametrize(
    ("schema", "said"), [(0, "schema 0"), (-1, "schema -1"), (None, "no schema"), ("2", "no schema")]
)
def test_a_schema_that_is_too_old_is_refused(schema: object, said: str, tmp_path: Path, table: CostTable):
    table.export(tmp_path / "t.json")
    data = json.loads((tmp_path / "t.json").read_text())
    (tmp_path / "t.json").write_text(json.dumps({**data, "schema": schema}))
    with pytest.raises(StorageError, match=f"has {said}, and tables are read from 1 on.*`edgecost table export`"):
        CostTable.load(tmp_path / "t.json")


def test_a_newer_schema_is_refused(tmp_path: Path, table: CostTable):
    table.export(tmp_path / "t.json")
    data = json.loads((tmp_path / "t.json").read_text())
    (tmp_path / "t.json").write_text(json.dumps({**data, "schema": 3}))
    with pytest.raises(StorageError, match="schema 3, newer than 2; update"):
        CostTable.load(tmp_path / "t.json")


@pytest.mark.parametrize("name", ["t.json", "t.parquet"])
def test_a_table_of_the_first_schema_is_read_and_its_energy_was_gross(tmp_path: Path, table: CostTable, name: str):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table.export(tmp_path / "t.json")
    data = json.loads((tmp_path / "t.json").read_text())
    later = ("energy_u_mj", "energy_gross_mj", "energy_upper_mj", "energy_scope", "energy_run_id")
    rows = [{key: value for key, value in row.items() if key not in later} for row in data.pop("rows")]
    del data["notes"]
    data["schema"] = 1
    if name == "t.json":
        (tmp_path / name).write_text(json.dumps({**data, "rows": rows}))
    else:
        metadata = {b"edgecost": json.dumps(data).encode()}
        pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(metadata), tmp_path / name)
    back = CostTable.load(tmp_path / name)
    assert [row.key for row in back.all_rows] == [row.key for row in table.all_rows]
    assert (back.all_rows[1].energy_mj, back.all_rows[1].energy_gross_mj) == (None, 0.5)
    assert (back.all_rows[1].energy_scope, back.notes) == ("", ())


def test_an_unwritable_place_is_one_sentence(tmp_path: Path, table: CostTable):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*t.json: not a directory"):
        table.export(tmp_path / "file" / "t.json")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"latency_ns": math.nan}, r"row 2 \('=net' of .*\): .*without a latency"),
        ({"low_ns": math.inf}, r"row 2 .*its low_ns is infinite"),
        ({"latency_ns": "12 ms"}, r"row 2 .*12 ms"),
        ({"latency_ns": -5.0}, r"row 2 .*a whole network takes -5 ns"),
        ({"target_id": "other/onnxruntime-fp32-t1"}, r"'=net' is a row of other/onnxruntime-fp32-t1, which is none of"),
    ],
)
def test_a_row_that_nobody_can_have_measured_is_named(
    changed: dict[str, object], said: str, tmp_path: Path, table: CostTable
):
    path = tmp_path / "t.json"
    table.export(path)
    data = json.loads(path.read_text())
    data["rows"][1].update(changed)
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=said):
        CostTable.load(path)


def test_a_row_that_stands_there_twice_is_named(tmp_path: Path, table: CostTable):
    path = tmp_path / "t.json"
    table.export(path)
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "rows": [*data["rows"], data["rows"][0]]}))
    with pytest.raises(ConfigError, match="two rows .*kernel 'conv, 3x3'"):
        CostTable.load(path)
