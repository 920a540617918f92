"""LiteRT (or tflite-runtime): by XNNPACK as it does by itself, by a delegate's library, or by LiteRT's own GPU."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from ..outputs import dequantise, flatten, quantise, seeded_inputs, to_layout
from .base import AcceleratorMissing, Model, accelerator_of, check_inputs, covered

LIBRARIES = {"edgetpu": "libedgetpu.so.1", "gpu": ""}
"""The delegate's library by accelerator, where the job names none; "" stands for the GPU inside ai-edge-litert."""

EDGETPU_OPERATOR = "edgetpu-custom-op"
"""What a compiler for the Edge TPU leaves in a file in place of the operators that it has mapped."""


def import_litert() -> Any:
    """The interpreter's module, and the package's name and version as one text."""
    from ..facts import runtime_versions

    versions = runtime_versions()
    try:
        from ai_edge_litert import interpreter

        name = "ai-edge-litert"
    except ImportError:
        from tflite_runtime import interpreter

        name = "tflite-runtime"
    return interpreter, "%s %s" % (name, versions.get(name, "?"))


def load_litert(runtime: Any, job: Dict[str, Any]) -> Model:
    """By which of LiteRT's two interfaces an accelerator is reached."""
    accelerator = accelerator_of(job, sorted(LIBRARIES))
    if accelerator == "gpu" and not job.get("library"):
        return CompiledLiteRtModel(runtime, job)
    return LiteRtModel(runtime, job)


class LiteRtModel(Model):
    """An interpreter, with its default XNNPACK delegate or another one; inputs are set once, only `invoke` is timed.

    With another delegate the default one is left out: else nobody could tell which of the two took an operator.
    """

    interface = "invoke"

    def __init__(self, runtime: Any, job: Dict[str, Any]) -> None:
        self._accelerator = accelerator_of(job, sorted(LIBRARIES))
        self._layout = job["layout"]
        arguments: Dict[str, Any] = {"model_path": job["path"], "num_threads": job["threads"]}
        if self._accelerator:
            library = job.get("library") or LIBRARIES[self._accelerator]
            arguments["experimental_delegates"] = [load_delegate(runtime, self._accelerator, library)]
            arguments.update(without_default_delegate(runtime))
        interpreter = runtime.Interpreter(**arguments)
        interpreter.allocate_tensors()
        details = interpreter.get_input_details()
        for detail, array in zip(details, inputs_for(details, job)):
            interpreter.set_tensor(detail["index"], array)
        self._interpreter = interpreter
        self.run = interpreter.invoke

    def output(self) -> Any:
        """See Model."""
        detail = self._interpreter.get_output_details()[0]
        values = self._interpreter.get_tensor(detail["index"])
        return flatten(dequantise(values, *detail["quantization"]), self._layout)

    def coverage(self) -> Optional[Dict[str, int]]:
        """By operators of the file. Without an accelerator it says what XNNPACK took, where the version tells.

        An operator compiled for the Edge TPU counts once, whatever it stands for: the compiler's log knows that.
        """
        try:
            operators = self._interpreter._get_ops_details()
        except AttributeError:
            if not self._accelerator:
                return None
            raise AcceleratorMissing(
                "this version of LiteRT does not tell what %s took: install a newer one" % self._accelerator
            ) from None
        names, delegated = partition(operators)
        if self._accelerator == "edgetpu":
            mapped = names.count(EDGETPU_OPERATOR)
            return covered(min(mapped, len(delegated)), len(names) - min(mapped, len(delegated)))
        return covered(len(delegated), len(names) - len(delegated))


class CompiledLiteRtModel(Model):
    """ai-edge-litert's CompiledModel on the GPU that it brings along.

    A run ends with reading the first output: the interface has no other way to wait for the GPU.
    """

    interface = "run_by_index, read"
    accelerators = "GPU"

    def __init__(self, runtime: Any, job: Dict[str, Any]) -> None:
        try:
            from ai_edge_litert.compiled_model import CompiledModel
            from ai_edge_litert.hardware_accelerator import HardwareAccelerator
        except ImportError as error:
            raise AcceleratorMissing(
                "this version of LiteRT has no GPU of its own (%s): name the delegate's library" % error
            ) from None
        self._layout = job["layout"]
        # CompiledModel tells neither scales nor operators: an interpreter that never runs does
        plain = runtime.Interpreter(model_path=job["path"], **without_default_delegate(runtime))
        details = plain.get_input_details()
        arrays = inputs_for(details, job)
        self._operators = len(plain._get_ops_details())
        self._output = plain.get_output_details()[0]
        del plain
        try:
            model = CompiledModel.from_file(job["path"], getattr(HardwareAccelerator, self.accelerators))
        except RuntimeError as error:
            raise AcceleratorMissing(
                "LiteRT's %s did not take the model, or is not there: %s" % (self.accelerators, error)
            ) from None
        if not model.is_fully_accelerated():
            raise AcceleratorMissing(
                "LiteRT's %s took only some of the %d operators, and does not tell which"
                % (self.accelerators, self._operators)
            )
        inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
        for buffer, array in zip(inputs, arrays):
            buffer.write(array)
        shape = tuple(int(size) for size in self._output["shape"])
        size = 1
        for length in shape:
            size *= length
        first, dtype = outputs[0], self._output["dtype"]

        def run() -> None:
            model.run_by_index(0, inputs, outputs)
            self._values = first.read(size, dtype).reshape(shape)

        self.run = run
        self._model = model
        self._buffers = [*inputs, *outputs]

    def output(self) -> Any:
        """See Model."""
        return flatten(dequantise(self._values, *self._output["quantization"]), self._layout)

    def coverage(self) -> Optional[Dict[str, int]]:
        """All operators: what takes fewer is refused."""
        return covered(self._operators, 0)

    def close(self) -> None:
        """Free the accelerator's buffers, then the model that they belong to."""
        for buffer in self._buffers:
            buffer.destroy()
        self._buffers = []
        self._model.close()


def inputs_for(details: List[Dict[str, Any]], job: Dict[str, Any]) -> List[Any]:
    """The seeded inputs as the file's own layout and type have them.

    Raises:
        ArtefactMismatch: the file takes others.
    """
    arrays = [to_layout(array, job["layout"]) for array in seeded_inputs(job["inputs"])]
    check_inputs([detail["shape"].tolist() for detail in details], [list(array.shape) for array in arrays])
    return [quantise(array, d["dtype"], *d["quantization"]) for d, array in zip(details, arrays)]


def load_delegate(runtime: Any, accelerator: str, library: str) -> Any:
    """A delegate out of its library.

    Raises:
        AcceleratorMissing: there is no such library, it is no delegate, or finds no device.
    """
    import ctypes

    try:
        # looked at first, because a delegate that fails to load complains once more when it is collected
        if not hasattr(ctypes.CDLL(library), "tflite_plugin_create_delegate"):
            raise ValueError("it is no delegate: it has no tflite_plugin_create_delegate")
        return runtime.load_delegate(library)
    except (OSError, ValueError, AttributeError, RuntimeError) as error:
        said = " ".join(str(error).split()) or "it gives no reason"
        raise AcceleratorMissing(
            "the library %s for the accelerator %s cannot be used: %s" % (library, accelerator, said)
        ) from None


def without_default_delegate(runtime: Any) -> Dict[str, Any]:
    """Arguments that keep XNNPACK out; versions that do not know them do not have it as a default either."""
    kinds = getattr(runtime, "OpResolverType", None)
    return {"experimental_op_resolver_type": kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES} if kinds else {}


def partition(operators: Sequence[Dict[str, Any]]) -> Tuple[List[str], Set[int]]:
    """The names of a file's operators, and which of them were delegated.

    An interpreter lists the file's operators and, behind them, one DELEGATE for each part that a delegate took. A part
    is what lies between a DELEGATE's outputs and its inputs.
    """
    own = [operator for operator in operators if operator["op_name"] != "DELEGATE"]
    producer = {int(tensor): place for place, operator in enumerate(own) for tensor in operator["outputs"]}
    taken: Set[int] = set()
    for operator in operators:
        if operator["op_name"] != "DELEGATE":
            continue
        border = {int(tensor) for tensor in operator["inputs"]}
        wanted = [int(tensor) for tensor in operator["outputs"]]
        while wanted:
            tensor = wanted.pop()
            place = producer.get(tensor)
            if tensor in border or place is None or place in taken:
                continue
            taken.add(place)
            wanted += [int(source) for source in own[place]["inputs"]]
    return [str(operator["op_name"]) for operator in own], taken
