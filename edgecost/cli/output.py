"""Speaking to people and to programs: tables, JSON and progress, all of it escaped."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as RichProgress

__all__ = ["Bar", "JsonOption", "emit_json", "progress", "say", "show_table"]

JsonOption = typer.Option(False, "--json", help="Print one JSON document instead of text.")


def emit_json(data: Any) -> None:
    """Print one JSON document; NaN becomes null, since JSON has none."""
    typer.echo(json.dumps(_plain(data), indent=2, sort_keys=False))


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(k): _plain(v) for k, v in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(v) for v in data]
    if isinstance(data, float) and data != data:
        return None
    if hasattr(data, "item"):
        return _plain(data.item())
    return data


def say(text: str) -> None:
    """One line on stderr: what is being done, apart from the answer on stdout."""
    typer.echo(text, err=True)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> None:
    """Print a table; the columns whose indices are in `right` are aligned to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)


class Bar:
    """A campaign's progress: a bar with time left on a terminal, plain lines every few seconds elsewhere."""

    def __init__(self, label: str, quiet: bool = False, detailed: bool = False) -> None:
        self._label = label
        self._detailed = detailed
        self._quiet = quiet
        self._rich: RichProgress | None = None
        self._task: Any = None
        self._total = self._done = 0
        self._started = self._spoken = time.monotonic()

    def __enter__(self) -> Bar:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._rich = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[what]}", markup=False),
                console=Console(stderr=True),
                transient=True,
            )
            self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rich is not None:
            self._rich.stop()

    def start(self, total: int, done: int = 0) -> None:
        """Announce how many steps there are, or that their number has changed, `done` of them being done."""
        if not done:
            self._started = time.monotonic()
        self._total, self._done = total, done
        if self._rich is not None:
            if self._task is not None and done:
                self._rich.update(self._task, total=total, completed=done)
                return
            if self._task is not None:
                self._rich.remove_task(self._task)
            self._task = self._rich.add_task(self._label, total=total, completed=done, what="")

    def advance(self, label: str = "") -> None:
        """One step is done."""
        self._done += 1
        if self._rich is not None:
            self._rich.update(self._task, advance=1, what=label[: 100 if self._detailed else 40])
            return
        now = time.monotonic()
        if not self._quiet and (now - self._spoken > 10 or self._done == self._total):
            self._spoken = now
            left = (now - self._started) / self._done * max(0, self._total - self._done)
            what = f"; {label}" if self._detailed and label else ""
            say(f"{self._label}: {self._done} of {self._total}, about {left:.0f} s left{what}")

    def message(self, text: str) -> None:
        """A line worth reading between the steps."""
        if self._quiet:
            return
        if self._rich is not None:
            self._rich.console.print(text, markup=False, highlight=False)
        else:
            say(f"{self._label}: {text}")


@contextmanager
def progress(label: str, quiet: bool = False, detailed: bool = False) -> Iterator[Bar]:
    """A progress bar for the length of a block; work that shows one can be interrupted and continued.

    Args:
        label: what is being done.
        quiet: show nothing.
        detailed: what a step says of itself is worth reading whole.
    """
    try:
        with Bar(label, quiet, detailed) as bar:
            yield bar
    except KeyboardInterrupt:
        say("edgecost: interrupted; nothing measured is lost, and the same command continues where this one stopped")
        raise typer.Exit(130) from None
