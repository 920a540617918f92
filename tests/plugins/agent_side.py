"""A plug-in's agent module, loaded here as the agent would load it from its zipapp."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import profiler.agent.plugins
from profiler.fleet.runtime_spec import RuntimeSpec


def agent_side(spec: RuntimeSpec) -> ModuleType:
    """The module under the name that gives its relative imports a meaning; loaded once."""
    name = f"{profiler.agent.plugins.__name__}.{spec.name}"
    if name not in sys.modules:
        plugin = spec.agent_plugin()
        assert plugin is not None
        if plugin.modules:
            assert isinstance(spec.agent_module, Path)
            place = spec.agent_module / "__init__.py"
            found = importlib.util.spec_from_file_location(name, place, submodule_search_locations=[str(place.parent)])
            assert found is not None
            assert found.loader is not None
            module = sys.modules[name] = importlib.util.module_from_spec(found)
            found.loader.exec_module(module)
            return module
        module = ModuleType(name)
        module.__spec__ = importlib.util.spec_from_loader(name, None)
        module.__package__ = profiler.agent.plugins.__name__
        exec(compile(plugin.source, f"{spec.name}.py", "exec"), module.__dict__)
        sys.modules[name] = module
    return sys.modules[name]
