from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from profiler.agent import environments
from profiler.agent.environments import EnvironmentBroken


def provision(workdir: Path, found: Any) -> None:
    (workdir / "env").mkdir()
    (workdir / "env" / "current.json").write_text(found if isinstance(found, str) else json.dumps(found))


def test_a_board_that_was_not_provisioned_uses_its_own_python(tmp_path: Path) -> None:
    assert environments.read(str(tmp_path)) == {}
    assert environments.site_for(str(tmp_path), "onnxruntime") is None


def test_a_provisioned_runtime_has_a_site_of_its_own(tmp_path: Path) -> None:
    site = tmp_path / "env" / "litert" / "d1"
    provision(
        tmp_path, {"litert": {"digest": "d1", "site": str(site), "distributions": {"ai-edge-litert": "1.2"}, "more": 1}}
    )
    site.mkdir(parents=True)
    assert environments.site_for(str(tmp_path), "litert") == str(site)
    assert environments.site_for(str(tmp_path), "torch") is None
    assert environments.read(str(tmp_path))["litert"] == ("d1", str(site), {"ai-edge-litert": "1.2"})


def test_an_environment_that_is_gone_is_not_replaced_in_silence(tmp_path: Path) -> None:
    provision(tmp_path, {"litert": {"digest": "d1", "site": "/no/such/site", "distributions": {}}})
    with pytest.raises(EnvironmentBroken, match="the environment of litert is gone from /no/such/site: provision"):
        environments.site_for(str(tmp_path), "litert")


@pytest.mark.parametrize(
    "found",
    ["{", "[]", '"x"', "[" * 5000, '{"litert": 3}', '{"litert": {"digest": "d", "site": "relative"}}',
     '{"litert": {"digest": 3, "site": "/x"}}'],
)  # fmt: skip
def test_a_file_that_says_nothing_stops_its_jobs(tmp_path: Path, found: str) -> None:
    provision(tmp_path, found)
    with pytest.raises(EnvironmentBroken, match="provision the board again"):
        environments.site_for(str(tmp_path), "onnxruntime")
