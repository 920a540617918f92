"""Reading Resize, and Upsample as it was called before: torch's two forms of `interpolate`, nearest and bilinear."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

from profiler.workloads.graph import Ref
from profiler.workloads.importer_graph import GraphReader, Node, Unreadable
from profiler.workloads.op_spec import AttrValue
from profiler.workloads.ops import Shape

__all__ = ["resize"]


def resize(reader: GraphReader, node: Node) -> Sequence[Ref]:
    """A Resize of height and width.

    Raises:
        Unreadable: for other modes, other axes, or a size that is computed from the model's inputs.
    """
    ref = reader.tensor(node.input(0))
    shape = reader.shape(ref)
    size, scales = _size(reader, node, shape)
    mode = _text(node, "mode", "nearest")
    newer = reader.opset > 10  # before, there was one way, and no attribute that said so
    place = _text(node, "coordinate_transformation_mode", "half_pixel" if newer else "asymmetric")
    if node.attrs.get("antialias", 0) or _text(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unreadable("it smooths while it makes smaller, or keeps the aspect ratio")
    if mode == "nearest":
        rounding = _text(node, "nearest_mode", "round_prefer_floor" if newer else "floor")
        whole = all(scale >= 1 and scale == int(scale) for scale in scales)
        if (place, rounding) != ("asymmetric", "floor") and not (whole and place == "half_pixel"):
            raise Unreadable(f"nearest by {place} and {rounding} is not the one that takes what is to the upper left")
        return [reader.emit("resize", (ref,), node.name, size=size, mode="nearest")]
    if mode != "linear" or place not in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        raise Unreadable(f"resizing by {mode} and {place} is neither nearest nor bilinear")
    if place == "pytorch_half_pixel" and 1 in size and size != shape[2:]:
        raise Unreadable("bilinear to a single pixel")
    attrs: dict[str, AttrValue] = {"align_corners": True} if place == "align_corners" else {}
    return [reader.emit("resize", (ref,), node.name, size=size, mode="linear", **attrs)]


def _size(reader: GraphReader, node: Node, shape: Shape) -> tuple[Shape, tuple[float, float]]:
    """(height, width) that it makes, and by how much it scales both."""
    if len(shape) != 4 or node.attrs.get("axes"):
        raise Unreadable(f"it resizes {shape} along axes of its choice")
    if node.input(3):
        sizes = [int(size) for size in reader.constant(node.input(3), "size").reshape(-1)]
        scales = [size / before for size, before in zip(sizes, shape, strict=True)]
    else:
        place = 2 if node.input(2) or len(node.inputs) > 2 else 1  # opset 10 has no region of interest
        named = node.attrs.get("scales")  # Upsample before opset 9
        found = reader.constant(node.input(place), "scale").reshape(-1) if named is None else named
        scales = [float(scale) for scale in found]
        sizes = [floor(before * scale + 1e-6) for before, scale in zip(shape, scales, strict=True)]
    if tuple(sizes[:2]) != shape[:2] or any(
        abs(size / before - scale) > 1e-6 for size, before, scale in zip(sizes, shape, scales, strict=True)
    ):
        raise Unreadable(f"it scales {shape} by {scales}, of which no whole sizes come")
    return (sizes[2], sizes[3]), (scales[2], scales[3])


def _text(node: Node, name: str, default: str) -> str:
    value = node.attrs.get(name, default)
    return value.decode() if isinstance(value, bytes) else str(value)
