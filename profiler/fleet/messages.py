"""Everything an agent may say, and nothing else: sizes bounded, numbers finite, text made safe.

What arrives from a board is hostile until it has passed through here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, field_validator

from profiler.errors import AgentCrashed
from profiler.measure.record import Status

__all__ = ["Facts", "FactsMessage", "Heartbeat", "Hello", "Message", "Reply", "Result", "WorkerStarted", "escape", "parse_message"]

MAX_SAMPLES = 100_000
MAX_NS = 10**15
MAX_ENV_VALUES = 200

Text = Annotated[str, StringConstraints(max_length=500)]
Nanoseconds = Annotated[int, Field(ge=0, le=MAX_NS)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def escape(text: str, limit: int = 500) -> str:
    """Text from a board as a terminal or a report may show it: control characters spelled out, length bounded."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: limit + 1])
    return shown if len(text) <= limit else shown[:limit] + "…"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Facts(BaseModel):
    """What a board is; unknown facts of a newer agent are dropped."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    machine_id: Text
    cpu_model: Text
    arch: Text
    logical_cores: Annotated[int, Field(ge=1, le=4096)]
    memory_mb: Annotated[int, Field(ge=0)] | None = None
    kernel: Text = ""
    os: Text = ""
    python: Text = ""
    executable: Text = ""
    governor: Text | None = None
    runtimes: dict[Text, Text] = Field(default_factory=dict, max_length=50)


class Hello(_Strict):
    """The agent's first words."""

    event: Literal["hello"]
    protocol: int
    pid: Annotated[int, Field(ge=1)]
    python: Text


class FactsMessage(_Strict):
    """The answer to "facts"."""

    event: Literal["facts"]
    facts: Facts


class WorkerStarted(_Strict):
    """The answer to "fresh_worker"."""

    event: Literal["worker"]
    pid: Annotated[int, Field(ge=1)]


class Heartbeat(_Strict):
    """The agent lives, the job is running."""

    event: Literal["heartbeat"]


class Complaint(_Strict):
    """A request that the agent did not understand."""

    event: Literal["error"]
    error: Text


class Reply(_Strict):
    """The outcome of one job; the fields are those of `profiler.measure.record.Measurement`."""

    status: Status
    issues: Annotated[list[Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")]], Field(max_length=50)]
    samples_ns: Annotated[list[Nanoseconds], Field(max_length=MAX_SAMPLES)]
    runs_per_batch: Annotated[int, Field(ge=0, le=10**9)]
    load_ns: Nanoseconds | None
    first_run_ns: Nanoseconds | None
    warmup_runs: Annotated[int, Field(ge=0, le=10**12)]
    output_error: Annotated[Finite, Field(ge=0)] | None
    energy_mj: Annotated[Finite, Field(gt=0)] | None
    error: Annotated[str, StringConstraints(max_length=2000)]
    env: dict[str, Any]

    @field_validator("env")
    @classmethod
    def _small(cls, value: dict[str, Any]) -> dict[str, Any]:
        if _size(value) > MAX_ENV_VALUES:
            raise ValueError("too many facts")
        return value

    @field_validator("error")
    @classmethod
    def _shown(cls, value: str) -> str:
        return escape(value)


class Result(Reply):
    """A reply with the id of its job."""

    event: Literal["result"]
    id: Text

    def reply(self) -> Reply:
        """The reply alone."""
        return Reply(**self.model_dump(exclude={"event", "id"}))


Message = Hello | FactsMessage | WorkerStarted | Heartbeat | Complaint | Result
_ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="event")])


def parse_message(line: bytes, device_id: str = "") -> Message:
    """One line of an agent, validated.

    Raises:
        AgentCrashed: for anything that is not a message of the protocol.
    """
    try:
        message = _ADAPTER.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AgentCrashed(
            f"board {device_id!r} sent what is not of the agent's protocol ({escape(where, 80)}: {first['msg']}); "
            "is its workdir shared with another version?",
            device_id,
        ) from None
    if isinstance(message, Result) and message.status == "ok" and (not message.samples_ns or not message.runs_per_batch):
        raise AgentCrashed(f"board {device_id!r} reported a success without samples", device_id)
    return message


def _size(value: Any) -> int:
    """How many values a nested JSON value holds; long text counts by its length."""
    if isinstance(value, dict):
        return sum(1 + _size(v) for v in value.values())
    if isinstance(value, list):
        return sum(_size(v) for v in value)
    return 1 + len(value) // 100 if isinstance(value, str) else 1


