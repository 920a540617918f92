"""Single operators on an aarch64 board: the agent compares what they give with what the host expects."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from profiler.fleet.provisioning import Provisioned
from profiler.fleet.sessions.session import BoardSession, connect
from profiler.fleet.targets import Device
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref, Workload

OPERATORS: dict[str, Callable[[WorkloadBuilder, Ref], Ref]] = {
    "conv": lambda b, x: b.conv2d(x, 16, 3, bias=True),
    "conv 1x1 stride 2": lambda b, x: b.conv2d(x, 24, 1, stride=2),
    "depthwise": lambda b, x: b.conv2d(x, 8, 3, groups=8),
    "max pooling": lambda b, x: b.max_pool(x, 2),
    "average pooling": lambda b, x: b.avg_pool(x, 3, stride=1, padding=1),
    "global pooling": lambda b, x: b.global_avg_pool(x),
    "fully connected": lambda b, x: b.linear(b.flatten(x), 10),
    "add": lambda b, x: b.add(x, b.relu(x)),
}

TARGETS = [(runtime, precision) for runtime in ("onnxruntime", "litert") for precision in ("fp32", "int8")]


def operator(name: str) -> Workload:
    b = WorkloadBuilder(name)
    return b.build(OPERATORS[name](b, b.input((1, 8, 12, 12))))


@pytest.fixture(scope="module")
def session(device: Device, provisioned: list[Provisioned]) -> Iterator[BoardSession]:
    with connect(device) as session:
        yield session


def test_the_board_is_what_it_says(session: BoardSession, provisioned: list[Provisioned]) -> None:
    facts = session.facts()
    assert facts.arch == "aarch64"
    assert facts.cpu_model is not None
    assert "Cortex-A76" in facts.cpu_model
    assert {name: facts.runtimes[name] for name in ("onnxruntime", "litert")} == {
        p.runtime: p.version for p in provisioned
    }


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize(("runtime", "precision"), TARGETS)
def test_an_operator_gives_the_output_that_the_host_expects(
    session: BoardSession,
    artefacts: ArtefactCache,
    device: Device,
    quick: MeasureConfig,
    runtime: str,
    precision: str,
    name: str,
) -> None:
    (chosen,) = (t for t in device.targets if (t.runtime, t.precision) == (runtime, precision))
    artefact = artefacts.get(operator(name), chosen.runtime, chosen.precision)
    reply = session.measure(artefact, chosen, quick)
    assert reply.status == "ok", reply.error
    assert reply.output_error is not None, "the outputs were compared with the host's"
    assert reply.output_error < (1e-5 if precision == "fp32" else 0.1)
    assert len(reply.samples_ns) >= quick.min_batches
