"""Campaigns for the arena, and the judgement of what they and the boards wrote down."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from profiler.errors import EdgeCostError
from profiler.fleet.plugins import using
from profiler.fleet.sessions.conversation import SessionLimits
from profiler.fleet.sessions.session import BoardSession
from profiler.fleet.targets import Device
from profiler.fleet.transport.ssh import Limits
from profiler.fleet.transport.ssh import connect as connect_ssh
from profiler.measure.campaign import Campaign, CampaignResult
from profiler.measure.journal import read_journal
from profiler.measure.ledger import NOT_MEASURED
from profiler.measure.limits import CampaignLimits
from profiler.measure.progress import Progress
from profiler.measure.record import Measurement
from tests.faults.arena import Bench
from tests.faults.chaos_runtime import CONFIG, SPEC, Source, Task, expected

RUN = "r1"
LIMITS = CampaignLimits(patience_s=60.0, retry_wait_s=0.1, longest_wait_s=1.0, block_jobs=8)
SESSION_LIMITS = SessionLimits(start_s=10.0, machine_lease_s=60.0, silence_s=8.0, margin_s=10.0, replay_s=30.0)
LINK_LIMITS = Limits(
    connect_s=5.0, handshake_s=8.0, auth_s=8.0, channel_s=8.0, transfer_s=20.0, keepalive_s=2.0, dead_peer_s=8.0
)


class KeptSession(BoardSession):
    """A session that leaves the board's journal behind, since it is evidence."""

    def finish(self) -> None:
        """The campaign is over."""
        self.close()


def connect(device: Device, session: str) -> BoardSession:
    """Opens sessions with limits of tests."""
    return KeptSession(device, connect_ssh(device, LINK_LIMITS), session, SESSION_LIMITS)


def campaign(
    device: Device,
    tasks: Sequence[Task],
    folder: Path,
    limits: CampaignLimits = LIMITS,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> CampaignResult:
    """One campaign on one board, with results below `folder`; the runtime must be known (`knowing_chaos`)."""
    doing = Campaign(
        connect, Source(folder / "artefacts"), folder / "results", CONFIG, limits=limits, progress=progress, stop=stop
    )
    return doing.run(device, device.targets[0], [task.job for task in tasks], RUN)


def knowing_chaos() -> contextlib.AbstractContextManager[None]:
    """The process knows the runtime for as long as this lasts."""
    return using(SPEC)


class Running:
    """A campaign in a thread of this process; a context manager that waits for its end.

    Attributes:
        result: what it returned, or None.
        error: what it raised, or None.
    """

    def __init__(
        self,
        bench: Bench,
        tasks: Sequence[Task],
        folder: Path,
        limits: CampaignLimits = LIMITS,
        *,
        direct: bool = False,
    ) -> None:
        self.result: CampaignResult | None = None
        self.error: EdgeCostError | None = None
        self.stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(bench.direct if direct else bench.device, tasks, folder, limits)
        )

    def _run(self, device: Device, tasks: Sequence[Task], folder: Path, limits: CampaignLimits) -> None:
        try:
            self.result = campaign(device, tasks, folder, limits, stop=self.stop)
        except EdgeCostError as error:
            self.error = error

    def wait(self, patience_s: float = 120.0) -> None:
        """Until it is over."""
        self._thread.join(patience_s)
        assert not self._thread.is_alive(), "the campaign hangs"

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if exc[0] is not None:
            self.stop.set()
        self.wait()


@dataclass
class Verdict:
    """What became of a board's tasks.

    Attributes:
        jobs: how many there were.
        ended: with how many an end of their own is journaled by the host.
        lost: tasks that never ended; twice: tasks that ended more than once; strangers: ends of no task.
        wrong: "task: status instead of status", where no fault accounts for it.
        repeats: how often a board began a job again.
        board_twice: jobs that a board ended more than once.
        excused: failures that faults account for: "worker killed", "given up" (three agents died of the job).
        excuses: the same in words.
    """

    jobs: int = 0
    ended: int = 0
    repeats: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    board_twice: list[str] = field(default_factory=list)
    excused: Counter[str] = field(default_factory=Counter)
    excuses: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether every promise about jobs was kept."""
        return not (self.lost or self.twice or self.strangers or self.wrong or self.board_twice)

    def __add__(self, other: Verdict) -> Verdict:
        return replace(
            self,
            **{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__},
        )


def records(folder: Path, device_id: str) -> list[Measurement]:
    """What the host's journal holds of a board; every line of it is whole."""
    path = folder / "results" / device_id / RUN / "journal.jsonl"
    if not path.exists():
        return []
    contents = read_journal(path)
    assert not contents.corrupt, contents.corrupt
    return list(contents.measurements)


def judge(bench: Bench, tasks: Iterable[Task], folder: Path, worker_kills: int = 0) -> Verdict:
    """Hold the journals of host and board against what was to come of the tasks.

    Args:
        bench: the board.
        tasks: what it was given.
        folder: of the campaign.
        worker_kills: how many workers were killed there: so many jobs may have crashed that would not have.
    """
    wanted = expected(list(tasks))
    journal = records(folder, bench.device.id)
    # a board may have done other hosts' jobs too; a new try of a job has its key and a number
    ours = {record.job_key for record in journal}
    starts = Counter({key: count for key, count in bench.starts().items() if key.split(".")[0] in ours})
    ends = Counter({key: count for key, count in bench.ends().items() if key in starts})
    verdict = Verdict(jobs=len(wanted), repeats=sum(starts.values()) - len({key.split(".")[0] for key in starts}))
    verdict.board_twice = [key for key, count in ends.items() if count > 1]
    finals: dict[str, list[Measurement]] = {key: [] for key in wanted}
    for record in journal:
        if record.workload_key not in finals:
            verdict.strangers.append(record.job_key)
        elif record.status not in NOT_MEASURED:
            finals[record.workload_key].append(record)
    for key, found in finals.items():
        if len(found) != 1:
            (verdict.twice if found else verdict.lost).append(key)
            continue
        verdict.ended += 1
        (record,) = found
        if record.status == wanted[key]:
            continue
        tries = max((count for key, count in starts.items() if key.startswith(record.job_key)), default=0)
        text = f"{record.status} ({record.error}) instead of {wanted[key]}, begun {tries} times"
        if record.status == "crashed" and "SIGSEGV" in record.error and verdict.excused["worker killed"] < worker_kills:
            verdict.excused["worker killed"] += 1
            verdict.excuses.append(text)
        elif record.status in ("crashed", "link_lost") and tries >= LIMITS.faults_a_job and "times" in record.error:
            verdict.excused["given up"] += 1
            verdict.excuses.append(text)
        else:
            verdict.wrong.append(f"{key}: {text}")
    return verdict
