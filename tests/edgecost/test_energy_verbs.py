"""`edgecost energy` on the command line: what is refused, and when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]

BENCH = """\
version: 1
devices:
  - id: bench
    host: 192.0.2.1
    user: ada
    targets: [{runtime: onnxruntime, precision: fp32}]
    sensors: [{kind: hwmon, name: ina226, scope: module-in}]
"""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--levels": "1"}, "--levels must be 2 to 6, not 1"),
        ({"--levels": "9"}, "--levels must be 2 to 6, not 9"),
        ({"--target": "bunch"}, "did you mean 'bench"),
        ({"--scope": "wall"}, "scopes do not mix"),
        ({"--scope": "mains"}, "there is no scope 'mains'"),
        ({"--out": "taken/line.json"}, "cannot write taken/line.json"),
        ({"--out": "folder"}, "it is a folder"),
        ({"--meter": "volts"}, "is no meter"),
    ],
)
def test_a_calibration_that_cannot_end_well_opens_no_meter(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], words: str
) -> None:
    opened = []
    monkeypatch.setattr("profiler.measure.meters.lines.LineMeter.start", lambda self: opened.append(self))
    if "--meter" not in changes:
        monkeypatch.setattr("edgecost.stages.metering.open_meter", lambda *a: opened.append(a))
    (tmp_path / "devices.yaml").write_text(BENCH)
    (tmp_path / "taken").write_text("a file, where a folder would have to be")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    options = {"--target": "bench", "--meter": "tcp:127.0.0.1:9", "--scope": "module-in"} | changes
    code, out, err = run("energy", "calibrate", *(word for pair in options.items() for word in pair))
    assert (code, out) == (2, "")
    assert words in err
    assert sum(line.startswith("edgecost:") for line in err.splitlines()) == 1, err
    assert opened == []
    assert sorted(tmp_path.rglob("*")) == before, "nothing is left behind"


def test_a_meter_that_nobody_answers_for_is_told_before_the_board_is_touched(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the board was called")

    monkeypatch.setattr("profiler.fleet.sessions.session.connect", refuse)
    (tmp_path / "devices.yaml").write_text(BENCH)
    code, _, err = run(
        "energy", "calibrate", "--target", "bench", "--meter", "tcp:127.0.0.1:9", "--scope", "module-in", "--out",
        "a/b.json",
    )  # fmt: skip
    assert code == 2
    assert "127.0.0.1:9" in err
    assert not (tmp_path / "a").exists()
