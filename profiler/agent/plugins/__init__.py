"""Runtimes that plug-ins brought along: in a source tree none; a bundle holds one module each, and names them here."""

from typing import Dict, Tuple

DISTRIBUTIONS: Dict[str, Tuple[str, ...]] = {}
"""Of every plug-in by its name: under which names its runtime is packaged."""
