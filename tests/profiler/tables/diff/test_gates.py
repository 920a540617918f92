"""Whether two tables may be compared, from files and folders."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.measure.runfolder import RunFolder
from profiler.tables.diff.compare import compare
from profiler.tables.diff.gates import GATES
from profiler.tables.diff.origins import Side, load_side
from profiler.tables.row import Row
from profiler.tables.table import CostTable

TARGET = Target("rpi5", "onnxruntime", "fp32")


def rows(target: Target = TARGET, factor: float = 1.0, **fields: Any) -> list[Row]:
    return [
        Row(
            target.id,
            f"w{i}",
            "model",
            f"net {i}",
            ns * factor,
            0.999 * ns * factor,
            1.001 * ns * factor,
            n_rounds=5,
            **fields,
        )
        for i, ns in enumerate((1e6, 2e6, 3e6), start=1)
    ]


@pytest.fixture
def side(tmp_path: Path) -> Callable[..., Side]:
    """Exports rows of a target and reads them back as one side of a comparison."""
    made = iter(range(9))

    def export(target: Target = TARGET, **fields: Any) -> Side:
        path = tmp_path / f"t{next(made)}.json"
        CostTable(rows(target, **fields), targets=[target]).export(path)
        return load_side(path)

    return export


def test_equal_configurations_are_compared(side: Callable[..., Side]):
    found = compare(side(), side(factor=1.1))
    assert {effect.verdict for effect in found.effects} == {"slower"}
    assert {m.name for m in found.mismatches} == {"unknown"}, "an export does not say how it was measured"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("runtime", {"runtime": "litert"}),
        ("precision", {"precision": "int8"}),
        ("threads", {"threads": 4}),
        ("clock", {"clock": "1500"}),
        ("cores", {"cores": "little"}),
        ("accelerator", {"accelerator": "xnnpack"}),
    ],
)
def test_another_configuration_is_refused_unless_it_is_allowed(
    side: Callable[..., Side], name: str, change: dict[str, Any]
):
    a, b = side(), side(replace(TARGET, **change))
    with pytest.raises(ConfigError, match=f"--allow {name}") as caught:
        compare(a, b)
    assert "cannot be compared" in str(caught.value)
    assert len(compare(a, b, allowed=[name]).effects) == 3


def test_simulated_figures_are_not_held_against_measured_ones(side: Callable[..., Side]):
    with pytest.raises(ConfigError, match="those of B were measured"):
        compare(side(emulation="simulated", issues=("simulated",)), side())
    both = [side(emulation="simulated", issues=("simulated",)) for _ in range(2)]
    assert compare(*both).effects


def test_a_stand_in_is_not_held_against_hardware(side: Callable[..., Side]):
    with pytest.raises(ConfigError, match="A ran on hardware, B on loopback"):
        compare(side(), side(emulation="loopback"))


def test_energies_of_two_scopes_are_left_out_and_latencies_stay(side: Callable[..., Side]):
    power = {"energy_mj": 5.0, "energy_u_mj": 0.01}
    a, b = side(**power, energy_scope="wall"), side(**power, energy_scope="SoC-rails")
    found = compare(a, b)
    assert {effect.quantity for effect in found.effects} == {"latency"}
    assert [m.sentence for m in found.mismatches if m.name == "scope"] == [
        "the energies include other things: wall in A, SoC-rails in B"
    ]
    assert {e.quantity for e in compare(a, b, allowed=["scope"]).effects} == {"latency", "energy"}


def test_targets_are_paired_by_id_or_by_name(side: Callable[..., Side]):
    other = replace(TARGET, device_id="rpi4")
    two = Side("both", CostTable([*rows(), *rows(other)], targets=[TARGET, other]), {})
    origins = {TARGET.id: side().origins[TARGET.id], other.id: side(other).origins[other.id]}
    two = replace(two, origins=origins)
    assert {e.target_b for e in compare(two, two).effects} == {TARGET.id, other.id}
    crossed = compare(two, two, [(TARGET.id, other.id)])
    assert {(e.target_a, e.target_b) for e in crossed.effects} == {(TARGET.id, other.id)}
    with pytest.raises(ConfigError, match="no target in common"):
        compare(two, side(replace(TARGET, device_id="nano")))


def test_an_unknown_gate_is_refused(side: Callable[..., Side]):
    with pytest.raises(ConfigError, match="'weather'") as caught:
        compare(side(), side(), allowed=["weather"])
    assert all(name in str(caught.value) for name in GATES)


def test_no_common_workload_is_said(side: Callable[..., Side], tmp_path: Path):
    (tmp_path / "o.json").unlink(missing_ok=True)
    CostTable([replace(r, key=r.key + "x") for r in rows()], targets=[TARGET]).export(tmp_path / "o.json")
    with pytest.raises(ConfigError, match="no workload in common"):
        compare(side(), load_side(tmp_path / "o.json"))


@pytest.mark.parametrize(("name", "words"), [("none.json", "there is no"), ("t.csv", "without their targets")])
def test_what_is_no_side_is_refused(tmp_path: Path, name: str, words: str):
    if name == "t.csv":
        CostTable(rows(), targets=[TARGET]).export(tmp_path / name)
    with pytest.raises(ConfigError, match=words):
        load_side(tmp_path / name)


def test_an_empty_table_is_refused(tmp_path: Path):
    CostTable([], targets=[TARGET]).export(tmp_path / "t.json")
    with pytest.raises(ConfigError, match="no row with a figure"):
        load_side(tmp_path / "t.json")


@pytest.mark.parametrize(("unpinned_in_a", "unpinned_in_b", "refused"), [(3, 0, True), (0, 3, True), (3, 2, False)])
def test_a_clock_that_only_one_side_has_pinned_is_refused(
    tmp_path: Path, unpinned_in_a: int, unpinned_in_b: int, refused: bool
):
    sides = []
    for name, number in (("a.json", unpinned_in_a), ("b.json", unpinned_in_b)):
        some = [replace(r, issues=("unpinned",) if i < number else ()) for i, r in enumerate(rows())]
        CostTable(some, targets=[TARGET]).export(tmp_path / name)
        sides.append(load_side(tmp_path / name))
    if not refused:
        assert compare(*sides).effects
        return
    with pytest.raises(ConfigError, match="the clock was not pinned for 100% of the figures in [AB]"):
        compare(*sides)
    assert compare(*sides, allowed=["clock"]).effects


# -------------------------------------------------------------------- what runs say of themselves


@pytest.fixture
def run_of(tmp_path: Path, fakes: ModuleType) -> Callable[..., Path]:
    """Runs a fake campaign into a results folder of its own, and changes its header."""

    def run(name: str, **header: Any) -> Path:
        campaign = fakes.campaign(fakes.World(noise=0.002), tmp_path / name, config=fakes.CONFIG)
        folder = campaign.run(fakes.DEVICE, fakes.TARGET, fakes.model_jobs([fakes.network(2), fakes.network(3)]), "r1")
        path = folder.run_dir / "run.json"
        data = json.loads(path.read_text())
        for place, value in header.items():
            data[place] = {**data[place], **value} if isinstance(value, dict) else value
        path.write_text(json.dumps(data))
        return tmp_path / name

    return run


@pytest.fixture(params=["folder", "export.json", "export.parquet"])
def read(request: pytest.FixtureRequest) -> Callable[[Path], Side]:
    """Reads a folder of results as one side, as it is or by way of an export."""

    def side(folder: Path) -> Side:
        if request.param == "folder":
            return load_side(folder)
        path = folder.with_name(f"{folder.name}-{request.param}")
        CostTable.from_results(folder).export(path)
        return load_side(path)

    return side


def test_tables_say_how_they_were_measured(run_of: Callable[..., Path], read: Callable[[Path], Side]):
    found = compare(read(run_of("a")), read(run_of("b", config={"rounds": 9, "seed": 5})))
    assert found.mismatches == (), "how well a figure is known decides nothing"
    assert len(found.effects) == 2


@pytest.mark.parametrize(
    ("before", "after", "words", "name"),
    [
        ({"config": {"cache": "cold"}}, {}, "'cache' differs: cold in A, hot in B", "protocol"),
        ({"facts": {"cpu_model": "One"}}, {"facts": {"cpu_model": "Two"}}, "the processors differ: One", "machine"),
        (
            {"facts": {"runtimes": {"onnxruntime": "1.30"}}},
            {"facts": {"runtimes": {"onnxruntime": "1.31"}}},
            "the version of onnxruntime differs: 1.30 in A, 1.31 in B",
            "runtime_version",
        ),
    ],
)
def test_another_protocol_machine_or_version_is_refused(
    run_of: Callable[..., Path],
    read: Callable[[Path], Side],
    before: dict[str, Any],
    after: dict[str, Any],
    words: str,
    name: str,
):
    if name == "protocol":
        # a table of cold caches is one of its own, and has to be asked for
        a, b = load_side(run_of("a", **before)), load_side(run_of("b", **after))
    else:
        a, b = read(run_of("a", **before)), read(run_of("b", **after))
    with pytest.raises(ConfigError, match=words) as caught:
        compare(a, b)
    assert f"--allow {name}" in str(caught.value)
    found = compare(a, b, allowed=[name])
    assert found.effects
    assert [m.name for m in found.mismatches] == [name]


def test_what_only_one_side_says_is_told(run_of: Callable[..., Path]):
    a, b = load_side(run_of("a")), load_side(run_of("b", config={"cores_asleep": True}))
    assert [m.sentence for m in compare(a, b).mismatches] == [
        "the setting 'cores_asleep' is said in B and unknown in A"
    ]


@pytest.mark.parametrize("change", [{"facts": {"kernel": "6.12"}}, {"edgecost": "9.9"}])
def test_what_a_comparison_may_be_about_is_only_told(run_of: Callable[..., Path], change: dict[str, Any]):
    a = load_side(run_of("a", **{k: {"kernel": "6.6"} if isinstance(v, dict) else "9.8" for k, v in change.items()}))
    found = compare(a, load_side(run_of("b", **change)))
    assert len(found.mismatches) == 1
    assert "differs" in found.mismatches[0].sentence
    assert not found.mismatches[0].refused


def frequencies(side: Side, *, freq_mhz: float, unpinned: float) -> Side:
    """The same side, as if its processor had run at another clock."""
    origins = {
        target_id: replace(origin, unpinned=unpinned, said=replace(origin.said, freq_mhz=freq_mhz))
        for target_id, origin in side.origins.items()
        if origin.said is not None
    }
    return replace(side, origins=origins)


def test_pinned_clocks_have_to_be_what_they_were(run_of: Callable[..., Path]):
    side = load_side(run_of("a"))
    a, near, far = (frequencies(side, freq_mhz=mhz, unpinned=0.0) for mhz in (1500.0, 1514.0, 1800.0))
    assert compare(a, near).mismatches == ()
    with pytest.raises(ConfigError, match="ran at 1500 MHz in A and at 1800 MHz in B"):
        compare(a, far)
    loose = [frequencies(side, freq_mhz=mhz, unpinned=1.0) for mhz in (1500.0, 1800.0)]
    (told,) = compare(*loose).mismatches
    assert (told.refused, told.sentence.endswith("it was pinned in neither")) == (False, True)


def test_cuts_are_compared_where_both_sides_have_chosen(run_of: Callable[..., Path], fakes: ModuleType):
    folder, target = run_of("a"), fakes.TARGET.id
    one, other = ({target: {"cut": "exported", "isolation": how}} for how in ("chained", "pairs"))
    with pytest.raises(ConfigError, match="--allow cut") as caught:
        compare(load_side(folder, one), load_side(folder, other))
    assert "cut exported, isolation chained in A" in str(caught.value)
    assert compare(load_side(folder, one), load_side(folder, one)).mismatches == ()
    assert compare(load_side(folder, one), load_side(folder)).mismatches == (), "one side has chosen nothing"


def test_kernels_isolated_in_another_way_are_refused(tmp_path: Path, fakes: ModuleType, read: Callable[[Path], Side]):
    sides = []
    for name, mode in (("a", "chain"), ("b", "fan")):
        campaign = fakes.campaign(fakes.World(noise=0.002), tmp_path / name, config=fakes.CONFIG)
        path = campaign.run(fakes.DEVICE, fakes.TARGET, fakes.kernel_jobs("conv2d"), "r1").run_dir
        folder = RunFolder(path)
        subjects = [subject for subject in folder.subjects() if subject is not None]
        (path / "workloads.jsonl").unlink()
        folder.add_subjects(replace(s, mode=mode) if s.repeats else s for s in subjects)
        sides.append(read(tmp_path / name))
    with pytest.raises(ConfigError, match="1 of 1 kernels and blocks were isolated in another way"):
        compare(*sides)
    assert compare(*sides, allowed=["cut"]).effects
    assert compare(sides[0], sides[0]).mismatches == ()


def test_an_export_from_before_it_said_how_it_was_measured_is_read(side: Callable[..., Side], tmp_path: Path):
    path = tmp_path / "old.json"
    CostTable(rows(), targets=[TARGET]).export(path)
    data = json.loads(path.read_text())
    del data["provenance"]
    path.write_text(json.dumps(data))
    assert {m.name for m in compare(load_side(path), side()).mismatches} == {"unknown"}


@pytest.mark.parametrize("said", [{TARGET.id: {}}, {TARGET.id: 3}, [1], {TARGET.id: {"machines": "abc"}}])
def test_a_damaged_provenance_is_no_table(tmp_path: Path, said: Any):
    path = tmp_path / "t.json"
    CostTable(rows(), targets=[TARGET]).export(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "provenance": said}))
    with pytest.raises(ConfigError, match="is not a cost table"):
        load_side(path)
