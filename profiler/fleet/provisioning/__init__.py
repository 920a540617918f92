"""Giving boards the runtimes that their targets need, and taking everything away again.

board.py       a board;  installing.py one runtime on it, stepping back;  accept.py the model that it must run
requirements.py which packages;  platform_tags.py for which Python;  resolving.py with what they need in turn
index.py       the host's pip;  wheels.py its wheels, by hash
ground.py      the workdir on the board, by the operations of far_end/;  answers.py what these may say
remove.py      the way back
"""

from profiler.fleet.provisioning.board import Provisioned, provision
from profiler.fleet.provisioning.remove import Removed, deprovision

__all__ = ["Provisioned", "Removed", "deprovision", "provision"]
