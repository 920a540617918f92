"""Every error that users can meet, and what each one is for.

    EdgeCostError                    anything below: one sentence that says what, where and what to do
    ├── ConfigError                  a file or an argument of the user's is wrong
    ├── UnsupportedOperator          a workload holds an operator that a reader, lowering or runtime lacks
    ├── UnknownWorkload              a table has no row for a workload that was asked for
    ├── ArtefactError                a workload could not be lowered, or its lowering is wrong
    ├── StorageError                 a results folder or journal cannot be read or written
    ├── DeviceError                  a board cannot be used
    │   ├── Unreachable              no answer at its address
    │   ├── AuthenticationFailed     it answers and refuses our key
    │   ├── HostKeyMismatch          its host key is unknown or has changed
    │   ├── DeviceTimeout            it did not answer within a limit
    │   ├── DeviceLost               the link broke while work was under way
    │   ├── DeviceBusy               another host holds the lease
    │   ├── BoardFull                its disk has no room for what a job needs
    │   └── AgentCrashed             the agent ended or spoke nonsense
    ├── TrainingDiverged             a loss or a weight is no longer a finite number
    └── MeasurementError             a figure exists and may not be trusted
        ├── Unstable                 too wide a spread
        ├── Throttled                the board slowed itself down
        └── WrongOutput              the outputs differ from the host's reference

Each error carries its data as attributes and a message of one sentence.
"""

from __future__ import annotations

__all__ = [
    "AgentCrashed",
    "ArtefactError",
    "AuthenticationFailed",
    "BoardFull",
    "ConfigError",
    "DeviceBusy",
    "DeviceError",
    "DeviceLost",
    "DeviceTimeout",
    "EdgeCostError",
    "HostKeyMismatch",
    "MeasurementError",
    "StorageError",
    "Throttled",
    "TrainingDiverged",
    "UnknownWorkload",
    "Unreachable",
    "Unstable",
    "UnsupportedOperator",
    "WrongOutput",
]


class EdgeCostError(Exception):
    """Root of all errors that are shown to users as one sentence (exit code 2)."""


class ConfigError(EdgeCostError):
    """A configuration file or argument is malformed; the message names file, field and remedy."""


class UnsupportedOperator(EdgeCostError):
    """An operator cannot be read, lowered or run.

    Attributes:
        operators: the names of all operators concerned, in the order met.
    """

    def __init__(self, message: str, operators: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.operators = operators


class UnknownWorkload(EdgeCostError):
    """A cost table lacks rows that an answer needs.

    Attributes:
        keys: the workload keys without a row.
    """

    def __init__(self, message: str, keys: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.keys = keys


class ArtefactError(EdgeCostError):
    """A workload's lowering failed or disagrees with the workload."""


class StorageError(EdgeCostError):
    """A file of results cannot be read or written (permissions, full disk, newer schema)."""


class DeviceError(EdgeCostError):
    """A board cannot be used.

    Attributes:
        device_id: the id of the board in devices.yaml.
    """

    def __init__(self, message: str, device_id: str = "") -> None:
        super().__init__(message)
        self.device_id = device_id


class Unreachable(DeviceError):
    """Nothing answers at the board's address, or its name does not resolve."""


class AuthenticationFailed(DeviceError):
    """The board answers and refuses the key offered."""


class HostKeyMismatch(DeviceError):
    """The board's host key is unknown or differs from the one pinned."""


class DeviceTimeout(DeviceError):
    """The board did not answer within a limit."""


class DeviceLost(DeviceError):
    """The link broke while work was under way."""


class DeviceBusy(DeviceError):
    """Another host holds the board's lease."""


class BoardFull(DeviceError):
    """The board's disk has no room for a file that a job needs."""


class AgentCrashed(DeviceError):
    """The agent on the board ended, or sent what is not of its protocol."""


class TrainingDiverged(EdgeCostError):
    """Training stopped where its loss or a weight was no longer a finite number; its last good checkpoint stays.

    Attributes:
        step: the step, from 0, at which it was seen.
    """

    def __init__(self, message: str, step: int = 0) -> None:
        super().__init__(message)
        self.step = step


class MeasurementError(EdgeCostError):
    """A figure exists and may not be trusted."""


class Unstable(MeasurementError):
    """The spread of a measurement is too wide for its gate."""


class Throttled(MeasurementError):
    """The board lowered its clock while measuring."""


class WrongOutput(MeasurementError):
    """The outputs on the board differ from the host's reference."""
