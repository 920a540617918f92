"""ONNX Runtime, on the CPU or by another of its execution providers."""

from __future__ import annotations

import glob
import json
import os
import shutil
import tempfile
from typing import Any, Dict, List

from ..outputs import flatten, seeded_inputs
from .base import AcceleratorMissing, Model, accelerator_of, check_inputs, copy_us, covered

PROVIDERS = {
    "": ["CPUExecutionProvider"],
    "xnnpack": ["XnnpackExecutionProvider"],
    "cuda": ["CUDAExecutionProvider"],
    # what TensorRT leaves goes to CUDA, as everybody runs it; it counts as fallen back all the same
    "tensorrt": ["TensorrtExecutionProvider", "CUDAExecutionProvider"],
}
"""Which execution providers an accelerator stands for: the one asked for first."""

MEMORY = {"cuda": "cuda", "tensorrt": "cuda"}
"""Where inputs and outputs stay, if not in the host's memory."""


def import_onnxruntime() -> Any:
    """The module, and its name and version as one text."""
    import onnxruntime

    return onnxruntime, "onnxruntime " + onnxruntime.__version__


class OnnxModel(Model):
    """One session, sequential, all graph optimisations.

    Inputs and outputs are bound once to memory that stays: of the public ways to run a session this has the lowest
    overhead (for a tiny model 3.5 µs, against 4.0 µs for `run` with a fixed dict on the same machine). Above one
    thread ONNX Runtime's workers spin between runs, as they do by default.

    With a provider for a GPU both are bound to the GPU's memory, and a run ends when the outputs are there.
    """

    interface = "run_with_iobinding"

    def __init__(self, runtime: Any, job: Dict[str, Any]) -> None:
        self._runtime = runtime
        self._accelerator = accelerator_of(job, sorted(filter(None, PROVIDERS)))
        self._memory = MEMORY.get(self._accelerator, "cpu")
        self._path = job["path"]
        self._threads = job["threads"]
        options = self._options()
        if self._accelerator:
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        session = self._session = self._open(options)
        check_inputs([list(node.shape) for node in session.get_inputs()], job["inputs"])
        binding = session.io_binding()
        # on the CPU the values borrow the arrays' memory: both must live as long as the binding
        self._inputs = [(array, self._to_value(array)) for array in seeded_inputs(job["inputs"])]
        for node, (_, value) in zip(session.get_inputs(), self._inputs):
            binding.bind_ortvalue_input(node.name, value)
        self._names = [node.name for node in session.get_outputs()]
        for name in self._names:
            binding.bind_output(name, self._memory)
        self._binding = binding
        if self._memory == "cpu":
            self.run = lambda: session.run_with_iobinding(binding)
            return
        self.interface = "run_with_iobinding, synchronize_outputs"

        def run() -> None:
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()

        self.run = run

    def _options(self) -> Any:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = self._runtime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = self._runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        if self._accelerator == "xnnpack":
            # XNNPACK has threads of its own, and those of ONNX Runtime would spin beside them
            options.intra_op_num_threads = 1
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    def _open(self, options: Any) -> Any:
        """A session that really has the provider asked for.

        Raises:
            AcceleratorMissing: ONNX Runtime would have run everything on the CPU, and said so in a log at most.
        """
        wanted = PROVIDERS[self._accelerator]
        there = self._runtime.get_available_providers()
        what = "onnxruntime " + self._runtime.__version__
        if wanted[0] not in there:
            raise AcceleratorMissing(
                "the provider %s is not in this build of %s, which has %s" % (wanted[0], what, ", ".join(there))
            )
        if self._memory == "cuda" and hasattr(self._runtime, "preload_dlls"):
            self._runtime.preload_dlls()  # CUDA's libraries out of pip's packages, where they are no system's
        providers: List[Any] = [name for name in wanted if name in there]
        if self._accelerator == "xnnpack":
            providers[0] = (wanted[0], {"intra_op_num_threads": str(self._threads)})
        # without this keyword an error of the provider's ends in a session on the CPU
        session = self._runtime.InferenceSession(self._path, options, providers=providers, enable_fallback=0)
        session.disable_fallback()
        started = session.get_providers()
        if wanted[0] not in started:
            raise AcceleratorMissing(
                "the provider %s of %s did not start (a library or device that it needs is missing); there were %s"
                % (wanted[0], what, ", ".join(started))
            )
        return session

    def _to_value(self, array: Any) -> Any:
        make = self._runtime.OrtValue.ortvalue_from_numpy
        return make(array) if self._memory == "cpu" else make(array, self._memory, 0)

    def settle(self) -> None:
        """Give the outputs a place of their own for all further runs: none of them is allocated anew.

        The place is copied from the first run, not taken over: the binding's own values do not outlive its clearing.
        """
        arrays = self._binding.copy_outputs_to_cpu()
        self._outputs = [(array, self._to_value(array)) for array in arrays]
        self._binding.clear_binding_outputs()
        for name, (_, value) in zip(self._names, self._outputs):
            self._binding.bind_ortvalue_output(name, value)

    def output(self) -> Any:
        """See Model."""
        return flatten(self._binding.copy_outputs_to_cpu()[0], "nchw")

    def coverage(self) -> Any:
        """By nodes of the graph as the providers divided it up; None for the plain CPU."""
        if not self._accelerator:
            return None
        provider = PROVIDERS[self._accelerator][0]
        by_provider = self._assigned() or self._profiled()
        mine = by_provider.pop(provider, 0)
        return covered(mine, sum(by_provider.values()))

    def _assigned(self) -> Dict[str, int]:
        """Nodes by provider as the session tells; nothing where this version does not tell."""
        found: Dict[str, int] = {}
        try:
            for part in self._session.get_provider_graph_assignment_info():
                found[part.ep_name] = found.get(part.ep_name, 0) + len(part.get_nodes())
        except Exception:  # versions before about 1.24 have no such method
            return {}
        return found

    def _profiled(self) -> Dict[str, int]:
        """Nodes by provider out of the trace of a session of its own: a compiling provider's node stands for many."""
        folder = tempfile.mkdtemp(prefix="edgecost-trace-")
        try:
            options = self._options()
            options.enable_profiling = True
            options.profile_file_prefix = os.path.join(folder, "trace")
            session = self._open(options)
            feeds = {node.name: array for node, (array, _) in zip(session.get_inputs(), self._inputs)}
            session.run(None, feeds)
            session.end_profiling()
            with open(glob.glob(os.path.join(folder, "trace*"))[0]) as file:
                return nodes_by_provider(json.load(file))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def notes(self) -> Dict[str, Any]:
        """Providers and copies, where there is an accelerator."""
        if not self._accelerator:
            return {}
        notes: Dict[str, Any] = {"providers": ", ".join(self._session.get_providers())}
        if self._memory != "cpu":
            notes["copy_in_us"] = copy_us(lambda: [value.update_inplace(array) for array, value in self._inputs])
            notes["copy_out_us"] = copy_us(self._binding.copy_outputs_to_cpu)
        return notes


def nodes_by_provider(trace: List[Dict[str, Any]]) -> Dict[str, int]:
    """How many nodes each provider ran, by a trace of one run; copies between providers are none of the model's."""
    found: Dict[str, set[str]] = {}
    for event in trace:
        arguments = event.get("args") or {}
        name = str(event.get("name", ""))
        if event.get("cat") != "Node" or not name.endswith("_kernel_time") or "provider" not in arguments:
            continue
        if not str(arguments.get("op_name", "")).startswith("Memcpy"):
            found.setdefault(arguments["provider"], set()).add(name)
    return {provider: len(names) for provider, names in found.items()}
