"""The runtimes: load an artefact, set its inputs, run it, read its first output. Imports happen where they are used."""

from __future__ import annotations

import contextlib
from typing import Any, Dict, List


class Runner:
    """One loaded artefact.

    Attributes:
        version: name and version of what runs it.
    """

    version = ""

    def run(self) -> Any:
        """Run once; this is what is timed."""
        raise NotImplementedError

    def output(self) -> Any:
        """The first output of the last run, float64, channel-first, flattened."""
        raise NotImplementedError


def seeded_inputs(shapes: List[List[int]]) -> List[Any]:
    """The inputs that the host used for its reference: uniform in [-1, 1), PCG64 seeded with [0, position]."""
    import numpy

    return [
        numpy.random.default_rng([0, i]).uniform(-1, 1, tuple(shape)).astype("float32")
        for i, shape in enumerate(shapes)
    ]


def _flat(array: Any, layout: str) -> Any:
    import numpy

    found = numpy.asarray(array, dtype="float64")
    if layout == "nhwc" and found.ndim == 4:
        found = found.transpose(0, 3, 1, 2)
    return found.ravel()


class OnnxRunner(Runner):
    """ONNX Runtime on the CPU, one session, inputs and outputs bound once so that a run copies nothing."""

    def __init__(self, job: Dict[str, Any]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job["threads"]
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4
        self.version = "onnxruntime " + onnxruntime.__version__
        self._session = onnxruntime.InferenceSession(job["path"], options, providers=["CPUExecutionProvider"])
        self._binding = self._session.io_binding()
        for node, array in zip(self._session.get_inputs(), seeded_inputs(job["inputs"])):
            self._binding.bind_ortvalue_input(node.name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        for node in self._session.get_outputs():
            self._binding.bind_output(node.name, "cpu")

    def run(self) -> Any:
        self._session.run_with_iobinding(self._binding)

    def output(self) -> Any:
        return _flat(self._binding.copy_outputs_to_cpu()[0], "nchw")


class LiteRtRunner(Runner):
    """LiteRT with its default XNNPACK delegate; tflite-runtime where the newer package is not there."""

    def __init__(self, job: Dict[str, Any]) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter

            name = "ai-edge-litert"
        except ImportError:
            from tflite_runtime.interpreter import Interpreter  # type: ignore[import-not-found,no-redef,unused-ignore]

            name = "tflite-runtime"
        self.version = name
        self._interpreter = Interpreter(model_path=job["path"], num_threads=job["threads"])
        self._interpreter.allocate_tensors()
        self._layout = job["layout"]
        for detail, array in zip(self._interpreter.get_input_details(), seeded_inputs(job["inputs"])):
            value = array.transpose(0, 2, 3, 1) if self._layout == "nhwc" and array.ndim == 4 else array
            self._interpreter.set_tensor(detail["index"], _quantised(value, detail))
        self.run = self._interpreter.invoke  # type: ignore[method-assign]

    def output(self) -> Any:
        detail = self._interpreter.get_output_details()[0]
        found = self._interpreter.get_tensor(detail["index"]).astype("float64")
        scale, zero_point = detail["quantization"]
        return _flat((found - zero_point) * scale if scale else found, self._layout)


def _quantised(value: Any, detail: Dict[str, Any]) -> Any:
    """An input in the tensor's own type: int8 by its scale and zero point."""
    import numpy

    scale, zero_point = detail["quantization"]
    if not scale:
        return numpy.ascontiguousarray(value, dtype=detail["dtype"])
    limits = numpy.iinfo(detail["dtype"])
    rounded = numpy.round(value / scale) + zero_point
    return numpy.clip(rounded, limits.min, limits.max).astype(detail["dtype"])


class TorchRunner(Runner):
    """torch running TorchScript in inference mode."""

    def __init__(self, job: Dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(job["threads"])
        with contextlib.suppress(RuntimeError):  # can be set once a process only
            torch.set_num_interop_threads(1)
        self.version = "torch " + str(torch.__version__)
        self._mode = torch.inference_mode()
        self._mode.__enter__()  # for as long as the process lives: this is a worker
        self._module = torch.jit.load(job["path"], map_location="cpu").eval()  # type: ignore[no-untyped-call]
        self._inputs = [torch.from_numpy(a) for a in seeded_inputs(job["inputs"])]
        self._last = None  # type: Any
        for _ in range(3):  # the profiling executor specialises on the first runs
            self.run()

    def run(self) -> Any:
        self._last = self._module(*self._inputs)

    def output(self) -> Any:
        first = self._last[0] if isinstance(self._last, tuple) else self._last
        return _flat(first.numpy(), "nchw")


RUNNERS = {"onnxruntime": OnnxRunner, "litert": LiteRtRunner, "torch": TorchRunner}


def load(job: Dict[str, Any]) -> Runner:
    """Load a job's artefact with its runtime (ValueError for a runtime that is not known here)."""
    if job["runtime"] not in RUNNERS:
        raise ValueError("unknown runtime " + repr(job["runtime"]))
    runner = RUNNERS[job["runtime"]]
    return runner(job)  # type: ignore[no-any-return]
