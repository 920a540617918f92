"""What `edgecost devices check` finds out: every declared fact held against the board, and a model for every target."""

from profiler.fleet.checks.board import check, examine
from profiler.fleet.checks.findings import Finding
from profiler.fleet.checks.many import check_all

__all__ = ["Finding", "check", "check_all", "examine"]
