"""Makes the helpers beside this file importable from every test, whatever the working directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of measured public data."""
    given = os.environ.get("EDGECOST_DATA")
    if not given:
        pytest.skip("EDGECOST_DATA is not set: it names the folder of measured public data")
    return Path(given)


@pytest.fixture(scope="session")
def samples() -> ModuleType:
    """The workloads that tests share (tests/sample_workloads.py)."""
    import sample_workloads

    return sample_workloads
