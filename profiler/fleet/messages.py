"""Everything an agent may say, and nothing else: sizes bounded, numbers finite, text made safe to show.

What arrives from a board is hostile until it has passed through `parse_message`.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from profiler.errors import AgentCrashed
from profiler.fleet.fields import EnvValue, Issue, Name, Nanoseconds, NotNegative, ProcessId, Text, escape
from profiler.measure.record import ISSUES, Power, Status

__all__ = [
    "Bye",
    "ClusterFacts",
    "Complaint",
    "Dropped",
    "EnvironmentFacts",
    "Facts",
    "FactsMessage",
    "Heartbeat",
    "Hello",
    "Message",
    "Missing",
    "Name",
    "Queued",
    "Reply",
    "Result",
    "Started",
    "Text",
    "escape",
    "parse_message",
]

MAX_LINE_BYTES = 4 << 20
"""Four times what the largest result takes; validating takes some twenty times as much memory as the line itself."""

MAX_SAMPLES = 100_000
MAX_UPDATES = 20_000
MAX_FIELDS = 256
"""Of one object."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ClusterFacts(BaseModel):
    """Cores of one kind, by the kernel's cpu_capacity and cpufreq policies."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    cpus: Annotated[list[Annotated[int, Field(ge=0, le=65535)]], Field(min_length=1, max_length=4096), FailFast()]
    capacity: Annotated[int, Field(ge=0, le=10**6)] | None = None
    max_mhz: Annotated[int, Field(ge=0, le=10**6)] | None = None
    governor: Text | None = None


class EnvironmentFacts(BaseModel):
    """A provisioned environment: where a runtime is loaded from, and which distributions it holds."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    digest: Name
    distributions: Annotated[dict[Name, Text], Field(max_length=100)] = Field(default_factory=dict)


class Facts(BaseModel):
    """What a board is. Facts that this host does not know of are dropped.

    Attributes:
        machine_id: tells machines apart; a hash.
        cpu_model, arch, logical_cores, memory_mb, kernel, os, libc: of the machine.
        python, executable: of the interpreter that runs the agent.
        runtimes: versions, by distribution and by runtime; of a provisioned runtime those of its environment.
        environments: the provisioned environments, by runtime.
        clusters: the kinds of cores, the strongest first.
        markers: what PEP 508's environment markers stand for in the board's Python.
        energy_sensor: "rapl" where energy can be read.
        governor, pinned, affinity, freq_mhz, load_1min: at the moment of asking.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    machine_id: Name
    cpu_model: Text
    arch: Text
    logical_cores: Annotated[int, Field(ge=1, le=65536)]
    memory_mb: Annotated[int, Field(ge=1, le=2**40)] | None = None
    kernel: Text = ""
    os: Text = ""
    libc: Text = ""
    python: Text = ""
    executable: Text = ""
    runtimes: Annotated[dict[Name, Text], Field(max_length=50)] = Field(default_factory=dict)
    environments: Annotated[dict[Name, EnvironmentFacts], Field(max_length=20)] = Field(default_factory=dict)
    clusters: Annotated[list[ClusterFacts], Field(max_length=64), FailFast()] = Field(default_factory=list)
    markers: Annotated[dict[Name, Text], Field(max_length=20)] = Field(default_factory=dict)
    energy_sensor: Text | None = None
    governor: Text | None = None
    pinned: bool = False
    affinity: Text = ""
    freq_mhz: NotNegative | None = None
    load_1min: NotNegative | None = None


class Hello(_Strict):
    """The agent's first words to whoever attaches.

    Attributes:
        protocol: the version of the conversation.
        pid, start: of the agent's process; `start` is its start time as the board's kernel counts, which tells it
            apart from a later process of the same number.
        boot_id: changes when the board reboots.
        session: which session's agent this is.
        entries: so many entries does its journal hold.
        running: the id of the job that is running; None when none is.
        queued: so many jobs wait behind it.
    """

    event: Literal["hello"]
    protocol: Annotated[int, Field(ge=0, le=10**6)]
    pid: ProcessId
    start: Text
    boot_id: Text
    session: Name
    python: Text
    entries: Annotated[int, Field(ge=0, le=10**9)]
    running: Name | None
    queued: Annotated[int, Field(ge=0, le=10**6)]


class FactsMessage(_Strict):
    """The answer to "facts"."""

    event: Literal["facts"]
    facts: Facts


class Missing(_Strict):
    """The answer to "have": the places in its list of the files that are not there whole."""

    event: Literal["missing"]
    places: Annotated[list[Annotated[int, Field(ge=0, le=10**6)]], Field(max_length=10_000), FailFast()]


class Queued(_Strict):
    """The answer to "block": so many of its jobs wait now (those that are journaled already do not)."""

    event: Literal["queued"]
    jobs: Annotated[int, Field(ge=0, le=10**6)]


class Dropped(_Strict):
    """The answer to "drop": no job waits or runs any more."""

    event: Literal["dropped"]


class Bye(_Strict):
    """The answer to "quit", and the agent's last words whenever it ends of its own accord."""

    event: Literal["bye"]
    why: Text


class Started(_Strict):
    """Entry `seq` of the board's journal: a job was taken up."""

    event: Literal["started"]
    seq: Annotated[int, Field(ge=0, le=10**9)]
    id: Name


class Heartbeat(_Strict):
    """The agent lives; sent every few seconds while a host is attached. `running` is the id of the running job."""

    event: Literal["heartbeat"]
    running: Name | None


class Complaint(_Strict):
    """The agent could not make sense of a request."""

    event: Literal["error"]
    error: Text


Spell = Annotated[list[Annotated[int, Field(ge=0, le=10**12)]], Field(min_length=2, max_length=2)]


class PowerReading(_Strict):
    """What a power sensor showed; the fields are those of `profiler.measure.record.Power`."""

    sensor: Text
    scope: Literal["wall", "board-in", "module-in", "SoC-rails", "core-rail", "battery"]
    form: Literal["power", "energy"]
    times_us: Annotated[list[Annotated[int, Field(ge=0, le=10**12)]], Field(max_length=MAX_UPDATES), FailFast()]
    values: Annotated[list[Annotated[int, Field(ge=-(10**15), le=10**15)]], Field(max_length=MAX_UPDATES), FailFast()]
    polls: Annotated[int, Field(ge=0, le=10**9)]
    lsb: NotNegative
    periodic_uw: NotNegative = 0.0
    gain_u: NotNegative
    offset_uw: NotNegative
    idle_before_us: Spell
    load_us: Spell
    idle_after_us: Spell
    runs: Annotated[int, Field(ge=0, le=10**12)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if len(self.times_us) != len(self.values) or any(b < a for a, b in pairwise(self.times_us)):
            raise ValueError("a power record out of order")
        return self

    def record(self) -> Power:
        """As the journal holds it."""
        data: dict[str, Any] = self.model_dump()
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
        return Power(**values)


class Reply(_Strict):
    """The outcome of one job: samples, or a typed failure, never both and never neither.

    The fields are those of `profiler.measure.record.Measurement`. `error` and all other text is escaped.
    """

    status: Status
    issues: Annotated[list[Issue], Field(max_length=len(ISSUES)), FailFast()]
    samples_ns: Annotated[list[Nanoseconds], Field(max_length=MAX_SAMPLES), FailFast()]
    runs_per_batch: Annotated[int, Field(ge=0, le=10**9)]
    load_ns: Nanoseconds | None
    first_run_ns: Nanoseconds | None
    warmup_runs: Annotated[int, Field(ge=0, le=10**12)]
    output_error: NotNegative | None
    energy_mj: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    error: Text
    env: Annotated[dict[Name, EnvValue], Field(max_length=100)]
    power: PowerReading | None = None

    @model_validator(mode="after")
    def _either_samples_or_failure(self) -> Self:
        if self.status == "ok" and not (self.samples_ns and self.runs_per_batch):
            raise ValueError("a success without samples")
        if self.status != "ok" and (self.samples_ns or self.energy_mj is not None):
            raise ValueError("a failure with samples")
        return self


class Result(Reply):
    """Entry `seq` of the board's journal: a job ended."""

    event: Literal["result"]
    seq: Annotated[int, Field(ge=0, le=10**9)]
    id: Name

    def reply(self) -> Reply:
        """The reply alone."""
        return Reply.model_construct(**{name: getattr(self, name) for name in Reply.model_fields})


Message = Hello | FactsMessage | Missing | Queued | Dropped | Bye | Started | Heartbeat | Complaint | Result


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object with a bounded number of fields: pydantic would make an error of each that is wrong."""
    found = dict(pairs)
    if len(pairs) > MAX_FIELDS or len(found) != len(pairs):
        raise ValueError(f"an object of {len(pairs)} fields, or one that names a field twice")
    return found


_ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="event")])


def parse_message(line: bytes, device_id: str = "") -> Message:
    """One line of an agent, validated.

    Args:
        line: as it came over the link.
        device_id: of the board, for the error.

    Raises:
        AgentCrashed: for anything that is not a message of the protocol.
    """
    if len(line) > MAX_LINE_BYTES:
        raise _nonsense(device_id, f"a line of {len(line)} bytes")
    try:
        # not pydantic's own reader: each of its errors keeps a copy of the whole line, made of Python objects
        value = json.loads(line.decode("utf-8"), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise _nonsense(device_id, f"no JSON: {escape(str(error), 150)}") from None
    try:
        return _ADAPTER.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        # both may quote what the board sent
        raise _nonsense(device_id, escape(f"{where}: {first['msg']}" if where else first["msg"], 200)) from None


def _nonsense(device_id: str, what: str) -> AgentCrashed:
    return AgentCrashed(
        f"The agent on {device_id or 'the board'} sent what is not of its protocol ({what}): "
        "run this again, and if it stays so, check what else uses the board's workdir.",
        device_id,
    )
