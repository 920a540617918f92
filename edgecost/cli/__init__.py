"""The command line: one file a verb, heavy imports only inside the verbs."""

from edgecost.cli.app import main

__all__ = ["main"]
