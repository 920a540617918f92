"""The fakes of the measuring tests as a fixture: tests are not a package, so they are loaded by their path."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))

FAKES = Path(__file__).parents[1] / "measure" / "fakes.py"


@pytest.fixture(scope="session")
def fakes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure_fakes", FAKES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
