"""Makes the helpers beside this file importable from every test, whatever the working directory."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def samples() -> ModuleType:
    """The workloads that tests share (tests/sample_workloads.py)."""
    import sample_workloads

    return sample_workloads
