"""A runtime is accepted once it ran a model, with the right output, in a process of its own.

An import proves nothing: tflite-runtime beside numpy 2 imports, and fails when a model is loaded; some wheels die of an
illegal instruction on older cores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.version import InvalidVersion, Version

from profiler.errors import ArtefactError, ConfigError, DeviceError, UnsupportedOperator
from profiler.fleet.messages import Reply, escape
from profiler.fleet.probing import probing_config, probing_workload
from profiler.fleet.sessions.session import BoardSession
from profiler.fleet.targets import Target
from profiler.measure.record import Status
from profiler.workloads.artefacts import Artefact, ArtefactCache

__all__ = ["Probe", "make_probes", "try_probes"]

Probe = tuple[Target, Artefact]
"""A model, and as what it is run."""

_CONFIG = probing_config(job_timeout_s=300.0)

_NOT_THE_VERSIONS_FAULT: frozenset[Status] = frozenset({"link_lost", "disk_full", "out_of_memory", "timed_out"})


def make_probes(targets: Iterable[Target], folder: Path) -> list[Probe]:
    """One model for each precision among the targets of one runtime, to be run on the CPU.

    Accelerators need libraries that no wheel brings; `devices check` is about those.

    Raises:
        ConfigError: this host cannot make it, since the runtime is missing here.
    """
    probes: dict[str, Probe] = {}
    cache = ArtefactCache(folder)
    for target in targets:
        try:
            artefact = cache.get(probing_workload(), target.runtime, target.precision)
        except (ArtefactError, UnsupportedOperator, ImportError) as error:
            raise ConfigError(
                f"This host cannot make a model to try {target.id} with ({error}): install the runtimes here "
                '(`pip install "edgecost[all]"`).'
            ) from error
        plain = Target(target.device_id, target.runtime, target.precision)
        probes.setdefault(target.precision, (plain, artefact))
    return list(probes.values())


def try_probes(session: BoardSession, probes: Sequence[Probe], version: str) -> str | None:
    """Run them in fresh workers; None when all is well, else what was wrong.

    Args:
        session: with the board.
        probes: what to run.
        version: of the runtime that is meant to run them.

    Raises:
        DeviceError: it went wrong for a reason that another version would not mend.
    """
    for target, artefact in probes:
        reply = session.measure(artefact, target, _CONFIG, fresh=True)
        if _was_killed(reply):  # by somebody, or for memory: no version does that to itself; it may not happen again
            reply = session.measure(artefact, target, _CONFIG, fresh=True)
        if reply.status in _NOT_THE_VERSIONS_FAULT or _was_killed(reply):
            raise DeviceError(
                f"{target.id} could not be tried ({reply.status}: {reply.error}): mend that on the board, then run "
                "this again.",
                session.device.id,
            )
        if reply.status != "ok":
            return escape(f"{target.precision}: {reply.status} ({reply.error})", 300)
        if not _is_version(reply, version):
            return escape(f"{reply.env.get('runtime')} came before it: is it installed in the board's Python?", 300)
    return None


def _was_killed(reply: Reply) -> bool:
    return reply.status == "crashed" and "SIGKILL" in reply.error


def _is_version(reply: Reply, version: str) -> bool:
    """Whether the runtime that answered is of this version, build tags such as "+cpu" aside."""
    try:
        return Version(str(reply.env.get("runtime")).rpartition(" ")[2]).public == Version(version).public
    except InvalidVersion:  # plug-ins may say what they like
        return True
