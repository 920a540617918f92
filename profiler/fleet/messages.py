"""Everything an agent may say, and nothing else: sizes bounded, numbers finite, text made safe to show.

What arrives from a board is hostile until it has passed through `parse_message`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from profiler.errors import AgentCrashed
from profiler.measure.record import ISSUES, Status

__all__ = [
    "Complaint",
    "Facts",
    "FactsMessage",
    "Heartbeat",
    "Hello",
    "Message",
    "Reply",
    "Result",
    "WorkerStarted",
    "escape",
    "parse_message",
]

MAX_LINE_BYTES = 16 << 20
MAX_SAMPLES = 100_000
MAX_NS = 10**15
"""Eleven days: no batch, load or first run lasts longer."""

MAX_TEXT = 500


def escape(text: str, limit: int = MAX_TEXT) -> str:
    r"""Text from a board as a terminal may show it: at most `limit` characters, none of which does anything.

    Control characters (and with them all terminal sequences), line breaks, characters that turn the direction of
    writing, invisible ones and lone surrogates are spelled out as \x1b, \n, \u202e. Backslashes stay as they are, so
    escaping twice is escaping once. HTML needs its own escaping on top.
    """
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _known_issue(code: str) -> str:
    if code not in ISSUES:
        raise ValueError("not an issue code")
    return code


Text = Annotated[str, StringConstraints(max_length=MAX_TEXT), AfterValidator(escape)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Issue = Annotated[str, AfterValidator(_known_issue)]
ProcessId = Annotated[int, Field(ge=1, le=2**31)]
Nanoseconds = Annotated[int, Field(ge=1, le=MAX_NS)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
EnvValue = bool | Annotated[int, Field(ge=-(2**63), le=2**63)] | Finite | Text | None
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Facts(BaseModel):
    """What a board is. Facts that this host does not know of are dropped.

    Attributes:
        machine_id: tells machines apart; a hash.
        cpu_model, arch, logical_cores, memory_mb, kernel, os, libc: of the machine.
        python, executable: of the interpreter that runs the agent.
        runtimes: versions, by distribution and by runtime.
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
    energy_sensor: Text | None = None
    governor: Text | None = None
    pinned: bool = False
    affinity: Text = ""
    freq_mhz: NotNegative | None = None
    load_1min: NotNegative | None = None


class Hello(_Strict):
    """The agent's first words."""

    event: Literal["hello"]
    protocol: Annotated[int, Field(ge=0, le=10**6)]
    pid: ProcessId
    python: Text


class FactsMessage(_Strict):
    """The answer to "facts"."""

    event: Literal["facts"]
    facts: Facts


class WorkerStarted(_Strict):
    """The answer to "fresh_worker"."""

    event: Literal["worker"]
    pid: ProcessId


class Heartbeat(_Strict):
    """The agent lives, the job is running."""

    event: Literal["heartbeat"]


class Complaint(_Strict):
    """The agent could not make sense of a request, or could not start a worker."""

    event: Literal["error"]
    error: Text


class Reply(_Strict):
    """The outcome of one job: samples, or a typed failure, never both and never neither.

    The fields are those of `profiler.measure.record.Measurement`. `error` and all other text is escaped.
    """

    status: Status
    issues: Annotated[list[Issue], Field(max_length=len(ISSUES))]
    samples_ns: Annotated[list[Nanoseconds], Field(max_length=MAX_SAMPLES)]
    runs_per_batch: Annotated[int, Field(ge=0, le=10**9)]
    load_ns: Nanoseconds | None
    first_run_ns: Nanoseconds | None
    warmup_runs: Annotated[int, Field(ge=0, le=10**12)]
    output_error: NotNegative | None
    energy_mj: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    error: Text
    env: Annotated[dict[Name, EnvValue], Field(max_length=100)]

    @model_validator(mode="after")
    def _either_samples_or_failure(self) -> Self:
        if self.status == "ok" and not (self.samples_ns and self.runs_per_batch):
            raise ValueError("a success without samples")
        if self.status != "ok" and (self.samples_ns or self.energy_mj is not None):
            raise ValueError("a failure with samples")
        return self


class Result(Reply):
    """A reply with the id of its job."""

    event: Literal["result"]
    id: Text

    def reply(self) -> Reply:
        """The reply alone."""
        return Reply.model_construct(**{name: getattr(self, name) for name in Reply.model_fields})


Message = Hello | FactsMessage | WorkerStarted | Heartbeat | Complaint | Result
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
        return _ADAPTER.validate_json(line)
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
