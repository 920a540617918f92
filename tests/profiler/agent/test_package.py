"""What holds for the agent's source as a whole."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import profiler.agent

SOURCES = sorted(Path(profiler.agent.__file__).parent.rglob("*.py"))

NEWER_THAN_37 = {"Final", "Literal", "Protocol", "TypedDict", "SupportsIndex", "Annotated", "Self", "ParamSpec"}
"""Names that Python 3.7's typing lacks."""


def test_the_sources_are_found() -> None:
    assert {"__main__.py", "daemon.py", "worker.py", "timing.py"} <= {path.name for path in SOURCES}


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


WALL_CLOCK = {"time", "time_ns", "CLOCK_REALTIME", "now", "utcnow", "today", "localtime", "gmtime", "ctime"}
"""Of `time` and `datetime`: what steps when somebody sets a clock."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_is_decided_by_a_clock_that_steps(path: Path) -> None:
    """A board without a battery wakes up in 1970 and is set right in the middle of a campaign."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.module not in ("time", "datetime")
        if isinstance(node, ast.Import):
            assert "datetime" not in {alias.name for alias in node.names}
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "time":
            assert node.attr not in WALL_CLOCK
        # dates of files are set by the same clock; of what nobody fetches a count is kept, whose order may be wrong
        if isinstance(node, ast.Attribute) and path.name != "tidying.py":
            assert node.attr not in {"st_mtime", "st_ctime", "st_atime", "st_mtime_ns", "getmtime", "getctime"}


def test_the_wall_clock_is_written_for_people_only() -> None:
    told = [path.name for path in SOURCES if "time.strftime(" in path.read_text()]
    assert told == ["boardlease.py", "daemon.py"]  # the lease's "since", and the log


def test_serving_needs_the_standard_library_only_and_imports_no_runtime(pyz: Path) -> None:
    check = (
        "import sys; sys.path.insert(0, sys.argv[1]); import edgecost_agent.daemon.detached;"
        "import edgecost_agent.worker.worker, edgecost_agent.relay, edgecost_agent.stale;"
        "print(sorted({'numpy', 'onnxruntime', 'torch', 'ai_edge_litert'} & set(sys.modules)))"
    )
    isolated = subprocess.run([sys.executable, "-I", "-S", "-c", check, str(pyz)], capture_output=True, text=True)
    assert (isolated.stdout, isolated.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["help"],
        ["serve"],
        ["attach", "x"],
        ["end", "w", "pid", "s"],
        ["facts", "a", "b"],
        ["worker", "{"],
        ["attach", "w", "0" * 16, "{", "1"],
        ["attach", "w", "0" * 16, "{}", "x"],
    ],
)
def test_anything_but_a_mode_is_told_the_usage(pyz: Path, arguments: list[str]) -> None:
    result = subprocess.run([sys.executable, str(pyz), *arguments], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "usage: agent.pyz attach" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["python3.7", "python3.8", "python3.9"])
def test_an_old_python_holds_a_whole_conversation(
    attach: Callable[..., Any], file_job: Any, name: str, tmp_path: Path
) -> None:
    """As on boards whose Python is older than this project's."""
    python = shutil.which(name)
    if python is None or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"there is no {name} here")
    agent = attach(python=python)
    hello = agent.hello()
    assert name == "python" + hello.python.rpartition(".")[0]
    assert agent.ask({"op": "facts"}).facts.python == hello.python
    agent.block(file_job(tmp_path / "gone.onnx", "onnxruntime") | {"cpus": [0], "memory_mb": 2000})
    started, result = agent.entries(2)
    assert (started.id, result.id) == ("gone.onnx", "gone.onnx")
    assert result.status == "crashed"
    assert "onnxruntime" in result.error
    assert agent.quit(forget=True) == 0
