"""Provisioned environments: which folder on the board a runtime is loaded from.

`env/current.json` in the workdir names them: {"<runtime>": {"digest", "site", "distributions": {name: version}}}.
A runtime that it does not name is that of the board's own Python.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, NamedTuple, Optional

CURRENT = os.path.join("env", "current.json")
MOST_BYTES = 1 << 20


class EnvironmentBroken(Exception):
    """A provisioned environment is not what it was when it was made."""


class Environment(NamedTuple):
    """One runtime's: `site` is the folder that holds its packages."""

    digest: str
    site: str
    distributions: Dict[str, str]


def read(workdir: str) -> Dict[str, Environment]:
    """All environments, by runtime; none where the board was not provisioned.

    Raises:
        EnvironmentBroken: the file is there and cannot be understood.
    """
    path = os.path.join(workdir, CURRENT)
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(MOST_BYTES).decode("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise EnvironmentBroken("%s cannot be read (%s): provision the board again" % (path, error)) from None
    if not isinstance(found, dict):
        raise EnvironmentBroken("%s holds no environments: provision the board again" % path)
    return {str(runtime): _environment(path, runtime, value) for runtime, value in found.items()}


def _environment(path: str, runtime: str, value: Any) -> Environment:
    fields = value if isinstance(value, dict) else {}
    digest, site, distributions = (fields.get(name) for name in ("digest", "site", "distributions"))
    if not isinstance(digest, str) or not isinstance(site, str) or not os.path.isabs(site):
        raise EnvironmentBroken("%s has no digest and site for %s: provision the board again" % (path, runtime))
    named = distributions if isinstance(distributions, dict) else {}
    return Environment(digest, site, {str(name): str(version) for name, version in named.items()})


def site_for(workdir: str, runtime: str) -> Optional[str]:
    """The folder that a runtime is loaded from; None for the board's own Python.

    Raises:
        EnvironmentBroken: it was provisioned and is gone: the board's own Python would be something else.
    """
    environment = read(workdir).get(runtime)
    if environment is None:
        return None
    if not os.path.isdir(environment.site):
        raise EnvironmentBroken(
            "the environment of %s is gone from %s: provision the board again" % (runtime, environment.site)
        )
    return environment.site
