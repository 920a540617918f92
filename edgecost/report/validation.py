"""Validations of predictors as one offline page: what was left out, and transfer between devices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecost.report.collect import disclaimer
from edgecost.report.documents import read_document
from edgecost.report.formats import short_names
from edgecost.report.templates import write_still
from edgecost.report.validation_left_out import OVERVIEW, LeftOutTarget, left_out_targets
from edgecost.report.validation_transfer import METHOD_COLUMNS, TransferProtocol, transfer_protocol

__all__ = ["Validations", "validations", "write_validations"]


@dataclass(frozen=True, slots=True)
class Validations:
    """What a folder holds.

    Attributes:
        left_out: targets by leaving out, in the order of files.
        transfer: protocols of transfer, likewise.
    """

    left_out: list[LeftOutTarget]
    transfer: list[TransferProtocol]


def validations(folder: Path) -> Validations | None:
    """The validations that lie in a folder, whatever their files are called; None where there are none.

    Raises:
        StorageError: a JSON file there is damaged.
    """
    found = Validations([], [])
    for path in sorted(folder.glob("*.json")):
        names = (read_document(path) or {}).keys()
        if {"schema", "protocol", "summary"} <= names:
            found.transfer.append(transfer_protocol(path))
        elif {"schema", "seeds", "targets"} <= names:
            found.left_out.extend(left_out_targets(path))
    return found if found.left_out or found.transfer else None


def write_validations(found: Validations, out: Path) -> Path:
    """Write the page.

    Raises:
        StorageError: where it cannot be written.
    """
    names = short_names([target.name for target in found.left_out])
    rows = [[names[target.name], *target.overview] for target in found.left_out]
    methods = list(dict.fromkeys(method for protocol in found.transfer for method in protocol.means))
    return write_still(
        "validation.html.j2", out, found=found, disclaimer=disclaimer(target.emulation for target in found.left_out),
        overview=("target", *OVERVIEW), rows=rows, columns=METHOD_COLUMNS, methods=methods,
    )  # fmt: skip
