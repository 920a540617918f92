from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.errors import ArtefactError, ConfigError, UnsupportedOperator
from profiler.fleet import plugins
from profiler.fleet.plugins import check_configuration, known_names, known_runtimes, runtime_spec, using
from profiler.fleet.runtime_spec import RuntimeSpec
from profiler.fleet.targets import RUNTIMES, Precision
from profiler.workloads.artefacts import ArtefactCache, lower
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import cut, single
from profiler.workloads.graph import Workload
from profiler.workloads.isolation import isolate


def _lower(workload: Workload, precision: Precision) -> bytes:
    return f"{workload.key} {precision}".encode()


SPEC = RuntimeSpec("rknn", ("fp32", "int8"), _lower, "rknn", agent_module="import nothing\n", accelerators=("", "npu"))


def workload() -> Workload:
    b = WorkloadBuilder("two convolutions and a sum")
    x = b.input((1, 8, 8, 8))
    return b.build(b.relu(b.add(b.relu(b.batch_norm(b.conv2d(x, 8, 3))), b.conv2d(x, 8, 1))))


# ---------------------------------------------------------------- those that come with the project


def test_the_built_in_runtimes_are_known_by_the_names_of_targets() -> None:
    assert known_names() == RUNTIMES
    assert list(known_runtimes()) == list(RUNTIMES)
    assert plugins.agent_plugins(RUNTIMES) == ()


def test_requirements_go_by_accelerator() -> None:
    spec = runtime_spec("onnxruntime")
    assert spec.requirements_for() == spec.requirements_for("xnnpack") == ("onnxruntime",)
    assert spec.requirements_for("tensorrt") == ("onnxruntime-gpu",)
    assert SPEC.requirements_for("npu") == ()


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        (("torch", "int8", ""), "torch is measured in fp32 only: use onnxruntime or litert for int8"),
        (("litert", "fp32", "cuda"), "litert has no accelerator 'cuda': choose one of \"\", edgetpu, gpu"),
        (("tvm", "fp32", ""), "there is no runtime 'tvm': choose one of onnxruntime, litert, torch, or install the "),
    ],
)
def test_a_target_that_cannot_be_is_refused(target: tuple[str, str, str], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_configuration(*target)
    assert str(caught.value).startswith(complaint)


def test_targets_that_can_be_are_let_through() -> None:
    for name, spec in known_runtimes().items():
        for precision in spec.precisions:
            for accelerator in spec.accelerators:
                check_configuration(name, precision, accelerator)


# ---------------------------------------------------------------- plug-ins that are passed in


def test_a_plugin_is_known_for_as_long_as_it_is_used() -> None:
    with using(SPEC, replace(SPEC, name="vitisai")):
        assert known_names() == (*RUNTIMES, "rknn", "vitisai")
        assert runtime_spec("rknn") is SPEC
        check_configuration("rknn", "int8", "npu")
        with using(replace(SPEC, name="third")):
            assert known_names() == (*RUNTIMES, "rknn", "vitisai", "third")
        assert "third" not in known_names()
    with pytest.raises(ConfigError, match="there is no runtime 'rknn'"):
        runtime_spec("rknn")


def test_a_plugin_is_forgotten_after_a_failure_too() -> None:
    with pytest.raises(KeyError), using(SPEC):
        raise KeyError
    assert known_names() == RUNTIMES


def test_other_threads_know_it_too() -> None:
    """Boards are measured by threads of their own."""
    found: list[RuntimeSpec] = []
    with using(SPEC):
        thread = threading.Thread(target=lambda: found.append(runtime_spec("rknn")))
        thread.start()
        thread.join()
    assert found == [SPEC]


@pytest.mark.parametrize("name", ["torch", "rknn"])
def test_a_name_is_given_once(name: str) -> None:
    with (
        using(SPEC),
        pytest.raises(ConfigError, match=f"the runtime '{name}' is there already"),
        using(replace(SPEC, name=name)),
    ):
        pass


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "RKNN"}, "'RKNN' is no name"),
        ({"name": "../rknn"}, "'../rknn' is no name"),
        ({"suffix": "a/b"}, "'a/b' is no name"),
        ({"accelerators": ("", "npu 0")}, "'npu 0' is no name"),
        ({"precisions": ()}, "precisions are some of fp32, int8"),
        ({"precisions": ("int4",)}, "precisions are some of fp32, int8"),
        ({"layout": "hwc"}, 'the layout is "nchw" or "nhwc", not'),
        ({"fuses_like": "tvm"}, "fuses_like is the name of a built-in runtime or"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        replace(SPEC, **change)


def test_what_travels_to_a_board_is_its_module(tmp_path: Path) -> None:
    path = tmp_path / "board.py"
    path.write_text("x = 'é'\n", "utf-8")
    other = replace(SPEC, name="amber", agent_module=path, distributions=("amber-dist",))
    with using(SPEC, other):
        first, second = plugins.agent_plugins(["rknn", "torch", "amber", "rknn"])
        assert (first.name, first.source, first.distributions) == ("amber", "x = 'é'\n", ("amber-dist",))
        assert (second.name, second.source) == ("rknn", "import nothing\n")
        path.unlink()
        with pytest.raises(ConfigError, match=r"the agent module .*board.py of the runtime 'amber' cannot be read"):
            plugins.agent_plugins(["amber"])


# ---------------------------------------------------------------- what depends on a runtime's name


def test_every_operator_is_a_kernel_unless_the_plugin_says_whose_rules_hold() -> None:
    with using(SPEC, replace(SPEC, name="like", fuses_like="litert")):
        assert [kernel.kind for kernel in cut(workload(), "rknn", "fp32")] == [
            "conv2d 3x3", "relu", "conv2d 1x1", "add", "relu"
        ]  # fmt: skip
        mine, theirs = (cut(workload(), name, "int8") for name in ("like", "litert"))
        assert [kernel.key for kernel in mine] == [kernel.key for kernel in theirs]
        assert len(mine) < 5
        assert isolate(mine[0], "like", "int8") == isolate(theirs[0], "litert", "int8")


def test_it_is_isolated_as_the_runtime_whose_rules_hold() -> None:
    pool = single("max_pool", ((1, 8, 8, 8),), {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1)})
    with using(SPEC, replace(SPEC, name="like", fuses_like="onnxruntime")):
        assert isolate(pool, "like", "int8") == isolate(pool, "onnxruntime", "int8")
        assert isolate(pool, "rknn", "int8") != isolate(pool, "onnxruntime", "int8")


def test_rules_that_do_not_exist_are_told() -> None:
    with using(replace(SPEC, fuses_like="torch")), pytest.raises(ConfigError, match="no fusion rules for rknn int8"):
        cut(workload(), "rknn", "int8")


def test_its_artefacts_have_its_suffix_and_are_made_anew_by_a_new_version(tmp_path: Path) -> None:
    cache = ArtefactCache(tmp_path)
    made: list[str] = []

    def counting(given: Workload, precision: Precision) -> bytes:
        made.append(precision)
        return _lower(given, precision)

    for version in ("", "", "2", "2"):
        with using(replace(SPEC, lower=counting, version=version)):
            artefact = cache.get(workload(), "rknn", "int8")
    assert made == ["int8", "int8"]
    assert (artefact.path.suffix, artefact.format, artefact.layout) == (".rknn", "rknn", "nchw")
    assert artefact.path.read_bytes() == _lower(workload(), "int8")
    # nobody here can run the file: what is expected of it is what float32 gives
    assert artefact.expected == cache.get(workload(), "onnxruntime", "fp32").expected


def test_a_compiler_that_fails_is_a_failed_lowering() -> None:
    def broken(given: Workload, precision: Precision) -> bytes:
        raise RuntimeError("E Catch exception when building RKNN model!")

    with (
        using(replace(SPEC, lower=broken)),
        pytest.raises(ArtefactError, match="rknn does not lower workload two conv"),
    ):
        lower(workload(), "rknn", "fp32")
    with using(replace(SPEC, lower=lambda *_: b"")), pytest.raises(ArtefactError, match="rknn made no file"):
        lower(workload(), "rknn", "fp32")


def test_a_precision_that_it_lacks_is_told() -> None:
    with (
        using(replace(SPEC, precisions=("int8",))),
        pytest.raises(UnsupportedOperator, match="no lowering for rknn fp32; there is one for rknn int8"),
    ):
        lower(workload(), "rknn", "fp32")


# ---------------------------------------------------------------- plug-ins that are installed


Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package with a module and one entry point as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def forget() -> None:
        for module in [name for name in sys.modules if name.startswith("edgecost_")]:
            del sys.modules[module]
        plugins._entry_points.cache_clear()
        plugins._load.cache_clear()

    def put(name: str, code: str) -> None:
        (tmp_path / f"edgecost_{name}.py").write_text(code)
        folder = tmp_path / f"edgecost_{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: edgecost-{name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{name} = edgecost_{name}:SPEC\n")
        forget()

    yield put
    forget()


GOOD = """
from profiler.fleet.runtime_spec import RuntimeSpec
SPEC = RuntimeSpec("{name}", ("fp32",), lambda workload, precision: b"x", "bin", agent_module="")
"""


def test_an_installed_plugin_is_found_by_its_entry_point(install: Install) -> None:
    install("amber", GOOD.format(name="amber"))
    assert known_names() == (*RUNTIMES, "amber")
    assert runtime_spec("amber").suffix == "bin"
    assert lower(workload(), "amber", "fp32") == b"x"


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        (
            "import nowhere_to_be_found",
            r"cannot be loaded \(ModuleNotFoundError: No module named 'nowhere_to_be_found'\)",
        ),
        ("SPEC = 3", "is no RuntimeSpec of that name"),
        (GOOD.format(name="other"), "is no RuntimeSpec of that name"),
        (GOOD.format(name="amber").replace('agent_module=""', "agent_module=None"), "with an agent_module"),
    ],
)
def test_a_broken_one_is_told_and_disturbs_nobody_else(install: Install, code: str, complaint: str) -> None:
    install("amber", code)
    assert runtime_spec("torch").name == "torch"
    assert "amber" in known_names()
    with pytest.raises(ConfigError, match=r"the plug-in 'amber' \(edgecost_amber:SPEC\) .*" + complaint):
        runtime_spec("amber")


def test_a_built_in_name_cannot_be_taken_over(install: Install) -> None:
    install("torch", GOOD.format(name="torch"))
    assert runtime_spec("torch").suffix == "torchscript"
    assert known_names() == RUNTIMES
