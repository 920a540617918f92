"""The packages' own code as syntax trees, for tests that hold what no line of it may do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("edgecost", "profiler", "predictors", "search")


@dataclass(frozen=True)
class Source:
    """One file.

    Attributes:
        name: its path from the root of the repository.
        tree: its syntax tree, each node of which knows its `parent`.
        names: what each imported name stands for, as a dotted path.
    """

    name: str
    tree: ast.Module
    names: dict[str, str]


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        source: where it is.
        node: the call.
        callee: what is called, by the names that were imported: "subprocess.run" also where `from subprocess import
            run as go` stands above and `go()` is written. An unknown object's method begins with a dot: ".run".
    """

    source: Source
    node: ast.Call
    callee: str

    def __str__(self) -> str:
        return f"{self.source.name}:{self.node.lineno} {self.callee}"

    @property
    def method(self) -> str:
        """The last word of what is called."""
        return self.callee.rpartition(".")[2]

    def keyword(self, name: str) -> ast.expr | None:
        """The value given to a keyword."""
        return next((keyword.value for keyword in self.node.keywords if keyword.arg == name), None)


def parse(name: str, text: str) -> Source:
    """A source of a text."""
    tree = ast.parse(text)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node  # type: ignore[attr-defined]
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = alias.name if alias.asname else ""
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return Source(name, tree, {name: path or name for name, path in names.items()})


@cache
def sources() -> tuple[Source, ...]:
    """Every module of the packages."""
    files = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return tuple(parse(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in files)


def calls(of: tuple[Source, ...]) -> Iterator[Call]:
    """Every call in them."""
    for source in of:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call):
                yield Call(source, node, _path(node.func, source.names))


def _path(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        before = _path(node.value, names)
        root = before.partition(".")[0]
        known = root in {path.partition(".")[0] for path in names.values()}
        return f"{before}.{node.attr}" if known else f".{node.attr}"
    return ""


def imports(of: tuple[Source, ...]) -> Iterator[tuple[str, str]]:
    """(where, which module) of every import."""
    for source in of:
        for node in ast.walk(source.tree):
            where = f"{source.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                yield from ((where, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from ((where, f"{node.module}.{alias.name}") for alias in node.names)


def texts(of: tuple[Source, ...]) -> Iterator[tuple[str, str, ast.Constant]]:
    """(where, text, node) of every text in code; docstrings are no code."""
    for source in of:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and not _is_docstring(node):
                yield f"{source.name}:{node.lineno}", node.value, node


def _is_docstring(node: ast.Constant) -> bool:
    return isinstance(getattr(node, "parent", None), ast.Expr)
