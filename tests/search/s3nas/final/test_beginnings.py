"""Residual blocks that begin as identity."""

from __future__ import annotations

import torch

from profiler.workloads.builders.torch import build_module
from search.s3nas.final.beginnings import begin_as_identity
from search.spaces.mixconv import MixConv
from search.spaces.network import assemble
from search.spaces.supernet import read_supernet


def test_residual_blocks_add_nothing_and_the_others_stay() -> None:
    space = MixConv(read_supernet("tiny"))
    workload, places = assemble(space.network(space.maximal))
    module = build_module(workload, taps=places.outputs)
    for norm in module.parts.values():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.reset_parameters()
            torch.nn.init.constant_(norm.weight, 2.0)
    begin_as_identity(module, places)
    with torch.no_grad():
        _, outputs = module(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    residual = [addition is not None for addition in places.additions]
    assert any(residual[1:])
    assert not all(residual)
    for before, after, adds in zip(outputs[:-1], outputs[1:], residual[1:], strict=True):
        assert (before.shape == after.shape and torch.equal(before, after)) == adds
