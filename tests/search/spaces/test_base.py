import numpy as np
import pytest

from profiler.errors import ConfigError
from search.spaces import SPACES, NasBench201, find_space
from search.spaces.base import Architecture, SearchSpace


@pytest.fixture(params=sorted(SPACES))
def any_space(request: pytest.FixtureRequest) -> SearchSpace:
    return find_space(request.param)


def test_at_enumerates_every_architecture_once(any_space):
    indices = sorted({*range(0, any_space.size, max(1, any_space.size // 500)), any_space.size - 1})
    seen = [any_space.at(i) for i in indices]
    assert len(set(seen)) == len(indices)
    assert all(any_space.architecture(a.choices) == a for a in seen)
    with pytest.raises(ConfigError):
        any_space.at(any_space.size)


def test_all_agrees_with_at_and_size(space):
    everything = list(space.all())
    assert len(everything) == len(set(everything)) == space.size == 15_625
    assert everything[7_777] == space.at(7_777)


def test_decode_takes_the_largest_entry_of_each_row(any_space):
    choices = tuple(i % any_space.n_ops for i in range(any_space.n_edges))
    alpha = np.full((any_space.n_edges, any_space.n_ops), 0.5)
    for edge, choice in enumerate(choices):
        alpha[edge, choice] = 0.500001
    assert any_space.decode(alpha).choices == choices
    with pytest.raises(ConfigError):
        any_space.decode(alpha.T)


def test_samples_are_uniform_over_operators(any_space):
    rng = np.random.default_rng(0)
    drawn = np.array([any_space.sample(rng).choices for _ in range(4_000)])
    for edge in range(any_space.n_edges):
        ops = any_space.ops_of(edge)
        shares = np.bincount(drawn[:, edge], minlength=ops) / len(drawn)
        assert len(shares) == ops
        assert np.abs(shares - 1 / ops).max() < 0.04


def test_mutation_redraws_each_edge_with_its_rate(any_space):
    rng = np.random.default_rng(1)
    arch = any_space.at(any_space.size // 3)
    assert any_space.mutate(arch, rng, 0.0) == arch
    children = np.array([any_space.mutate(arch, rng, 0.5).choices for _ in range(4_000)])
    changed = (children != np.array(arch.choices)).mean(axis=0)
    ops = np.array([any_space.ops_of(edge) for edge in range(any_space.n_edges)])
    assert np.abs(changed - 0.5 * (1 - 1 / ops)).max() < 0.04
    assert (children < ops).all()


def test_crossover_takes_every_edge_from_either_parent_alike(any_space):
    rng = np.random.default_rng(2)
    a = any_space.architecture((0,) * any_space.n_edges)
    b = any_space.architecture((1,) * any_space.n_edges)
    children = np.array([any_space.crossover(a, b, rng).choices for _ in range(4_000)])
    assert set(np.unique(children)) == {0, 1}
    assert np.abs(children.mean(axis=0) - 0.5).max() < 0.04
    assert abs(np.corrcoef(children[:, 0], children[:, 1])[0, 1]) < 0.06  # edges are inherited independently


def test_randomness_comes_from_the_generator_alone(any_space):
    first = [any_space.sample(np.random.default_rng(3)) for _ in range(2)]
    assert first[0] == first[1]


def test_the_network_has_one_input_one_output_and_three_taps(any_space):
    arch = any_space.sample(np.random.default_rng(4))
    workload, taps = any_space.assemble(arch)
    assert (len(workload.inputs), len(workload.outputs), len(taps)) == (1, 1, 3)
    assert any_space.workload(arch).key == workload.key
    assert any_space.taps(arch) == taps
    assert all(len(workload.shape(ref)) == 4 for ref in taps)


def test_representatives_share_the_class(any_space):
    rng = np.random.default_rng(5)
    for _ in range(20):
        arch = any_space.sample(rng)
        representative = any_space.representative(arch)
        assert any_space.canonical(representative) == any_space.canonical(arch)
        assert any_space.representative(representative) == representative


def test_foreign_architectures_are_refused(any_space):
    stranger = Architecture("elsewhere", (0,) * any_space.n_edges)
    rng = np.random.default_rng(0)
    for call in (any_space.workload, lambda a: any_space.mutate(a, rng, 0.1)):
        with pytest.raises(ConfigError, match="elsewhere"):
            call(stranger)
    last = any_space.n_edges - 1
    with pytest.raises(ConfigError, match=f"choice {last + 1} "):
        any_space.architecture((0,) * last + (any_space.ops_of(last),))
    with pytest.raises(ConfigError, match=f"{any_space.n_edges} choices"):
        any_space.architecture((0,) * last)


def test_an_unknown_space_is_named_together_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'nasbench999'.*nasbench201"):
        find_space("nasbench999")
    assert isinstance(find_space("nasbench201"), NasBench201)
