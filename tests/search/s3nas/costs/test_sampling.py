"""The sample of scaled blocks that a regressor learns from."""

from __future__ import annotations

from search.s3nas.costs.sampling import scaled_blocks
from search.spaces.mixconv import MixConv
from search.spaces.supernet import read_supernet


def test_the_sample_is_distinct_new_and_of_every_kind() -> None:
    space = MixConv(read_supernet("tiny"))
    found = scaled_blocks(space, 40, seed=3)
    keys = {w.key for w in found}
    assert len(found) == len(keys) == 40
    assert not keys & {w.key for w in space.block_workloads()}
    kinds = [{op.kind for op in w.ops} for w in found]
    assert any("hswish" in k for k in kinds)
    assert any("hswish" not in k for k in kinds)
    assert any("sigmoid" in k for k in kinds)
    assert sum(w.name.startswith("stem") for w in found) == 4
    assert sum(w.name.startswith("head") for w in found) == 4
    assert len({w.input_shapes_of(w.compute_ops[0]) for w in found}) > 20  # widths and sizes vary


def test_a_seed_gives_the_same_sample() -> None:
    space = MixConv(read_supernet("tiny"))
    assert [w.key for w in scaled_blocks(space, 8, 5)] == [w.key for w in scaled_blocks(space, 8, 5)]
    assert [w.key for w in scaled_blocks(space, 8, 5)] != [w.key for w in scaled_blocks(space, 8, 6)]
