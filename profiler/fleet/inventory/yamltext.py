"""YAML as text: what is where, so that complaints can name lines and one value can be changed in place."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from profiler.errors import ConfigError, StorageError

__all__ = [
    "Location",
    "append_item",
    "field_name",
    "find_line",
    "node_at",
    "parse",
    "read_text",
    "sequence_item",
    "set_scalar",
    "write_atomically",
]

Location = tuple[int | str, ...]


def read_text(path: Path) -> str:
    """A devices file's text with its line ends as they are; ConfigError when there is none."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError as error:
        raise ConfigError(
            f"There is no {path}: write one after the example devices.yaml, or start the embedded fleet with "
            "`edgecost fleet up` and use its file."
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error


def parse(text: str, path: Path) -> tuple[yaml.Node | None, Any]:
    """The tree of nodes, which knows lines, and the value; ConfigError that names the line of what is malformed."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        for key in _duplicate_keys(root):
            raise ConfigError(f"{path}, line {key.start_mark.line + 1}: `{key.value}` is given twice: remove one.")
        return root, yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark is not None else str(path)
        problem = getattr(error, "problem", None) or "it holds a character that YAML does not allow"
        raise ConfigError(
            f"{where}: this is not YAML ({problem}): check indentation, quotes and colons there."
        ) from error
    except (RecursionError, ValueError) as error:  # ValueError: such as a date of month 13
        raise ConfigError(f"{path} cannot be understood ({error}): see the example devices.yaml.") from error


def _duplicate_keys(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """YAML's reader keeps the last of two equal keys; here a board must not lose its first host_key silently."""
    waiting, visited = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in visited:  # aliases may lead back
            continue
        visited.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            scalars = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            names = [key.value for key in scalars]
            yield from (key for number, key in enumerate(scalars) if key.value in names[:number])
            waiting += [value for _, value in node.value]


def field_name(location: Location) -> str:
    """Such as "devices[0].port"."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def find_line(root: yaml.Node | None, location: Location) -> int:
    """The line, from 1, of a place in the file, or of the nearest place around it that exists."""
    node, line = root, 1
    for part in location:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
            continue
        match = _entry(node, str(part))
        if match is None:
            break
        line, node = match[0].start_mark.line + 1, match[1]
    return line


def node_at(root: yaml.Node | None, location: Location) -> yaml.Node | None:
    """The node at a place in the file; None where there is none, and for what a merge brought there."""
    node = root
    for part in location:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            continue
        match = _entry(node, str(part))
        if match is None:
            return None
        node = match[1]
    return node


def _entry(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next(((key, value) for key, value in node.value if key.value == name), None)


def set_scalar(text: str, mapping: yaml.MappingNode, name: str, value: str, *, after: str) -> str:
    """`text` with `name: "value"` in `mapping` (of the same text) replaced, or inserted after the entry `after`.

    All else, comments and line ends included, stays as it is.
    """
    quoted = f'"{value}"'
    present = _entry(mapping, name)
    if present is not None:
        start, end = present[1].start_mark.index, present[1].end_mark.index
        gap = " " if start == end and text[start - 1 : start] == ":" else ""  # "host_key:" with nothing behind it
        return text[:start] + gap + quoted + text[end:]
    before = _entry(mapping, after)
    if before is None:
        raise ValueError(f"the mapping has no entry {after!r}")
    end = before[1].end_mark.index
    if mapping.flow_style:
        return f"{text[:end]}, {name}: {quoted}{text[end:]}"
    line_end = text.find("\n", end)
    newline = "\r\n" if text[line_end - 1 : line_end] == "\r" else "\n"
    entry = " " * before[0].start_mark.column + f"{name}: {quoted}"
    if line_end < 0:
        return text + newline + entry
    return text[: line_end + 1] + entry + newline + text[line_end + 1 :]


def append_item(text: str, sequence: yaml.Node | None, item: str) -> str | None:
    """`text` with `item` (a mapping's text, not indented) as the last of `sequence` (of the same text).

    All else, comments and line ends included, stays as it is. None where the sequence is not written line by line.
    """
    if not isinstance(sequence, yaml.SequenceNode) or sequence.flow_style or not sequence.value:
        return None
    # trailing comments belong to a block for the parser, but to what follows for people: go by the last word
    end = len(text[: _last_index(sequence.value[-1])].rstrip())
    line_end = text.find("\n", end)
    head, tail = (text, "") if line_end < 0 else (text[: line_end + 1], text[line_end + 1 :])
    newline = "\r\n" if "\r\n" in text else "\n"
    added = "\n" + sequence_item(item, sequence.start_mark.column)
    return (head if head.endswith("\n") else head + newline) + added.replace("\n", newline) + tail


def sequence_item(item: str, indent: int) -> str:
    """A mapping's text as an item of a sequence whose hyphens stand in column `indent`."""
    lines = item.strip("\n").split("\n")
    marks = ["- ", *["  "] * (len(lines) - 1)]
    return "".join(f"{' ' * indent}{mark}{line}".rstrip() + "\n" for mark, line in zip(marks, lines, strict=True))


def _last_index(node: yaml.Node) -> int:
    """Where the last word of a node ends; what an alias stands for lies further up, which does no harm."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        parts = [part for entry in node.value for part in (entry if isinstance(entry, tuple) else (entry,))]
        return max(_last_index(part) for part in parts)
    return int(node.end_mark.index)


def write_atomically(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write a text file so that it is there in full or not at all; keeps the old file's mode unless `mode` is given.

    Raises:
        StorageError: it cannot be written.
    """
    path = path.resolve()  # replacing a link would part it from its file
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        elif path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise StorageError(f"{path} cannot be written: {error.strerror}; check the folder's permissions.") from error
