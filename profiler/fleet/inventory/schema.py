"""The JSON Schema of devices.yaml, by which editors complete and check it; made from the models that read the file."""

from __future__ import annotations

import json

from profiler.fleet.inventory.entries import DevicesFile

__all__ = ["MODELINE", "devices_schema", "schema_text"]

MODELINE = "# yaml-language-server: $schema=schemas/devices.schema.json"
"""The first line of a devices.yaml by which editors find its schema."""


def devices_schema() -> dict[str, object]:
    """The schema as JSON values: shapes and ranges; what must hold between fields is for `consistency` to say."""
    schema = DevicesFile.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "devices.yaml of edgecost",
        "description": "The boards to measure: how each is reached, what it is, and what is measured on it.",
    }


def schema_text() -> str:
    """The schema as the published file holds it."""
    return json.dumps(devices_schema(), indent=2, ensure_ascii=False) + "\n"
