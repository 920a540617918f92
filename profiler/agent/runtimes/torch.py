"""torch: TorchScript in inference mode, on the CPU or on a GPU by CUDA."""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Optional

from ..outputs import flatten, seeded_inputs
from .base import AcceleratorMissing, Model, accelerator_of, check_inputs, copy_us, covered

SPECIALISING_RUNS = 3
"""TorchScript's profiling executor rewrites a graph in its first runs."""


def import_torch() -> Any:
    """The module, and its name and version as one text."""
    import torch

    return torch, "torch " + str(torch.__version__)


class TorchModel(Model):
    """A TorchScript file; with CUDA its inputs and outputs stay on the GPU, and a run ends when the GPU is idle."""

    interface = "torchscript"

    def __init__(self, runtime: Any, job: Dict[str, Any]) -> None:
        self._runtime = runtime
        self._device = accelerator_of(job, ["cuda"]) or "cpu"
        if self._device == "cuda" and not runtime.cuda.is_available():
            raise AcceleratorMissing("this build of torch %s sees no CUDA device" % runtime.__version__)
        runtime.set_num_threads(job["threads"])
        with contextlib.suppress(RuntimeError):  # may be set once in a process only
            runtime.set_num_interop_threads(1)
        module = runtime.jit.load(job["path"], map_location=self._device).eval()
        self._on_host = [runtime.from_numpy(array) for array in seeded_inputs(job["inputs"])]
        # a trace does not hold its inputs' shapes, only how many there are; the first of the graph is the module
        _check_count(len(list(module.graph.inputs())) - 1, job["inputs"])
        inputs = self._inputs = [tensor.to(self._device) for tensor in self._on_host]
        self._module = module
        self._last: Any = None
        self._mode = runtime.inference_mode()
        self._mode.__enter__()  # until close(): entering it anew would cost every run
        if self._device == "cpu":

            def run() -> None:
                self._last = module(*inputs)

        else:
            self.interface = "torchscript, cuda.synchronize"
            wait = runtime.cuda.synchronize

            def run() -> None:
                self._last = module(*inputs)
                wait()

        self.run = run

    def settle(self) -> None:
        """Let the executor specialise before anything is timed."""
        for _ in range(SPECIALISING_RUNS):
            self.run()

    def _first(self) -> Any:
        return self._last[0] if isinstance(self._last, (tuple, list)) else self._last

    def output(self) -> Any:
        """See Model."""
        return flatten(self._first().cpu().numpy(), "nchw")

    def coverage(self) -> Any:
        """With CUDA all operators: torch refuses to mix devices, and moves none by itself."""
        if self._device == "cpu":
            return None
        nodes = self._module.inlined_graph.nodes()
        return covered(sum(node.kind().startswith("aten::") for node in nodes), 0)

    def notes(self) -> Dict[str, Any]:
        """The GPU, whether its float32 is TF32, and copies."""
        if self._device == "cpu":
            return {}
        runtime = self._runtime

        def copy_in() -> None:
            for there, here in zip(self._inputs, self._on_host):
                there.copy_(here)
            runtime.cuda.synchronize()

        return {
            "accelerator_name": str(runtime.cuda.get_device_name()),
            "tf32_convolutions": bool(runtime.backends.cudnn.allow_tf32),
            "copy_in_us": copy_us(copy_in),
            "copy_out_us": copy_us(lambda: self._first().cpu()),
        }

    def device_ns(self) -> Optional[int]:
        """By two events in the GPU's own queue, around the module's kernels."""
        if self._device == "cpu":
            return None
        cuda = self._runtime.cuda
        begin, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        begin.record()
        self._last = self._module(*self._inputs)
        end.record()
        cuda.synchronize()
        return int(begin.elapsed_time(end) * 1e6)

    def close(self) -> None:
        """Leave inference mode, and give the GPU's memory back."""
        self._mode.__exit__(None, None, None)
        self._last = None
        if self._device != "cpu":
            self._inputs.clear()
            self._runtime.cuda.empty_cache()


def _check_count(found: int, wanted: Any) -> None:
    if found != len(wanted):
        check_inputs(["?"] * found, wanted)
