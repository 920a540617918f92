""".tflite files that no lowering of ours makes."""

from __future__ import annotations

from typing import Any

import flatbuffers

from profiler.workloads.artefacts import lower
from profiler.workloads.build import WorkloadBuilder


def with_custom_operator(name: bytes, *, plain: int = 0) -> bytes:
    """A model with a custom operator of that name, behind so many of the usual ones; its input is (1, 2, 4, 4)."""
    from ai_edge_litert import schema_py_generated as schema

    b = WorkloadBuilder("custom")
    x = b.input((1, 2, 4, 4))
    for _ in range(plain):
        x = b.relu(b.conv2d(x, 2, 3))
    x = b.sigmoid(x)
    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(lower(b.build(x), "litert", "fp32"), 0))
    operators = model.subgraphs[0].operators
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = name
    code.version = 1
    model.operatorCodes.append(code)
    operators[-1].opcodeIndex = len(model.operatorCodes) - 1
    operators[-1].builtinOptionsType, operators[-1].builtinOptions = 0, None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
