"""What transformers, layer norms and feature pyramids are made of: read as the same function, whatever the spelling."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_files import assert_same_function, floats, kinds, save

from profiler.workloads.importer import read_onnx

IMAGE = (1, 8, 12, 12)
TOKENS = (2, 6, 8)
ROOT = np.float32(sqrt(2.0))

Form = tuple[list[onnx.NodeProto], dict[str, Any], tuple[int, ...], list[str]]


def node(kind: str, inputs: str, output: str, **attrs: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attrs)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def norm(square: onnx.NodeProto, *, weight: bool = True) -> list[onnx.NodeProto]:
    """A layer normalisation in pieces."""
    last = "q" if weight else "y"
    nodes = [
        node("ReduceMean", "x", "m", axes=[-1]),
        node("Sub", "x m", "d"),
        square,
        node("ReduceMean", "s", "v", axes=[-1]),
        node("Add", "v eps", "e"),
        node("Sqrt", "e", "r"),
        node("Div", "d r", last),
    ]
    return [*nodes, node("Mul", "q w", "k"), node("Add", "k b", "y")] if weight else nodes


NORM = {"eps": np.float32(1e-5), "w": floats(8), "b": floats(8), "two": np.float32(2)}
GELU = {"root": ROOT, "one": np.float32(1), "half": np.float32(0.5), "inverse": np.float32(1) / ROOT}
CURVE = [
    node("Div", "x root", "a"),
    node("Erf", "a", "e"),
    node("Add", "e one", "o"),
    node("Mul", "x o", "p"),
]
"""The first pieces of a GELU."""

FORMS: dict[str, Form] = {
    "gelu": ([node("Gelu", "x", "y")], {}, TOKENS, ["gelu"]),
    "gelu by tanh": ([node("Gelu", "x", "y", approximate="tanh")], {}, TOKENS, ["gelu"]),
    "gelu in pieces": (
        [*CURVE, node("Mul", "p half", "y")],
        GELU,
        TOKENS,
        ["gelu"],
    ),
    "gelu in pieces, halved first": (
        [
            node("Mul", "x inverse", "a"),
            node("Erf", "a", "e"),
            node("Add", "one e", "o"),
            node("Mul", "half o", "p"),
            node("Mul", "p x", "y"),
        ],
        GELU,
        TOKENS,
        ["gelu"],
    ),
    "no gelu: another factor": (
        [*CURVE, node("Mul", "p one", "y")],
        GELU,
        TOKENS,
        ["constant", "div", "erf", "constant", "add", "mul", "constant", "mul"],
    ),
    "no gelu: its curve leaves": (
        [*CURVE, node("Mul", "p half", "q"), node("Add", "q e", "y")],
        GELU,
        TOKENS,
        ["constant", "div", "erf", "constant", "add", "mul", "constant", "mul", "add"],
    ),
    "layer norm": (
        [node("LayerNormalization", "x w b", "y", epsilon=1e-6)],
        {"w": floats(8), "b": floats(8)},
        TOKENS,
        ["layer_norm"],
    ),
    "layer norm over two axes, no bias": (
        [node("LayerNormalization", "x w", "y", axis=1)],
        {"w": floats(6, 8)},
        TOKENS,
        ["layer_norm"],
    ),
    "layer norm in pieces": (norm(node("Pow", "d two", "s")), NORM, TOKENS, ["layer_norm"]),
    "layer norm in pieces, by a product": (norm(node("Mul", "d d", "s")), NORM, TOKENS, ["layer_norm"]),
    "layer norm in pieces, no weights": (norm(node("Pow", "d two", "s"), weight=False), NORM, TOKENS, ["layer_norm"]),
    "no layer norm: what is centred leaves": (
        [*norm(node("Mul", "d d", "s"), weight=False)[:-1], node("Div", "d r", "q"), node("Add", "q d", "y")],
        NORM,
        TOKENS,
        ["mean", "sub", "mul", "mean", "constant", "add", "sqrt", "div", "add"],
    ),
    "linear on tokens": (
        [node("MatMul", "x w", "m"), node("Add", "b m", "y")],
        {"w": floats(8, 5), "b": floats(5)},
        TOKENS,
        ["linear"],
    ),
    "linear on an image of tokens": ([node("MatMul", "x w", "y")], {"w": floats(12, 5)}, IMAGE, ["linear"]),
    "gemm that is scaled": (
        [node("Gemm", "x w b", "y", alpha=0.5, beta=2.0, transB=1)],
        {"w": floats(5, 8), "b": floats(5)},
        (3, 8),
        ["linear"],
    ),
    "a product of two tensors": (
        [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "y")],
        {},
        TOKENS,
        ["transpose", "matmul"],
    ),
    "softmax over the last axis": ([node("Softmax", "x", "y")], {}, TOKENS, ["softmax"]),
    "softmax over channels": ([node("Softmax", "x", "y", axis=1)], {}, IMAGE, ["softmax"]),
    "an operand of lower rank": ([node("Mul", "x s", "y")], {"s": floats(8, 1, 1)}, IMAGE, ["constant", "mul"]),
    "a number minus a tensor": ([node("Sub", "s x", "y")], {"s": np.float32(2)}, IMAGE, ["constant", "sub"]),
    "two tensors of unequal rank": (
        [node("ReduceMean", "x", "m", axes=[0], keepdims=0), node("Div", "x m", "y")],
        {},
        TOKENS,
        ["mean", "reshape", "reshape", "div"],
    ),
    "a class token": (
        [node("Concat", "token x", "y", axis=1)],
        {"token": floats(2, 1, 8)},
        TOKENS,
        ["constant", "concat"],
    ),
    "a clip to other bounds": (
        [node("Clip", "x a b", "y")],
        {"a": np.float32(-0.5), "b": np.float32(0.25)},
        IMAGE,
        ["clip"],
    ),
    "a clip with one bound": ([node("Clip", "x a", "y")], {"a": np.float32(-0.5)}, IMAGE, ["clip"]),
    "hard swish in pieces": (
        [node("HardSigmoid", "x", "h", alpha=1 / 6), node("Mul", "x h", "y")],
        {},
        IMAGE,
        ["hsigmoid", "mul"],
    ),
    "channels change places": (
        [
            node("Reshape", "x a", "r"),
            node("Transpose", "r", "t", perm=[0, 2, 1, 3, 4]),
            node("Reshape", "t b", "y"),
        ],
        {"a": integers(0, 2, 4, 12, -1), "b": integers(1, -1, 12, 12)},
        IMAGE,
        ["reshape", "transpose", "reshape"],
    ),
    "a transposition that changes nothing": (
        [node("Transpose", "x", "t", perm=[0, 1, 2]), node("Tanh", "t", "y")],
        {},
        TOKENS,
        ["tanh"],
    ),
    "axes come and go": (
        [node("Unsqueeze", "x a", "u"), node("Squeeze", "u b", "s"), node("Elu", "s", "y")],
        {"a": integers(0, -1), "b": integers(0)},
        TOKENS,
        ["reshape", "reshape", "elu"],
    ),
    "slices of several axes, with a step": (
        [node("Slice", "x a b axes steps", "y")],
        {"a": integers(1, -6), "b": integers(2**63 - 1, 2**31), "axes": integers(2, -1), "steps": integers(2, 1)},
        IMAGE,
        ["slice", "slice"],
    ),
    "a slice of everything": (
        [node("Slice", "x a b axes", "s"), node("Exp", "s", "y")],
        {"a": integers(0), "b": integers(2**63 - 1), "axes": integers(1)},
        TOKENS,
        ["exp"],
    ),
    "split along tokens": (
        [helper.make_node("Split", ["x", "n"], ["a", "b"], axis=-1), node("Sub", "b a", "y")],
        {"n": integers(4, 4)},
        TOKENS,
        ["split", "sub"],
    ),
    "one token": ([node("Gather", "x i", "y", axis=1)], {"i": np.array(-1)}, TOKENS, ["gather"]),
    "some tokens": ([node("Gather", "x i", "y", axis=1)], {"i": integers(5, 0, 0)}, TOKENS, ["gather"]),
    "a table of tokens": (
        [node("Gather", "x i", "y", axis=1)],
        {"i": np.array([[0, 1], [2, 3]])},
        TOKENS,
        ["gather", "reshape"],
    ),
    "a mean of tokens": ([node("ReduceMean", "x", "y", axes=[1], keepdims=0)], {}, TOKENS, ["mean", "flatten"]),
    "padding apart": (
        [node("Pad", "x p", "q"), node("Sigmoid", "q", "y")],
        {"p": integers(0, 1, 0, 2, 0, 0, 1, 0)},
        IMAGE,
        ["pad", "sigmoid"],
    ),
    "padding of tokens by a number": (
        [node("Pad", "x p v axes", "y")],
        {"p": integers(1, 2), "v": np.float32(0.5), "axes": integers(1)},
        TOKENS,
        ["pad"],
    ),
    "padding that takes part in the maximum": (
        [node("Pad", "x p", "q"), node("MaxPool", "q", "y", kernel_shape=[3, 3])],
        {"p": integers(0, 0, 1, 1, 0, 0, 1, 1)},
        IMAGE,
        ["pad", "max_pool"],
    ),
    "nearest, twice as large": (
        [
            node(
                "Resize",
                "x r s",
                "y",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
                mode="nearest",
            )
        ],
        {"r": floats(0), "s": np.array([1, 1, 2, 2], np.float32)},
        IMAGE,
        ["resize"],
    ),
    "nearest, three times as large, by halves": (
        [node("Resize", "x r s", "y", mode="nearest")],
        {"r": floats(0), "s": np.array([1, 1, 3, 3], np.float32)},
        IMAGE,
        ["resize"],
    ),
    "bilinear to a size": (
        [helper.make_node("Resize", ["x", "", "", "n"], ["y"], mode="linear")],
        {"n": integers(1, 8, 17, 9)},
        IMAGE,
        ["resize"],
    ),
    "bilinear, corners aligned": (
        [
            helper.make_node(
                "Resize", ["x", "", "", "n"], ["y"], mode="linear", coordinate_transformation_mode="align_corners"
            )
        ],
        {"n": integers(1, 8, 20, 20)},
        IMAGE,
        ["resize"],
    ),
    "a maximum that rounds up": (
        [node("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)],
        {},
        IMAGE,
        ["max_pool"],
    ),
    "a mean that rounds up": (
        [node("AveragePool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)],
        {},
        IMAGE,
        ["avg_pool"],
    ),
    "rounding up to a window that begins in the padding": (
        [node("MaxPool", "x", "y", kernel_shape=[2, 2], strides=[3, 3], pads=[1, 1, 1, 1], ceil_mode=1)],
        {},
        IMAGE,
        ["max_pool"],
    ),
    "square and root": (
        [node("Pow", "x two", "s"), node("Pow", "s half", "r"), node("LeakyRelu", "r", "y", alpha=0.2)],
        {"two": np.float32(2), "half": np.float32(0.5)},
        TOKENS,
        ["mul", "sqrt", "leaky_relu"],
    ),
    "shapes that are computed": (
        [
            node("Shape", "x", "s"),
            node("Gather", "s zero", "n"),
            node("Concat", "n rest", "t", axis=0),
            node("Reshape", "x t", "y"),
        ],
        {"zero": integers(0), "rest": integers(-1)},
        TOKENS,
        ["flatten"],
    ),
    "an expansion to what it is": (
        [node("Shape", "x", "s"), node("Expand", "x s", "e"), node("Erf", "e", "y")],
        {},
        TOKENS,
        ["erf"],
    ),
}
FORMS |= {
    "einsum of attention": (
        [
            node("Transpose", "x", "k", perm=[0, 1, 2]),
            node("Relu", "x", "r"),
            node("Einsum", "x r", "y", equation="b i d, b j d -> b i j"),
        ],
        {},
        TOKENS,
        ["relu", "transpose", "matmul"],
    ),
    "einsum with labels in another order": (
        [node("Relu", "x", "r"), node("Einsum", "x r", "y", equation="nchw,nkhw->hnkc")],
        {},
        IMAGE,
        ["relu", "transpose", "transpose", "matmul", "transpose"],
    ),
    "einsum with weights": (
        [node("Einsum", "x w", "y", equation="bic,ohc->bioh")],
        {"w": floats(3, 2, TOKENS[-1])},
        TOKENS,
        ["linear", "reshape"],
    ),
    "einsum with a constant table": (
        [node("Einsum", "x w", "y", equation="bic,bco->bio")],
        {"w": floats(TOKENS[0], TOKENS[-1], 3)},
        TOKENS,
        ["constant", "matmul"],
    ),
    "an expansion that a quotient makes anyway": (
        [
            node("ReduceMean", "x", "m", axes=[1], keepdims=1),
            node("Exp", "m", "e"),
            node("Shape", "x", "s"),
            node("Expand", "e s", "wide"),
            node("Div", "x wide", "y"),
        ],
        {},
        IMAGE,
        ["mean", "exp", "div"],
    ),
}
FORMS["a product with a constant in front"] = (
    [node("Transpose", "x", "t", perm=[1, 0, 2]), node("MatMul", "w t", "y")],
    {"w": floats(1, 4, 2)},
    TOKENS,
    ["transpose", "constant", "matmul"],
)


HEADS = (2, 4, 6, 8)
THREE = ["relu", "sigmoid", "tanh"]
SUMMED = ["mean", "constant", "mul"]
SCORED = ["transpose", "constant", "mul", "matmul", "softmax", "matmul"]
QUERIES = [node("Relu", "x", "q"), node("Sigmoid", "x", "k"), node("Tanh", "x", "v")]
FORMS |= {
    "attention": ([*QUERIES, node("Attention", "q k v", "y")], {}, HEADS, [*THREE, *SCORED]),
    "attention of packed heads, of a scale": (
        [*QUERIES, node("Attention", "q k v", "y", q_num_heads=2, kv_num_heads=2, scale=0.3)],
        {},
        TOKENS,
        [*THREE, *["reshape", "transpose"] * 3, *SCORED[1:], "transpose", "reshape"],
    ),
    "attention that looks back": (
        [*QUERIES, node("Attention", "q k v", "y", is_causal=1)],
        {},
        HEADS,
        [*THREE, *SCORED[:4], "constant", "add", *SCORED[4:]],
    ),
    "attention with a mask of truth values": (
        [*QUERIES, node("Attention", "q k v m", "y")],
        {"m": np.tri(6, dtype=bool)},
        HEADS,
        [*THREE, *SCORED[:4], "constant", "add", *SCORED[4:]],
    ),
    "attention with a mask of numbers": (
        [*QUERIES, node("Attention", "q k v m", "y")],
        {"m": floats(6, 6)},
        HEADS,
        [*THREE, *SCORED[:4], "constant", "add", *SCORED[4:]],
    ),
    "a sum": ([node("ReduceSum", "x a", "y", keepdims=0)], {"a": integers(2)}, IMAGE, [*SUMMED, "reshape"]),
    "a sum of all": ([node("ReduceSum", "x", "y")], {}, IMAGE, SUMMED),
    "a norm of vectors": ([node("ReduceL2", "x", "y", axes=[-1])], {}, TOKENS, ["mul", *SUMMED, "sqrt"]),
    "nearest of old": (
        [node("Upsample", "x s", "y", mode="nearest")],
        {"s": np.array([1, 1, 2, 3], np.float32)},
        IMAGE,
        ["resize"],
    ),
}
OPSETS = {form: 23 for form in FORMS if form.startswith("attention")} | {"nearest of old": 9}
OPSETS |= {"gelu": 20, "gelu by tanh": 20, "padding of tokens by a number": 18}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_read_as_the_same_function(form: str, tmp_path: Path) -> None:
    nodes, constants, shape, expected = FORMS[form]
    path = save(tmp_path, nodes, shape, constants, opset=OPSETS.get(form, 17))
    imported = read_onnx(path)
    assert imported.unsupported == ()
    assert kinds(imported) == expected
    assert_same_function(path, imported)


UNREADABLE: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], str]] = {
    "cubic": (
        [helper.make_node("Resize", ["z", "", "", "n"], ["y"], mode="cubic")],
        {"n": integers(1, 8, 20, 20)},
        "neither nearest nor bilinear",
    ),
    "nearest, upper left of halves": (
        [helper.make_node("Resize", ["z", "", "", "n"], ["y"], mode="nearest")],
        {"n": integers(1, 8, 17, 17)},
        "upper left",
    ),
    "backwards": (
        [node("Slice", "z a b axes steps", "y")],
        {"a": integers(-1), "b": integers(-9), "axes": integers(1), "steps": integers(-1)},
        "backwards",
    ),
    "a cube": ([node("Pow", "z n", "y")], {"n": np.float32(3)}, "power"),
    "repeating": ([node("Expand", "z n", "y")], {"n": integers(4, 8, 12, 12)}, "repeats"),
    "a steeper elu": ([node("Elu", "z", "y", alpha=2.0)], {}, "alpha 2"),
    "attention that goes on": ([node("Attention", "z z z", "y", softcap=3.0)], {}, "capped"),
    "a cast to integers": ([node("Cast", "z", "y", to=6)], {}, "no floating-point numbers"),
    "a trace": ([node("Einsum", "z w", "y", equation="nchh,h->nc")], {"w": floats(12)}, "named once"),
    "an outer product": ([node("Einsum", "z w", "y", equation="nchw,k->nchwk")], {"w": floats(5)}, "no product"),
    "computing with integers": (
        [helper.make_node("DynamicQuantizeLinear", ["z"], ["y", "s", "p"])],
        {},
        "before it was quantised",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_read_says_why(case: str, tmp_path: Path) -> None:
    nodes, constants, reason = UNREADABLE[case]
    imported = read_onnx(save(tmp_path, [node("Relu", "x", "z"), *nodes], constants=constants))
    assert [problem.name for problem in imported.unsupported] == ["y"]
    assert reason in imported.unsupported[0].reason
