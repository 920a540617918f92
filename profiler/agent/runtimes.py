"""The runtimes: load an artefact, set its inputs once, run it, read its first output.

Every runtime gets its threads explicitly and runs on the CPU. A new one is a subclass of Model and a line in MODELS.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Callable, Dict, List

from .outputs import dequantise, flatten, quantise, seeded_inputs, to_layout

TORCH_SPECIALISING_RUNS = 3
"""TorchScript's profiling executor rewrites a graph in its first runs."""


class RuntimeMissing(Exception):
    """The runtime cannot be imported on this board."""


class ArtefactMismatch(Exception):
    """The artefact loads, and its inputs are not those that the job names."""


class Model:
    """One loaded artefact.

    The life of one: the constructor loads it; `run()` once; `settle()`; `output()`; then `run()` as often as wanted;
    `close()`.

    Attributes:
        interface: which way of calling the runtime is timed.
        run: runs it once; the only thing that is ever timed.
    """

    interface = ""
    run: Callable[[], Any]

    def settle(self) -> None:
        """What is better done after the first run and before the warm-up."""

    def output(self) -> Any:
        """The first output of the last run: float64, (n,), channel-first."""
        raise NotImplementedError

    def close(self) -> None:
        """Undo what outlives the object."""


class OnnxModel(Model):
    """ONNX Runtime: one session on the CPU provider, sequential, all graph optimisations.

    Inputs and outputs are bound once to memory that stays: of the public ways to run a session this has the lowest
    overhead (for a tiny model 3.5 µs, against 4.0 µs for `run` with a fixed dict on the same machine). Above one
    thread ONNX Runtime's workers spin between runs, as they do by default.
    """

    interface = "run_with_iobinding"

    def __init__(self, runtime: Any, job: Dict[str, Any]) -> None:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = job["threads"]
        options.inter_op_num_threads = 1
        options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        session = runtime.InferenceSession(job["path"], options, providers=["CPUExecutionProvider"])
        _check_inputs([list(node.shape) for node in session.get_inputs()], job["inputs"])
        binding = session.io_binding()
        self._to_value = runtime.OrtValue.ortvalue_from_numpy
        # the values borrow the arrays' memory: both must live as long as the binding
        self._inputs = [(array, self._to_value(array)) for array in seeded_inputs(job["inputs"])]
        for node, (_, value) in zip(session.get_inputs(), self._inputs):
            binding.bind_ortvalue_input(node.name, value)
        self._names = [node.name for node in session.get_outputs()]
        for name in self._names:
            binding.bind_output(name, "cpu")
        self._binding = binding
        self.run = lambda: session.run_with_iobinding(binding)

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


class LiteRtModel(Model):
    """LiteRT (or tflite-runtime) with its default XNNPACK delegate; inputs are set once, only `invoke` is timed."""

    interface = "invoke"

    def __init__(self, runtime: Any, job: Dict[str, Any]) -> None:
        interpreter = runtime.Interpreter(model_path=job["path"], num_threads=job["threads"])
        interpreter.allocate_tensors()
        self._layout = job["layout"]
        details = interpreter.get_input_details()
        arrays = [to_layout(array, self._layout) for array in seeded_inputs(job["inputs"])]
        _check_inputs([detail["shape"].tolist() for detail in details], [list(array.shape) for array in arrays])
        for detail, array in zip(details, arrays):
            interpreter.set_tensor(detail["index"], quantise(array, detail["dtype"], *detail["quantization"]))
        self._interpreter = interpreter
        self.run = interpreter.invoke

    def output(self) -> Any:
        """See Model."""
        detail = self._interpreter.get_output_details()[0]
        values = self._interpreter.get_tensor(detail["index"])
        return flatten(dequantise(values, *detail["quantization"]), self._layout)


class TorchModel(Model):
    """torch: TorchScript in inference mode."""

    interface = "torchscript"

    def __init__(self, runtime: Any, job: Dict[str, Any]) -> None:
        runtime.set_num_threads(job["threads"])
        with contextlib.suppress(RuntimeError):  # may be set once in a process only
            runtime.set_num_interop_threads(1)
        module = runtime.jit.load(job["path"], map_location="cpu").eval()
        inputs = [runtime.from_numpy(array) for array in seeded_inputs(job["inputs"])]
        self._last: Any = None
        self._mode = runtime.inference_mode()
        self._mode.__enter__()  # until close(): entering it anew would cost every run

        def run() -> None:
            self._last = module(*inputs)

        self.run = run

    def settle(self) -> None:
        """Let the executor specialise before anything is timed."""
        for _ in range(TORCH_SPECIALISING_RUNS):
            self.run()

    def output(self) -> Any:
        """See Model."""
        first = self._last[0] if isinstance(self._last, (tuple, list)) else self._last
        return flatten(first.numpy(), "nchw")

    def close(self) -> None:
        """Leave inference mode."""
        self._mode.__exit__(None, None, None)


def _check_inputs(found: List[Any], wanted: List[Any]) -> None:
    if found != wanted:
        raise ArtefactMismatch("the artefact's inputs have shapes %s, the job's %s" % (found, wanted))


def _import_onnxruntime() -> Any:
    import onnxruntime

    return onnxruntime, "onnxruntime " + onnxruntime.__version__


def _import_litert() -> Any:
    from .facts import runtime_versions

    versions = runtime_versions()
    try:
        from ai_edge_litert import interpreter

        name = "ai-edge-litert"
    except ImportError:
        from tflite_runtime import interpreter

        name = "tflite-runtime"
    return interpreter, "%s %s" % (name, versions.get(name, "?"))


def _import_torch() -> Any:
    import torch

    return torch, "torch " + str(torch.__version__)


IMPORTERS = {"onnxruntime": _import_onnxruntime, "litert": _import_litert, "torch": _import_torch}
MODELS = {"onnxruntime": OnnxModel, "litert": LiteRtModel, "torch": TorchModel}


def import_runtime(name: str) -> Any:
    """The runtime's module, and its name and version as one text.

    Raises:
        RuntimeMissing: it is not there, or does not import.
    """
    try:
        return IMPORTERS[name]()
    except Exception as error:
        raise RuntimeMissing("%s cannot be imported: %s" % (name, error)) from error


def load(name: str, runtime: Any, job: Dict[str, Any]) -> Model:
    """Load a job's artefact; raises whatever the runtime does."""
    if not os.path.isfile(job["path"]):
        raise OSError("the artefact %s is not on the board" % job["path"])
    return MODELS[name](runtime, job)  # type: ignore[abstract, no-any-return, unused-ignore]
