"""What an artefact truly takes on a simulated board without noise: dispatch + max(arithmetic, memory) of every kernel.

Times are seconds. Arithmetic and dispatch go with the processor's clock, memory does not.
"""

from __future__ import annotations

from typing import Any

from . import graph as graphs

BYTES = {"fp32": 4, "int8": 1}

TAPS = {"sigmoid": 4, "hswish": 3, "hsigmoid": 2, "softmax": 6, "batch_norm": 2}
"""What an operator without multiply-accumulates takes for each value, where it is not 1."""


class Kernel:
    """One group of operators that runs as one.

    Attributes:
        ops: their places in the graph.
        kind: of the roofline's `efficiency`, or "values".
        compute_s: its arithmetic at the reference clock.
        weight_bytes, moved_bytes: what it reads of weights; what it reads and writes of activations.
    """

    def __init__(self, ops: list[int], kind: str, compute_s: float, weight_bytes: int, moved_bytes: int) -> None:
        self.ops = ops
        self.kind = kind
        self.compute_s = compute_s
        self.weight_bytes = weight_bytes
        self.moved_bytes = moved_bytes
        self.memory_s = 0.0
        self.cold_s = 0.0


class Cost:
    """What runs of one artefact take and draw.

    Args:
        spec: of the board, as plain values.
        graph: of the artefact.
        threads: that it runs with.

    Attributes:
        kernels: in order.
        activity: how busy arithmetic keeps the core, from the spec's least to 1.
    """

    def __init__(self, spec: dict[str, Any], graph: dict[str, Any], threads: int = 1) -> None:
        roof = spec["roofline"]
        self._spec = spec
        self._reference_mhz = spec["clock"]["mhz"][-1]
        self._dispatch_s = roof["kernel_s"]
        precision = graph["precision"]
        speed = roof["macs_per_s"][precision] * (1 + roof["thread_gain"] * (min(threads, spec["cpus"]) - 1))
        share = speed / roof["macs_per_s"][precision]
        size = BYTES[precision]
        ops = graph["ops"]
        self.kernels = [
            _kernel(ops, group, roof, speed, roof["values_per_s"] * share, size)
            for group in graphs.groups(graph, spec["fusion"][precision])
        ]
        weights = sum(kernel.weight_bytes for kernel in self.kernels)
        touched = weights + max([kernel.moved_bytes for kernel in self.kernels] or [0])
        for kernel in self.kernels:
            kernel.memory_s = (
                _moved_s(kernel.weight_bytes, _hits(touched, roof["cache_bytes"]), roof)
                + _moved_s(kernel.moved_bytes, _hits(kernel.moved_bytes, roof["cache_bytes"]), roof)
            )  # fmt: skip
            kernel.cold_s = (kernel.weight_bytes + kernel.moved_bytes) / roof["bytes_per_s"]
        shapes = list(graph["inputs"]) + [ops[source]["shapes"][port] for source, port in graph["outputs"]]
        # entering and leaving: values are copied between the caller's and the runtime's memory
        self.boundary_s = sum(_count(shape) for shape in shapes) * size / roof["bytes_per_s"]
        self.run_overhead_s = roof["run_s"]
        self._by_clock: dict[tuple[float, bool], float] = {}
        self.activity = self._activity()

    def kernel_s(self, kernel: Kernel, mhz: float | None = None, cold: bool = False) -> float:
        """One kernel in this very place."""
        slower = self._reference_mhz / (mhz or self._reference_mhz)
        # what is fetched ahead hides behind arithmetic; what empty caches miss does not
        missed_s = max(0.0, kernel.cold_s - kernel.memory_s) if cold else 0.0
        return float(self._dispatch_s * slower + max(kernel.compute_s * slower, kernel.memory_s) + missed_s)

    def run_s(self, mhz: float | None = None, cold: bool = False) -> float:
        """One run, caches hot unless `cold`; by default at the reference clock."""
        key = (mhz or self._reference_mhz, cold)
        if key not in self._by_clock:
            slower = self._reference_mhz / key[0]
            kernels = sum(self.kernel_s(kernel, key[0], cold) for kernel in self.kernels)
            self._by_clock[key] = kernels + self.run_overhead_s * slower + self.boundary_s
        return self._by_clock[key]

    def _activity(self) -> float:
        least = float(self._spec["power"]["least_activity"])
        busy = sum(min(kernel.compute_s, self.kernel_s(kernel)) for kernel in self.kernels)
        return least + (1 - least) * min(1.0, busy / self.run_s())


def _kernel(
    ops: list[dict[str, Any]], group: list[int], roof: dict[str, Any], speed: float, values_per_s: float, size: int
) -> Kernel:
    first = ops[group[0]]
    inside = set(group)
    read = {(source, port) for index in group for source, port in ops[index]["inputs"] if source not in inside}
    moved = sum(_count(ops[source]["shapes"][port]) for source, port in read)
    moved += sum(_count(shape) for shape in ops[group[-1]]["shapes"])
    weights = sum(ops[index]["weights"] for index in group)
    kind = _kind(ops, group[0])
    if kind == "values":
        compute_s = _values(ops, group[0]) / values_per_s
    else:
        macs = first["macs"] * _rounding(first, kind, roof["lanes"])
        compute_s = float(macs / (speed * roof["efficiency"][kind]))
    return Kernel(group, kind, compute_s, weights * size, moved * size)


def _kind(ops: list[dict[str, Any]], index: int) -> str:
    op = ops[index]
    if op["kind"] == "linear":
        return "linear"
    if op["kind"] != "conv2d":
        return "values"
    split = op["attrs"]["groups"]
    if split > 1:
        return "depthwise" if split == graphs.channels_in(ops, index) else "grouped"
    return "pointwise" if list(op["attrs"]["kernel"]) == [1, 1] else "conv2d"


def _rounding(op: dict[str, Any], kind: str, lanes: int) -> float:
    """By how much vector units do more than is asked for."""
    if kind == "depthwise":
        return 1.0
    channels: int = op["attrs"].get("out_channels") or op["attrs"]["out_features"]
    return -(-channels // lanes) * lanes / channels


def _values(ops: list[dict[str, Any]], index: int) -> int:
    op = ops[index]
    if op["kind"] == "global_avg_pool":
        source, port = op["inputs"][0]
        return _count(ops[source]["shapes"][port])
    taps = TAPS.get(op["kind"], 1)
    if op["kind"] in ("avg_pool", "max_pool"):
        taps = _count(op["attrs"]["kernel"])
    return taps * sum(_count(shape) for shape in op["shapes"])


def _hits(touched: float, cache: float) -> float:
    """The share of a run's bytes that the cache still holds from the run before, as far as it goes round in order."""
    return 1.0 if touched <= cache else max(0.0, 2.0 - touched / max(cache, 1))


def _moved_s(moved: float, hits: float, roof: dict[str, Any]) -> float:
    return float(moved * (hits / roof["cached_bytes_per_s"] + (1 - hits) / roof["bytes_per_s"]))


def _count(shape: Any) -> int:
    found = 1
    for size in shape:
        found *= size
    return found
