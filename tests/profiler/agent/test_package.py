"""What holds for the agent's source as a whole."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import profiler.agent

SOURCES = sorted(Path(profiler.agent.__file__).parent.glob("*.py"))

NEWER_THAN_37 = {"Final", "Literal", "Protocol", "TypedDict", "SupportsIndex", "Annotated", "Self", "ParamSpec"}
"""Names that Python 3.7's typing lacks."""


def test_the_sources_are_found() -> None:
    assert {"__main__.py", "jobs.py", "worker.py", "timing.py"} <= {path.name for path in SOURCES}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_syntax_and_names_are_of_python_37(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 7))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "typing":
            assert not {alias.name for alias in node.names} & NEWER_THAN_37
        # what an f-string may hold differs between versions more than ast.parse can tell
        assert not isinstance(node, ast.JoinedStr)
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            assert not node.module.startswith("profiler")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_annotations_are_not_evaluated(path: Path) -> None:
    """Else `queue.Queue[int]` and the like would end a worker with Python 3.7 or 3.8 at import."""
    imports = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)]
    assert path.name == "__init__.py" or imports[0].module == "__future__"


def test_serving_needs_the_standard_library_only_and_imports_no_runtime(pyz: Path) -> None:
    check = (
        "import sys; sys.path.insert(0, sys.argv[1]); import edgecost_agent.jobs, edgecost_agent.worker;"
        "print(sorted({'numpy', 'onnxruntime', 'torch', 'ai_edge_litert'} & set(sys.modules)))"
    )
    isolated = subprocess.run([sys.executable, "-I", "-S", "-c", check, str(pyz)], capture_output=True, text=True)
    assert (isolated.stdout, isolated.stderr) == ("[]\n", "")


@pytest.mark.parametrize("arguments", [[], ["help"], ["serve", "more"]])
def test_anything_but_a_mode_is_told_the_usage(pyz: Path, arguments: list[str]) -> None:
    result = subprocess.run([sys.executable, str(pyz), *arguments], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("usage: ")
