"""Options of `validate` that would be ignored are refused, each way of validating with its own."""

from __future__ import annotations

import pytest

from edgecost.cli.validate_options import WAYS

OPTIONS = {
    "--target": "board", "--results": "nowhere", "--max-mape": "5", "--data": "t.csv", "--sources": "a",
    "--targets": "b", "--samples": "8", "--seeds": "6", "--out": "o.json",
}  # fmt: skip
"""Each with a value; that of --seeds is the default, which is refused like any other where nothing reads it."""

WITH_VALUE = {
    "--protocol": ["--protocol", "no-such-protocol"],
    "--cuts": ["--cuts"],
    "--left-out": ["--left-out"],
    "": [],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_read_or_refused(run, way: str, option: str) -> None:
    code, _, err = run("validate", *WITH_VALUE[way], option, OPTIONS[option])
    refused = f"does not read {option}, but only" in err
    assert code == 2
    assert len([line for line in err.splitlines() if line.startswith("edgecost:")]) == 1
    assert refused is (option not in WAYS[way]), err


def test_all_that_is_refused_is_named_and_where_it_belongs(run) -> None:
    code, _, err = run("validate", "--samples", "3", "--out", "o.json")
    assert code == 2
    assert "plain `validate` does not read --samples and --out" in err
    assert "can stand with --protocol\n" in err
    _, _, err = run("validate", "--protocol", "x", "--target", "board")
    assert "--target can stand with --cuts or --left-out\n" in err


def test_two_ways_at_once_are_refused(run) -> None:
    code, _, err = run("validate", "--cuts", "--left-out")
    assert code == 2
    assert "--cuts and --left-out are different validations" in err


def test_the_table_knows_every_option_of_the_verb() -> None:
    import typer

    from edgecost.cli.app import app

    parameters = typer.main.get_command(app).commands["validate"].params
    options = {parameter.opts[0] for parameter in parameters} - {"--help"}
    assert options == {*(option for takes in WAYS.values() for option in takes), *WAYS} - {""}
