"""Lowering in processes of its own; the stand-ins for a lowering are plug-ins that misbehave."""

import os
import signal
import threading
from pathlib import Path

import pytest

from profiler.errors import ArtefactError, ConfigError, UnsupportedOperator
from profiler.measure import lowering as module
from profiler.measure.lowering import Lowerings
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload

# what a process does instead of lowering a workload of that many channels
MISCHIEF = """
import os, signal, sys, time
from profiler.workloads import artefacts

real = artefacts.ArtefactCache.get

def get(self, workload, runtime, precision):
    channels = workload.shapes[-1][0][1]
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "asked"), "a") as file:
        file.write(f"{os.getpid()} {channels}\\n")
    if channels == 91:
        time.sleep(600)
    if channels == 92:
        os.kill(os.getpid(), signal.SIGSEGV)
    if channels == 93:
        raise RuntimeError("the compiler is out of its mind")
    print("chatter on stdout")
    return real(self, workload, runtime, precision)

artefacts.ArtefactCache.get = get
"""


def conv(channels: int) -> Workload:
    b = WorkloadBuilder(f"conv {channels}")
    return b.build(b.conv2d(b.input((1, 3, 8, 8)), channels, kernel=3, bias=True))


@pytest.fixture
def cache(tmp_path: Path) -> ArtefactCache:
    return ArtefactCache(tmp_path / "cache")


@pytest.fixture
def mischief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every process started from now on is told to misbehave; the file that says who was asked for what."""
    folder = tmp_path / "mischief"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(MISCHIEF)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder / "asked"


def test_what_is_there_needs_no_process(cache: ArtefactCache, monkeypatch: pytest.MonkeyPatch):
    made = cache.get(conv(4), "onnxruntime", "fp32")
    monkeypatch.setattr(module, "_Process", None)
    with Lowerings(cache) as source:
        assert source.get(conv(4), "onnxruntime", "fp32") == made


def test_a_workload_is_lowered_elsewhere_and_read_here(cache: ArtefactCache, mischief: Path):
    with Lowerings(cache) as source:
        found = [source.get(conv(n), "onnxruntime", "fp32") for n in (4, 5)]
    assert [a.workload_key for a in found] == [conv(4).key, conv(5).key]
    assert all(a.path.stat().st_size for a in found)
    asked = [line.split() for line in mischief.read_text().splitlines()]
    assert [channels for _, channels in asked] == ["4", "5"]
    assert len({pid for pid, _ in asked} - {str(os.getpid())}) == 1, "one process did both"


def test_failures_keep_their_types(cache: ArtefactCache):
    with Lowerings(cache) as source:
        with pytest.raises(UnsupportedOperator, match="torch int8"):
            source.get(conv(4), "torch", "int8")
        with pytest.raises(ConfigError, match="no runtime 'tvm'"):
            source.get(conv(4), "tvm", "fp32")


def test_a_lowering_that_hangs_is_ended(cache: ArtefactCache, mischief: Path):
    with Lowerings(cache, build_s=1.5) as source:
        with pytest.raises(ArtefactError, match=r"conv 91 is not lowered after 1.5 s; its process was ended"):
            source.get(conv(91), "onnxruntime", "fp32")
        pid = int(mischief.read_text().split()[0])
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with Lowerings(cache) as source:
        assert source.get(conv(4), "onnxruntime", "fp32").sha256


@pytest.mark.parametrize(("channels", "why"), [(92, "signal 11"), (93, "the compiler is out of its mind")])
def test_a_lowering_that_kills_its_process_is_a_failure_of_that_workload(
    cache: ArtefactCache, mischief: Path, channels: int, why: str
):
    with Lowerings(cache) as source:
        source.get(conv(4), "onnxruntime", "fp32")
        with pytest.raises(ArtefactError, match=f"conv {channels} has ended its process .*{why}"):
            source.get(conv(channels), "onnxruntime", "fp32")
        assert source.get(conv(5), "onnxruntime", "fp32").sha256


def test_a_process_that_has_left_because_it_was_idle_is_replaced(cache: ArtefactCache, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_IDLE_S", 0.1)
    with Lowerings(cache) as source:
        source.get(conv(4), "onnxruntime", "fp32")
        (process,) = source._idle
        assert process._process.wait(20) == 0
        assert source.get(conv(5), "onnxruntime", "fp32").sha256


def test_several_threads_share_the_processes_and_nothing_is_made_twice(
    cache: ArtefactCache, mischief: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_ALONE_S", 0.0)
    found: list[str] = []
    with Lowerings(cache, processes=2) as source:

        def ask() -> None:
            found.extend(source.get(conv(n), "onnxruntime", "fp32").sha256 for n in range(4, 12))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len(found) == 32
    assert len(set(found)) == 8
    asked = [line.split() for line in mischief.read_text().splitlines()]
    assert sorted(int(channels) for _, channels in asked) == list(range(4, 12))
    assert len({pid for pid, _ in asked}) <= 2


def test_closing_ends_what_is_at_work(cache: ArtefactCache, mischief: Path):
    source = Lowerings(cache)
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            source.get(conv(91), "onnxruntime", "fp32")
        except ArtefactError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not mischief.exists():
        thread.join(0.01)
    source.close()
    thread.join(20)
    assert not thread.is_alive()
    assert f"signal {int(signal.SIGKILL)}" in str(errors[0])
    with pytest.raises(ArtefactError, match="was ended"):
        source.get(conv(4), "onnxruntime", "fp32")
