from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from profiler.agent import facts
from profiler.fleet.messages import Facts


@pytest.fixture
def cpufreq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CPUs 0 and 1 pinned to 1.5 GHz, CPUs 2 and 3 free from 0.6 to 2.4 GHz: a big.LITTLE board."""
    for cpu in range(4):
        folder = tmp_path / f"cpu{cpu}"
        folder.mkdir()
        low, high, now = (1_500_000,) * 3 if cpu < 2 else (600_000, 2_400_000, 1_800_000)
        (folder / "scaling_min_freq").write_text(f"{low}\n")
        (folder / "scaling_max_freq").write_text(f"{high}\n")
        (folder / "scaling_cur_freq").write_text(f"{now}\n")
        (folder / "scaling_governor").write_text("performance\n" if cpu < 2 else "schedutil\n")
    monkeypatch.setattr(facts, "CPUFREQ", str(tmp_path / "cpu%d" / "%s"))
    return tmp_path


def test_the_clock_of_the_cpus_that_may_be_used_counts(cpufreq: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "allowed_cpus", lambda: [0, 1])
    now = facts.moment()
    assert (now["pinned"], now["governor"], now["freq_mhz"], now["affinity"]) == (True, "performance", 1500.0, "0-1")
    monkeypatch.setattr(facts, "allowed_cpus", lambda: [1, 2])
    now = facts.moment()
    assert (now["pinned"], now["governor"], now["freq_mhz"]) == (False, "performance,schedutil", 1800.0)


def test_an_unknown_clock_is_not_pinned(cpufreq: Path) -> None:
    assert not facts.is_pinned([])
    assert not facts.is_pinned([17])
    assert facts.is_pinned([0])
    assert not facts.is_pinned([0, 17])


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([3], "3"), ([0, 1, 2, 3], "0-3"), ([0, 2, 3, 5, 8, 9], "0,2-3,5,8-9")]
)
def test_ranges(numbers: list[int], text: str) -> None:
    assert facts.ranges(numbers) == text


def test_facts_are_what_the_host_expects_of_them() -> None:
    found = Facts.model_validate_json(json.dumps(facts.facts()))
    assert found.runtimes["onnxruntime"] == metadata.version("onnxruntime")
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.executable == sys.executable
    assert found.logical_cores >= 1
    assert found.load_1min is not None


def test_every_fact_that_is_sent_is_kept_by_the_host() -> None:
    assert set(facts.facts()) == set(Facts.model_fields)


def test_the_machine_id_is_stable_and_tells_nothing() -> None:
    first = facts.machine_id()
    assert first == facts.machine_id()
    assert len(first) == 16
    raw = Path("/etc/machine-id")
    assert not raw.exists() or first not in raw.read_text()


def test_a_machine_without_an_id_has_one_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "text", lambda path: "uninitialized" if path == "/etc/machine-id" else None)
    assert len(facts.machine_id()) == 16


def test_versions_are_found_without_importlib_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Python 3.7."""
    (tmp_path / "ai_edge_litert-1.2.3.dist-info").mkdir()
    (tmp_path / "onnxruntime_gpu-1.14.1.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(facts, "_version", facts._version_on_path)
    assert facts.runtime_versions() == {
        "ai-edge-litert": "1.2.3", "litert": "1.2.3", "onnxruntime-gpu": "1.14.1", "onnxruntime": "1.14.1"
    }  # fmt: skip


def test_the_preferred_of_two_packages_gives_the_runtimes_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_version", {"ai-edge-litert": "2.0", "tflite-runtime": "1.0"}.get)
    assert facts.runtime_versions()["litert"] == "2.0"


def test_facts_can_be_asked_for_on_the_command_line(pyz: Path) -> None:
    output = subprocess.run([sys.executable, str(pyz), "facts"], capture_output=True, check=True).stdout
    assert Facts.model_validate_json(output).machine_id == facts.machine_id()
