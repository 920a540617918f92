from __future__ import annotations

from collections.abc import Callable

import pytest
from packaging.requirements import Requirement

from profiler.fleet.provisioning.platform_tags import BoardPython
from profiler.fleet.provisioning.resolving import Conflict, Found, NeedsGpuLibraries, resolve

Make = Callable[..., BoardPython]


class Shelf:
    """An index: versions of packages with what they require, the newest first."""

    def __init__(self, **packages: dict[str, list[str]]) -> None:
        self.packages = packages
        self.asked: list[list[str]] = []

    def look_up(self, requirements: list[Requirement]) -> list[Found]:
        self.asked.append([str(requirement) for requirement in requirements])
        found = []
        for requirement in requirements:
            versions = self.packages[requirement.name]
            version = next(v for v in versions if requirement.specifier.contains(v))
            found.append(Found(requirement.name, version, "", "", tuple(versions[version])))
        return found


def names(found: tuple[Found, ...]) -> list[str]:
    return [f"{one.name} {one.version}" for one in found]


def roots(*texts: str) -> list[Requirement]:
    return [Requirement(text) for text in texts]


def test_each_level_is_asked_for_at_once(pretend_python: Make) -> None:
    shelf = Shelf(a={"1": ["b", "c>=2"]}, b={"1": ["d"]}, c={"2": []}, d={"1": []})
    assert names(resolve(roots("a"), pretend_python(), shelf.look_up)) == ["a 1", "b 1", "c 2", "d 1"]
    assert shelf.asked == [["a"], ["b", "c>=2"], ["d"]]


def test_markers_are_the_boards_and_not_this_hosts(pretend_python: Make) -> None:
    shelf = Shelf(a={"1": ['here; platform_machine == "x86_64"', 'there; platform_machine == "aarch64"']})
    shelf.packages |= {"here": {"1": []}, "there": {"1": []}}
    assert names(resolve(roots("a"), pretend_python(machine="aarch64"), shelf.look_up)) == ["a 1", "there 1"]
    assert names(resolve(roots("a"), pretend_python(machine="x86_64"), shelf.look_up)) == ["a 1", "here 1"]


def test_specifiers_from_everywhere_are_merged(pretend_python: Make) -> None:
    shelf = Shelf(a={"1": ["b>=1"]}, b={"3": [], "2": [], "1": []})
    assert names(resolve(roots("a", "b<3"), pretend_python(), shelf.look_up)) == ["a 1", "b 2"]


def test_a_choice_that_a_later_one_forbids_is_made_anew_with_what_it_needed(pretend_python: Make) -> None:
    shelf = Shelf(a={"1": ["b", "c"]}, b={"2": ["only-new"], "1": []}, c={"1": ["d"]}, d={"1": ["b<2"]})
    shelf.packages["only-new"] = {"1": []}
    assert names(resolve(roots("a"), pretend_python(), shelf.look_up)) == ["a 1", "b 1", "c 1", "d 1"]


def test_extras_bring_their_requirements(pretend_python: Make) -> None:
    shelf = Shelf(a={"1": ["b[fast]"]}, b={"1": ["plain", 'quick; extra == "fast"', 'no; extra == "slow"']})
    shelf.packages |= {"plain": {"1": []}, "quick": {"1": []}}
    assert names(resolve(roots("a"), pretend_python(), shelf.look_up)) == ["a 1", "b 1", "plain 1", "quick 1"]


def test_what_is_unwanted_is_never_asked_for(pretend_python: Make) -> None:
    shelf = Shelf(a={"1": ["nvidia-x"]})
    with pytest.raises(NeedsGpuLibraries) as caught:
        resolve(roots("a"), pretend_python(), shelf.look_up, lambda name: name.startswith("nvidia"))
    assert caught.value.found["a"].version == "1"
    assert shelf.asked == [["a"]]


def test_packages_that_disagree_for_ever_are_a_conflict(pretend_python: Make) -> None:
    shelf = Shelf(a={"1": ["b", "c"]}, b={"2": ["c<2"], "1": ["c>=2"]}, c={"2": ["b>=2"], "1": ["b<2"]})
    with pytest.raises(Conflict, match="want different versions"):
        resolve(roots("a"), pretend_python(), shelf.look_up)


def test_metadata_that_cannot_be_read_is_named(pretend_python: Make) -> None:
    with pytest.raises(Conflict, match="a 1 has requirements that cannot be read"):
        resolve(roots("a"), pretend_python(), Shelf(a={"1": ["b >< 3"]}).look_up)
