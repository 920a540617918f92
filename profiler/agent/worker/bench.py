"""What a worker keeps from one job to the next."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional

from .. import leaf
from .calibration import ClockFacts, calibrate
from .heat import Memory
from .pinning import Pins

HEAT_FILE = "heat.json"


class Bench:
    """What a worker keeps from one job to the next.

    Args:
        clock: what the clock can tell; by default it is measured now.

    Attributes:
        board: the leaf.
        clock: see Args.
        memory: of the board's heat.
    """

    def __init__(self, clock: Optional[ClockFacts] = None) -> None:
        self.board = leaf.current()
        self.clock = clock or calibrate(self.board.clock_ns)
        self.memory = Memory()
        self._pins: Optional[Pins] = None

    def pins(self, job: Dict[str, Any]) -> Optional[Pins]:
        """What holds governors and clocks; None where the agent has told no folder, so that nothing could be put back.

        The session's memory of heat is opened as well.
        """
        place = job.get("place")
        if self._pins is None and place is not None:
            self._pins = Pins(self.board, place["board"])
            self.memory.open(os.path.join(place["session"], HEAT_FILE))
        return self._pins

    def leave(self) -> None:
        """Put the board back as it was: the process ends."""
        if self._pins is not None:
            self._pins.restore_and_stop()
