"""What a worker may use, tried in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from profiler.agent.worker import confine

ROOT = Path(confine.__file__).parents[2]

Job = dict[str, Any]


def tried(code: str) -> str:
    """What a fresh process prints that runs `code`."""
    program = "import os, resource, mmap\nfrom profiler.agent.worker import confine as c\n" + code
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60)
    return run.stdout + run.stderr


def test_nothing_is_confined_unasked() -> None:
    code = "c.confine({}); c.confine({'cpus': None, 'memory_mb': None})\n"
    assert tried(code + "print(resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY)") == "True\n"


def test_memory_beyond_the_limit_cannot_be_had() -> None:
    code = (
        "c.confine({'memory_mb': 200})\n"
        "x = bytearray(100 << 20)\n"
        "try:\n    y = bytearray(150 << 20)\n"
        "except MemoryError:\n    print('refused')\n"
    )
    assert tried(code) == "refused\n"


def test_where_one_limit_does_not_hold_another_does() -> None:
    """As before Linux 4.7, where RLIMIT_DATA is for the heap alone."""
    code = (
        "resource.RLIMIT_DATA = resource.RLIMIT_CPU\n"
        "c.confine({'memory_mb': 4000})\n"
        "print(resource.getrlimit(resource.RLIMIT_AS)[0] >> 20)"
    )
    assert tried(code) == "4000\n"


def test_a_limit_that_no_kernel_keeps_is_told() -> None:
    code = (
        "c._can_map = lambda size: True\n"
        "try:\n    c.confine({'memory_mb': 4000})\n"
        "except c.CannotConfine as error:\n    print(error)"
    )
    assert tried(code) == "the memory cannot be limited to 4000 MB: the kernel does not obey\n"


def test_a_cpu_that_is_not_there_is_told() -> None:
    code = "try:\n    c.confine({'cpus': %r})\nexcept c.CannotConfine as error:\n    print(error)"
    here = min(os.sched_getaffinity(0))
    assert tried(code % [here, 1023]) == f"of the CPUs [{here}, 1023] only [{here}] can be used\n"
    assert tried(code % [1023]).startswith("the CPUs [1023] cannot be used: ")


# in a real worker


def test_a_job_runs_on_the_cpus_that_it_is_bound_to(agent: Any, good_job: Job) -> None:
    for cpu in sorted(os.sched_getaffinity(0)):
        result = agent.run(good_job | {"cpus": [cpu]})
        assert (result.status, result.env["affinity"]) == ("ok", str(cpu))
        (worker,) = agent.workers()
        assert os.sched_getaffinity(worker) == {cpu}
        # threads that the runtime has started are bound as well
        threads = [int(name) for name in os.listdir(f"/proc/{worker}/task")]
        assert {frozenset(os.sched_getaffinity(thread)) for thread in threads} == {frozenset({cpu})}
    assert agent.run(good_job).env["affinity"] != str(cpu) or len(os.sched_getaffinity(0)) == 1


def test_jobs_of_the_same_bounds_share_a_worker_and_others_do_not(agent: Any, good_job: Job) -> None:
    def worker(**changes: Any) -> int:
        assert agent.run(good_job | changes).status == "ok"
        (pid,) = agent.workers()
        return int(pid)

    first = worker(memory_mb=3000)
    assert worker(memory_mb=3000) == first
    second = worker(memory_mb=3001)
    assert second != first
    assert worker(memory_mb=3001, fresh=True) not in (first, second)
    assert limits(worker(memory_mb=3000)) == str(3000 << 20)


def limits(pid: int) -> str:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("Max data size")]
    return line.split()[3]


def test_a_job_on_a_cpu_that_is_not_there_is_typed(agent: Any, good_job: Job) -> None:
    result = agent.run(good_job | {"cpus": [1023]})
    assert result.status == "crashed"
    assert "exit status 3 during start: the CPUs [1023] cannot be used" in result.error
    assert agent.run(good_job).status == "ok"


def test_an_operator_that_eats_memory_is_typed_and_the_next_job_runs(
    agent: Any, file_job: Callable[..., Job], good_job: Job, tmp_path: Path
) -> None:
    """It would get the 2 GB on this machine; bound to 1 GB it does not."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", [1, 4]), ("y", []))]
    shape = numpy_helper.from_array(np.array([1 << 17, 1 << 10, 4], np.int64), "shape")
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["wide"]),
        helper.make_node("ReduceMax", ["wide"], ["y"], keepdims=0),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "hungry.onnx"
    path.write_bytes(model.SerializeToString())
    result = agent.run(file_job(path, "onnxruntime") | {"memory_mb": 1000})
    assert result.status == "out_of_memory", result.error
    assert agent.run(good_job | {"memory_mb": 1000}).status == "ok"


def test_a_limit_too_small_for_anything_is_typed(agent: Any, good_job: Job) -> None:
    result = agent.run(good_job | {"memory_mb": 12})
    assert result.status in ("out_of_memory", "crashed")
    assert result.samples_ns == []
    assert agent.run(good_job).status == "ok"
