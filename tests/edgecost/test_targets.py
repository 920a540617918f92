"""Where devices are looked for when nobody says."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecost.stages.targets import all_devices
from profiler.errors import ConfigError

TEXT = """\
version: 1
devices:
  - {{id: {id}, host: 192.0.2.{number}, user: u, targets: [{{runtime: litert, precision: int8}}]}}
"""


def test_the_files_here_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="there is no devices.yaml here"):
        all_devices(None)
    fleets = {"loopback": "", "simulated": "/simulated", "emulated": "/aarch64"}
    places = {"mine": ".", **{name: f".edgecost/fleet{below}" for name, below in fleets.items()}}
    for number, (name, folder) in enumerate(places.items(), start=1):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "devices.yaml").write_text(TEXT.format(id=name, number=number))
        assert [device.id for device in all_devices(None)] == list(places)[:number]
    assert [device.id for device in all_devices(Path(".edgecost/fleet/devices.yaml"))] == ["loopback"]
