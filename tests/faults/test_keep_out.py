"""Doors that stay shut: rules over the packages' syntax trees, quoting held against a real shell, folders' modes."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.fleet.transport.base import quote
from tests.faults.rules import RULES, commands
from tests.faults.sources import ROOT, parse, sources


@pytest.mark.parametrize("name", RULES)
def test_no_line_of_the_packages_breaks_the_rule(name: str) -> None:
    assert RULES[name].broken(sources()) == []


@pytest.mark.parametrize(("name", "example"), [(name, text) for name, rule in RULES.items() for text in rule.examples])
def test_the_rule_finds_what_it_is_for(name: str, example: str) -> None:
    assert RULES[name].broken((parse("profiler/fleet/transport/example.py", example),))


def test_there_is_a_command_to_be_quoted() -> None:
    assert len(list(commands(sources()))) == 1, "the rule about quoting would hold for want of anything to quote"


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
NASTY = ["$(touch x)", "`id`", "; reboot", "a'b\"c", "*", "~", "-rf", "a\nb", "\x1b[2J", "$HOME", "&", "|", "", "\\"]


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS | st.sampled_from(NASTY), min_size=1, max_size=8))
def test_a_quoted_argument_reaches_the_command_as_it_was(words: list[str]) -> None:
    line = quote(["printf", "%s\\0", *words])
    found = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True, timeout=20).stdout
    assert found.decode().split("\0")[:-1] == words


def test_an_argument_that_no_shell_can_pass_on_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote(["echo", "a\0b"])


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(named) > 15
    for path, test in named:
        assert (ROOT / path).is_file(), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"
