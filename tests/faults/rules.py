"""What no line of the packages may do, as rules over syntax trees: each returns where it is broken."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.faults.sources import Call, Source, calls, imports, texts

Sources = tuple[Source, ...]

BOARDS_OWN_END = ("profiler/fleet/virtual/",)
"""The embedded boards are SSH servers: running what they are told by a shell is what they are for."""


@dataclass(frozen=True)
class Rule:
    """A rule and the ways to break it that it has to find.

    Attributes:
        broken: where sources break it.
        examples: sources that do.
    """

    broken: Callable[[Sources], list[str]]
    examples: tuple[str, ...]


def _of(of: Sources, accept: Callable[[Call], bool]) -> list[str]:
    return [str(call) for call in calls(of) if accept(call)]


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


# Commands


def commands(of: Sources) -> Iterator[Call]:
    """Where a command line goes to a board."""
    return (call for call in calls(of) if call.method in ("exec_command", "invoke_shell", "send_exec"))


def unquoted(of: Sources) -> list[str]:
    """A command line reaches a board in one place, and there it is what `quote` made."""

    def quoted(call: Call) -> bool:
        if call.source.name != "profiler/fleet/transport/ssh.py" or call.method != "exec_command":
            return False
        arguments = call.node.args
        if len(arguments) != 1 or call.node.keywords or not isinstance(arguments[0], ast.Call):
            return False
        made = arguments[0].func
        return isinstance(made, ast.Name) and call.source.names.get(made.id) == "profiler.fleet.transport.base.quote"

    return [str(call) for call in commands(of) if not quoted(call)]


def shells(of: Sources) -> list[str]:
    """No shell reads a command of ours on this machine."""
    named = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn"}

    def bad(call: Call) -> bool:
        shell = call.keyword("shell")
        return (
            call.callee in named
            or call.method == "create_subprocess_shell"
            or call.method.startswith(("spawnl", "spawnv"))
            or (shell is not None and not _is(shell, False))
        )

    return _of(of, bad)


def made_scripts(of: Sources) -> list[str]:
    """What follows "-c" is a text of ours from beginning to end; what varies is an argument behind it."""
    found = []
    for source in of:
        if source.name.startswith(BOARDS_OWN_END):
            continue
        constants = _constants(source)
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.List | ast.Tuple):
                continue
            for before, script in zip(node.elts, node.elts[1:], strict=False):
                if _is_text(before, "-c") and not _is_constant(script, constants):
                    found.append(f"{source.name}:{script.lineno} a script made of parts")
    return found


def _constants(source: Source) -> set[str]:
    """Names that stand for one text of ours wherever they are bound; names that are imported are judged there."""
    bound: dict[str, list[ast.expr]] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            bound.setdefault(node.targets[0].id, []).append(node.value)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.For | ast.NamedExpr | ast.comprehension):
            target = node.target
            if isinstance(target, ast.Name):
                value = node.value if isinstance(node, ast.AnnAssign) and node.value else ast.Name("unknown")
                bound.setdefault(target.id, []).append(value)
        elif isinstance(node, ast.arg):
            bound.setdefault(node.arg, []).append(ast.Name("unknown"))
    constants = {name for name, path in source.names.items() if name.isupper() and "." in path}
    for _ in range(3):  # texts made of texts
        constants |= {n for n, values in bound.items() if all(_is_constant(v, constants) for v in values)}
    return constants


def _is_constant(node: ast.expr, constants: set[str]) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | int)
    if isinstance(node, ast.JoinedStr):
        return all(_is_constant(v.value if isinstance(v, ast.FormattedValue) else v, constants) for v in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_constant(node.left, constants) and _is_constant(node.right, constants)
    return isinstance(node, ast.Name) and node.id in constants


def _is_text(node: ast.expr, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text


def other_clients(of: Sources) -> list[str]:
    """No ssh, scp or rsync of the system, which have files and rules of their own; and nothing as another user."""
    words = {"ssh", "scp", "sftp", "rsync", "sshpass", "sudo", "su", "doas", "pkexec"}
    found = []
    for where, text, node in texts(of):
        inside = isinstance(getattr(node, "parent", None), ast.List | ast.Tuple)
        first = inside and node.parent.elts[0] is node and len(node.parent.elts) > 1  # type: ignore[attr-defined]
        if (first and text in words) or "sudo -S" in text:
            found.append(f"{where} {text!r}")
    return found


# Who is let in, and how


def lax_ssh(of: Sources) -> list[str]:
    """Host keys are pinned; there are no passwords, no agents' keys, no forwarding."""
    words = {
        "AutoAddPolicy", "WarningPolicy", "SSHClient", "load_system_host_keys", "auth_password", "auth_interactive",
        "auth_interactive_dumb", "auth_none", "request_forward_agent", "AgentRequestHandler", "AgentServerProxy",
        "request_x11", "request_port_forward", "getpass.getpass",
    }  # fmt: skip
    keywords = ("allow_agent", "look_for_keys", "password", "forward_agent", "agent_forwarding", "passphrase")
    found = []
    for call in calls(of):
        given = [(name, call.keyword(name)) for name in keywords]
        lax = [name for name, value in given if value is not None and not (_is(value, False) or _is(value, None))]
        if call.method in words or call.callee in words or lax or call.callee == "paramiko.Agent":
            found.append(f"{call} {lax}")
    for source in of:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and node.attr in words:
                found += [f"{source.name}:{node.lineno} {node.attr}"]
    return found


# What comes from elsewhere is data


def evaluated(of: Sources) -> list[str]:
    """Nothing is evaluated, and nothing is read in a format that can hold code."""
    modules = ("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle")
    named = {
        "eval",
        "exec",
        "compile",
        "__import__",
        "yaml.load",
        "yaml.load_all",
        "yaml.unsafe_load",
        "yaml.full_load",
    }
    named |= {"joblib.load", "joblib.dump", "pandas.read_pickle", "runpy.run_path", "code.interact"}

    def bad(call: Call) -> bool:
        loads_torch = call.callee == "torch.load" and not _is(call.keyword("weights_only"), True)
        loads_numpy = call.callee in ("numpy.load", "np.load") and not _is(call.keyword("allow_pickle"), False)
        return call.callee in named or loads_torch or loads_numpy or call.method in ("read_pickle", "to_pickle")

    brought = [f"{where} {name}" for where, name in imports(of) if name.partition(".")[0] in modules]
    return [*_of(of, bad), *brought]


def host_side_torchscript(of: Sources) -> list[str]:
    """TorchScript files are loaded on boards, in workers, and nowhere else."""
    host = tuple(source for source in of if not source.name.startswith("profiler/agent/"))
    return [str(call) for call in calls(host) if _ends(call, "jit.load")]


def _ends(call: Call, words: str) -> bool:
    function = call.node.func
    return isinstance(function, ast.Attribute) and ast.unparse(function).endswith(words)


def guessable_files(of: Sources) -> list[str]:
    """No temporary name that somebody else may take between its invention and its use."""
    return _of(of, lambda call: call.callee in ("tempfile.mktemp", "os.tmpnam", "os.tempnam"))


def unescaped_html(of: Sources) -> list[str]:
    """The report's template escapes by itself, and nobody tells it that a text is safe."""

    def bad(call: Call) -> bool:
        lax = call.callee == "jinja2.Environment" and not _is(call.keyword("autoescape"), True)
        return lax or call.method == "Markup" or call.callee.endswith("jinja2.Template")

    return _of(of, bad)


RULES: dict[str, Rule] = {
    "every remote command line is quoted": Rule(
        unquoted,
        (
            "channel.exec_command(f'ls {path}')",
            "def quote(argv): return ' '.join(argv)\nchannel.exec_command(quote(argv))",
            "channel.invoke_shell()",
        ),
    ),
    "no shell on this machine": Rule(
        shells,
        (
            "import subprocess\nsubprocess.run('ls', shell=True)",
            "from subprocess import Popen as start\nstart(x, shell=flag)",
            "import os as o\no.system('ls')",
            "from os import popen\npopen('ls')",
            "asyncio.create_subprocess_shell('ls')",
        ),
    ),
    "scripts for a shell or a Python are constants": Rule(
        made_scripts,
        (
            "link.run(['sh', '-c', f'ls {path}'])",
            "link.run(['sh', '-c', 'ls ' + path])",
            "def f(script): link.run(['sh', '-c', script])",
            "S = 'a'\nS += path\nlink.run(['sh', '-c', S])",
            "link.run(('python3', '-c', 'print(%r)' % path))",
        ),
    ),
    "no other SSH client, nobody else's rights": Rule(
        other_clients, ("run(['ssh', host])", "run(['sudo', 'reboot'])", "send('echo x | sudo -S reboot')")
    ),
    "host keys pinned, no passwords, no forwarding": Rule(
        lax_ssh,
        (
            "client.set_missing_host_key_policy(paramiko.AutoAddPolicy())",
            "client.set_missing_host_key_policy(paramiko.WarningPolicy)",
            "client.connect(host, allow_agent=True)",
            "client.connect(host, look_for_keys=keys)",
            "client.connect(host, password='x')",
            "import paramiko\nparamiko.SSHClient()",
            "import paramiko\nparamiko.Agent()",
            "paramiko.agent.AgentRequestHandler(channel)",
            "client.auth_password('me', 'x')",
        ),
    ),
    "nothing is evaluated or unpickled": Rule(
        evaluated,
        (
            "eval(text)",
            "exec(text)",
            "import pickle",
            "from pickle import loads",
            "import yaml\nyaml.load(text, Loader=yaml.Loader)",
            "from yaml import load\nload(text)",
            "import torch\ntorch.load(path)",
            "import torch\ntorch.load(path, weights_only=False)",
            "import numpy as np\nnp.load(path, allow_pickle=True)",
            "import pandas as pd\npd.read_pickle(path)",
            "import joblib\njoblib.load(path)",
        ),
    ),
    "TorchScript is loaded on boards only": Rule(host_side_torchscript, ("import torch\ntorch.jit.load(path)",)),
    "no guessable temporary files": Rule(guessable_files, ("import tempfile\ntempfile.mktemp()",)),
    "the report escapes": Rule(
        unescaped_html,
        (
            "from jinja2 import Environment\nEnvironment(loader=x)",
            "import jinja2\njinja2.Template(text)",
            "import markupsafe\nmarkupsafe.Markup(x)",
        ),
    ),
}  # fmt: skip
