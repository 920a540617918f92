"""ONNX Runtime on this host, imported so that it sends nothing anywhere."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["import_onnxruntime"]


def import_onnxruntime() -> Any:
    """The module. Releases since 1.31 report their use, from a thread of their own and with files in the user's cache,
    unless this variable is set before the import; whoever wants that sets it to 0.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
