"""The application: its verbs, and the one place where errors become sentences and exit codes.

Exit codes: 0 done; 1 measured, but a gate failed (a budget missed, a check with errors); 2 bad input or a board
that cannot be used; 130 interrupted.
"""

from __future__ import annotations

import errno
import sys

import typer

from edgecost.cli import (
    describe,
    devices,
    energy,
    fit,
    fleet,
    fusion,
    postprocess,
    predict,
    profile,
    quickstart,
    report,
    rmi,
    scale,
    search,
    study,
    table,
    train,
    transfer,
    validate,
    verify,
)

__all__ = ["app", "main"]

app = typer.Typer(
    name="edgecost",
    help="What a neural network costs on an edge board, and which network is best within that cost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command("quickstart")(quickstart.quickstart)
app.add_typer(fleet.app, name="fleet")
app.add_typer(devices.app, name="devices")
app.add_typer(energy.app, name="energy")
app.command("describe")(describe.describe)
app.command("profile")(profile.profile)
app.add_typer(table.app, name="table")
app.command("fusion")(fusion.fusion)
app.command("fit")(fit.fit)
app.command("validate")(validate.validate)
app.command("predict")(predict.predict)
app.add_typer(transfer.app, name="transfer")
app.add_typer(rmi.app, name="rmi")
app.add_typer(search.app, name="search")
app.add_typer(study.app, name="study")
app.command("scale")(scale.scale)
app.command("postprocess")(postprocess.postprocess)
app.command("train")(train.train)
app.command("verify")(verify.verify)
app.command("report")(report.report)


def _version(value: bool) -> None:
    if value:
        from edgecost import __version__

        typer.echo(f"edgecost {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Profile edge boards over SSH, predict what networks cost, search within a budget."""


def _system_sentence(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{where}; free some space and run the same command again, nothing is lost"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"not allowed to write or read{where}; choose another folder or mend its permissions"
    return f"{error.strerror or error}{where}"


def _shown(error: Exception) -> str:
    """An error as a terminal may show it: it may quote names out of a stranger's model."""
    from profiler.fleet.messages import escape

    return "\n".join(escape(line, 2000) for line in str(error).split("\n"))


def main() -> None:
    """Entry point of the `edgecost` command."""
    from profiler.errors import EdgeCostError

    try:
        app()
    except EdgeCostError as error:
        typer.echo(f"edgecost: {_shown(error)}", err=True)
        sys.exit(2)
    except OSError as error:
        typer.echo(f"edgecost: {_system_sentence(error)}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("edgecost: interrupted; the same command continues where this one stopped", err=True)
        sys.exit(130)
