"""What a network costs when its numbers of filters change and nothing else does: does a runtime like multiples of 8?

    edgecost fleet up
    python benchmarks/network_widths.py results/s3nas/ort-int8.yaml -t ort-int8-t1 10,10,18,36,44,72,360 ...

Each variant is a list of filters: stem, stages, head. All of them are measured in the same rounds of one campaign, so
that a machine that changes its speed changes it for all.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from edgecost.stages.s3nas.study_measure import together_on
from edgecost.stages.targets import all_devices
from search.spaces.network import Network, network_workload, read_network


def with_filters(network: Network, filters: list[int]) -> Network:
    """The network with other numbers of filters.

    Raises:
        ValueError: where there are more or fewer of them than stem, stages and head.
    """
    stem, *each, head = filters
    stages = tuple(replace(stage, filters=n) for stage, n in zip(network.stages, each, strict=True))
    stem_, head_ = replace(network.stem, filters=stem), replace(network.head, filters=head)
    return replace(network, stem=stem_, stages=stages, head=head_)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("filters", nargs="+")
    parser.add_argument("-t", "--target", action="append", required=True)
    parser.add_argument("--results", type=Path, default=Path("results/widths"))
    given = parser.parse_args()
    network = read_network(given.network)
    variants = {text: with_filters(network, [int(n) for n in text.split(",")]) for text in given.filters}
    measure = together_on(all_devices(None), "quick", given.results)
    for target in given.target:
        rows = measure(target, list(variants.values()))
        print(target)
        for text, variant in variants.items():
            work = network_workload(variant)
            row = rows[work.key]
            cost = f"{row.latency_ns / 1e6:.3f} ms ({row.low_ns / 1e6:.3f} to {row.high_ns / 1e6:.3f})"
            print(f"  {text:32} {work.macs / 1e6:6.2f} M MACs  {cost if row.has_figure else row.status}")


if __name__ == "__main__":
    main()
