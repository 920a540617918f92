from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from profiler.fleet.inventory.schema import MODELINE, devices_schema, schema_text

ROOT = Path(__file__).parents[4]
jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = devices_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def example() -> Any:
    # through JSON, whose keys are text, as editors see it
    return json.loads(json.dumps(yaml.safe_load((ROOT / "devices.yaml").read_text(encoding="utf-8"))))


def test_the_published_schema_is_that_of_the_models() -> None:
    published = (ROOT / "schemas" / "devices.schema.json").read_text(encoding="utf-8")
    assert published == schema_text(), "write it anew: edgecost devices schema --out schemas/devices.schema.json"


def test_the_example_is_valid_and_names_its_schema(validator: Any, example: Any) -> None:
    assert list(validator.iter_errors(example)) == []
    assert (ROOT / "devices.yaml").read_text(encoding="utf-8").startswith(MODELINE + "\n")
    assert (ROOT / MODELINE.partition("$schema=")[2]).exists()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("port",), "22"),
        (("colour",), "red"),
        (("host_key",), "MD5:x"),
        (("targets",), []),
        (("targets", 0, "precision"), "fp64"),
        (("targets", 0, "threads"), 0),
        (("clusters", 0, "cpus"), "four"),
        (("emulation",), "vm"),
        (("jump",), {"host": "gw"}),
        (("lease", "wait_s"), -1),
    ],
    ids=str,
)
def test_the_schema_refuses_what_the_models_refuse(
    validator: Any, example: Any, place: tuple[Any, ...], value: Any
) -> None:
    wrong = deepcopy(example)
    node = wrong["devices"][0]
    for part in place[:-1]:
        node = node[part]
    node[place[-1]] = value
    assert list(validator.iter_errors(wrong)) != []


def test_a_plug_ins_runtime_is_no_error_for_editors(validator: Any, example: Any) -> None:
    example["devices"][0]["targets"][0]["runtime"] = "rknn"
    assert list(validator.iter_errors(example)) == []
