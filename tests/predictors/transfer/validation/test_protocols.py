import pytest

from predictors.transfer.validation.protocols import PROTOCOLS, find_protocol
from profiler.errors import ConfigError


def test_no_protocol_has_a_source_among_its_targets():
    for protocol in PROTOCOLS.values():
        assert not set(protocol.sources) & set(protocol.targets)
        assert all(0 < value < 1 for value in protocol.published.values())


def test_published_targets_average_to_the_published_mean():
    protocol = PROTOCOLS["help:10"]
    figures = protocol.published_targets["HELP"]
    assert set(figures) == set(protocol.targets)
    assert sum(figures.values()) / len(figures) == pytest.approx(protocol.published["HELP"], abs=6e-4)


def test_published_figures_stand_only_beside_the_published_devices():
    assert find_protocol("nasflat:FD").published["NASFLAT"] == 0.961
    assert not find_protocol("nasflat:FD", targets=["fpga"]).published
    assert not find_protocol("nasflat:FD", samples=10).published
    assert find_protocol("single-device:100").samples == 100


def test_devices_of_ones_own():
    protocol = find_protocol("transfer:fbnet", ["a", "b"], ["c"], 15)
    assert (protocol.space, protocol.sources, protocol.targets, protocol.samples) == ("fbnet", ("a", "b"), ("c",), 15)
    with pytest.raises(ConfigError, match="b would be both source and target"):
        find_protocol("transfer:fbnet", ["a", "b"], ["b"])
    with pytest.raises(ConfigError, match="name them with --targets"):
        find_protocol("transfer:fbnet")


@pytest.mark.parametrize("name", ["nasflat:F9", "single-device:", "single-device:x", "transfer:", ""])
def test_unknown_protocols_are_refused(name):
    with pytest.raises(ConfigError, match="there is no protocol"):
        find_protocol(name)
