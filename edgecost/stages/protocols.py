"""Published transfer protocols on a table of devices' latencies: every method beside every other, written as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import finite_row, write_json
from edgecost.stages.transferring import known_tables, parsed, pool_of
from profiler.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from predictors.transfer.latencies import LatencyTable
    from predictors.transfer.validation.protocols import Protocol

__all__ = ["COMMAND", "WHAT", "read_protocol", "run_protocol"]

SCHEMA = 1

WHAT = "validation of transfer"
COMMAND = "edgecost validate --protocol NAME --out FILE"
"""What a sentence calls such a file, and what writes it."""


def run_protocol(
    name: str,
    data: Sequence[Path] = (),
    sources: Sequence[str] = (),
    targets: Sequence[str] = (),
    samples: int | None = None,
    seeds: int = 6,
    out: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run a protocol.

    Targets of a named protocol that the data lack are left out and named in the answer, unless `targets` lists them
    itself; sources never are.

    Args:
        name: see `predictors.transfer.validation.protocols.find_protocol`.
        data: tables; the public one of `EDGECOST_DATA` beneath them.
        sources, targets, samples: instead of the protocol's.
        seeds: repetitions, from seed 0 on.
        out: JSON file to write; None writes nothing.
        progress: told of every target done.

    Raises:
        ConfigError: where there is no data, or devices are missing.
    """
    from predictors.transfer.validation.evaluate import LEVEL, evaluate, evaluate_each, evaluate_single, summary
    from predictors.transfer.validation.protocols import find_protocol
    from search.spaces import find_space

    if seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, not {seeds}")
    protocol = find_protocol(name, sources, targets, samples)
    table = known_tables(data, protocol.space or ("" if data else "nasbench201"))
    if table is None:
        raise ConfigError(
            f"{name} needs a table of devices' latencies: give one with --data (device, latency_ms and arch_str or "
            "op_idx), or name the folder of the public ones in EDGECOST_DATA"
        )
    protocol, missing = _with_given_targets(protocol, table, bool(targets))
    space = find_space(table.space)
    pool = pool_of(space, parsed(space, table.architectures, table.path))
    run = {"single-device": evaluate_single, "leave-one-out": evaluate_each}.get(name.split(":")[0], evaluate)
    rows = run(protocol, pool, table, range(seeds), progress)
    answer = {
        "schema": SCHEMA,
        "protocol": name,
        "space": table.space,
        "sources": list(protocol.sources),
        "targets": list(dict.fromkeys(row.target for row in rows)),
        "missing_targets": missing,
        "samples": protocol.samples,
        "source_samples": protocol.source_samples,
        "seeds": list(range(seeds)),
        "level": LEVEL,
        "published_mean_spearman": dict(protocol.published),
        "published_by_target": {k: dict(v) for k, v in protocol.published_targets.items()},
        "published_origin": protocol.origin,
        "summary": [finite_row(row) for row in summary(rows)],
        "rows": [
            finite_row(
                {"target": r.target, "seed": r.seed, "method": r.method, "transfer_share": r.transfer_share, **r.scores}
            )
            for r in rows
        ],
    }
    if out is not None:
        write_json(out, answer)
    return answer


def _with_given_targets(protocol: Protocol, table: LatencyTable, asked: bool) -> tuple[Protocol, list[str]]:
    missing = [device for device in protocol.targets if device not in table.devices]
    lacks_source = any(device not in table.devices for device in protocol.sources)
    if lacks_source or (missing and (asked or len(missing) == len(protocol.targets))):
        table.need((*protocol.sources, *missing), protocol.name)
    return replace(protocol, targets=tuple(t for t in protocol.targets if t not in missing)), missing


def read_protocol(path: Path) -> dict[str, Any]:
    """What `run_protocol` wrote to a file.

    Raises:
        StorageError: it cannot be read, or is no such file.
    """
    known = (
        "protocol", "space", "sources", "targets", "missing_targets", "samples", "source_samples", "seeds", "level",
        "published_mean_spearman", "published_by_target", "published_origin", "summary", "rows",
    )  # fmt: skip
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] > SCHEMA:
            raise StorageError(f"{path} has schema {data['schema']}, newer than {SCHEMA}; update edgecost")
        return {name: data[name] for name in known}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} is no {WHAT} ({error!r}); `{COMMAND}` writes one") from None
