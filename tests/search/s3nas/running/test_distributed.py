"""A search in two processes, really started by torchrun."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from profiler.errors import ConfigError
from search.s3nas.running.distributed import process_group, torch_device

SCRIPT = '''
import hashlib, json, sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from profiler.measure.progress import NullProgress
from search.s3nas.running.asked import Asked
from search.s3nas.costs.blockcosts import block_costs
from search.s3nas.config import REDUCED
from search.s3nas.running.distributed import process_group
from search.s3nas.trainer import _Search
from search.spaces.mixconv import MixConv
from search.spaces.supernet import parse_supernet
from search.tasks import ArraySplit, Task

MINI = """
name: mini
resolution: 8
num_classes: 3
stem: {filters: 4, kernel: 3, stride: 1}
head: {filters: 8}
branches: [{kernel: 5, expansion: 2}, {kernel: 3, expansion: 2}]
stages: [{filters: 4, blocks: 1, stride: 1}, {filters: 8, blocks: 2, stride: 2}]
"""


def search() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    labels = np.arange(48) % 3
    split = ArraySplit(rng.normal(size=(48, 3, 8, 8)).astype(np.float32), labels)
    task = Task("toy", "", 3, 8, "", split, split)
    space = MixConv(parse_supernet(MINI, "test"))
    costs = block_costs(space, lambda ws: np.array([w.macs / 1e3 for w in ws]), "toy")
    config = replace(REDUCED, phase1=3, phase2=3, batch_size=16, overtime=2, record_every=1)
    with process_group("cpu") as ranks:
        asked = Asked(space, task, (costs,), (30.0,), config, 0, ranks.world)
        seen = []
        split_batch = ArraySplit.batch
        ArraySplit.batch = lambda self, indices: seen.append(len(indices)) or split_batch(self, indices)
        folder = Path(sys.argv[1]) / str(ranks.rank)
        found = _Search(asked, ranks, folder / "checkpoint.pt", NullProgress())
        result = found.run()
        digest = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in found.supernet.parameters())).hexdigest()
        statistics = [float(b.double().sum()) for n, b in found.supernet.named_buffers() if n.endswith("running_mean")]
        facts = {
            "world": ranks.world, "batch": seen[0], "parameters": digest, "statistics": statistics,
            "files": sorted(f.name for f in folder.glob("*")), "choices": result.architecture.choices,
            "accuracy": result.accuracy, "t_hat": result.targets[0].t_hat,
            "mean": ranks.mean(torch.tensor(ranks.rank + 1.0)).item(),
        }
        Path(sys.argv[1], f"facts{ranks.rank}.json").write_text(json.dumps(facts))


search()  # in a function, as any program: no wrapped module lives until the end of the process
'''


@pytest.mark.slow
def test_two_processes_have_the_same_variables_and_one_writes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, tmp_path],
        capture_output=True, text=True, timeout=240, check=False, cwd=Path(__file__).parents[4],
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[4])},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    first, second = (json.loads((tmp_path / f"facts{rank}.json").read_text()) for rank in (0, 1))
    assert (first["world"], first["batch"], second["batch"]) == (2, 8, 8)
    for name in ("parameters", "choices", "accuracy", "t_hat", "mean"):
        assert first[name] == second[name]
    assert first["mean"] == 1.5
    assert first["statistics"] != second["statistics"]  # each process has those of its own images
    assert (first["files"], second["files"]) == (["checkpoint.pt", "network.yaml", "result.json"], [])


def test_alone_nothing_is_shared() -> None:
    with process_group("cpu") as ranks:
        assert (ranks.rank, ranks.world, ranks.first) == (0, 1, True)
        module = torch.nn.Linear(1, 1)
        assert ranks.wrapped(module) is module
        assert ranks.of_first([2.0]) == [2.0]
    assert not torch.distributed.is_initialized()


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="torch cannot compute on 'cuda:77' here"):
        torch_device("cuda:77")
