"""Bad input through the command line: one sentence on stderr, exit code 2, no traceback."""

import json
import sys
from pathlib import Path

import pytest

from edgecost.cli import main


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs `edgecost ...` in an empty folder; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgecost", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def assert_one_sentence(code: int, err: str, *words: str) -> None:
    assert code == 2
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("edgecost:")]
    assert len(lines) == 1, err
    for word in words:
        assert word in err


def test_help_names_every_verb(run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for verb in (
        "quickstart",
        "fleet",
        "devices",
        "profile",
        "table",
        "fit",
        "validate",
        "predict",
        "search",
        "verify",
        "report",
    ):
        assert f" {verb} " in out


@pytest.mark.parametrize(
    "verb",
    [
        ("quickstart",), ("fleet", "up"), ("fleet", "down"), ("fleet", "status"), ("devices", "list"), ("devices", "check"),
        ("devices", "trust"), ("profile",), ("table", "show"), ("table", "export"), ("fit",), ("validate",), ("predict",),
        ("search", "evrsnas"), ("verify",), ("report",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_verb_has_an_example_and_json(run, verb: tuple[str, ...]) -> None:
    code, out, _ = run(*verb, "--help")
    assert code == 0
    assert f"Example: edgecost {' '.join(verb)}" in " ".join(out.split())
    assert "--json" in out


def test_help_imports_nothing_heavy() -> None:
    import subprocess

    probe = (
        "import sys; sys.argv = ['edgecost', '--help']\n"
        "from edgecost.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'numpy', 'torch', 'pandas', 'onnx', 'onnxruntime', 'scipy', 'paramiko', 'pydantic'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_missing_devices_file(run) -> None:
    code, _, err = run("devices", "list", "--devices", "nowhere.yaml")
    assert_one_sentence(code, err, "nowhere.yaml")


def test_no_devices_at_all_says_how_to_get_some(run) -> None:
    code, _, err = run("devices", "list")
    assert_one_sentence(code, err, "edgecost fleet up")


def test_unknown_key_in_devices_names_the_nearest(run) -> None:
    Path("devices.yaml").write_text(
        "version: 1\ndevices:\n  - id: a\n    hosst: 127.0.0.1\n    user: me\n"
        "    targets: [{runtime: onnxruntime, precision: fp32}]\n"
    )
    code, _, err = run("devices", "list")
    assert_one_sentence(code, err, "hosst", "host", "devices.yaml")


def test_unknown_target_names_the_nearest(run) -> None:
    Path("devices.yaml").write_text(
        "version: 1\ndevices:\n  - id: rpi5\n    host: 127.0.0.1\n    user: me\n"
        "    targets: [{runtime: onnxruntime, precision: fp32}]\n"
    )
    code, _, err = run("profile", "--target", "rpi6", "--space", "nasbench201")
    assert_one_sentence(code, err, "rpi6", "rpi5")


def test_profile_without_a_subject(run) -> None:
    Path("devices.yaml").write_text(
        "version: 1\ndevices:\n  - id: rpi5\n    host: 127.0.0.1\n    user: me\n"
        "    targets: [{runtime: onnxruntime, precision: fp32}]\n"
    )
    code, _, err = run("profile", "--target", "rpi5")
    assert_one_sentence(code, err, "--space", "--model")


def test_table_without_runs(run) -> None:
    code, _, err = run("table", "show", "--results", "empty")
    assert_one_sentence(code, err, "empty", "edgecost profile")


def test_report_without_runs(run) -> None:
    code, _, err = run("report", "--results", "empty")
    assert_one_sentence(code, err, "empty")


def test_verify_of_something_else(run, tmp_path: Path) -> None:
    Path("study.json").write_text(json.dumps({"hello": 1}))
    Path("devices.yaml").write_text(
        "version: 1\ndevices:\n  - id: rpi5\n    host: 127.0.0.1\n    user: me\n"
        "    targets: [{runtime: onnxruntime, precision: fp32}]\n"
    )
    code, _, err = run("verify", "study.json")
    assert_one_sentence(code, err, "study.json")


def test_wrong_effort(run) -> None:
    Path("devices.yaml").write_text(
        "version: 1\ndevices:\n  - id: rpi5\n    host: 127.0.0.1\n    user: me\n"
        "    targets: [{runtime: onnxruntime, precision: fp32}]\n"
    )
    code, _, err = run("profile", "--target", "rpi5", "--space", "nasbench201", "--effort", "lazy")
    assert_one_sentence(code, err, "lazy", "record", "quick")


def test_unknown_space(run) -> None:
    Path("devices.yaml").write_text(
        "version: 1\ndevices:\n  - id: rpi5\n    host: 127.0.0.1\n    user: me\n"
        "    targets: [{runtime: onnxruntime, precision: fp32}]\n"
    )
    code, _, err = run("profile", "--target", "rpi5", "--space", "nasbench2001")
    assert_one_sentence(code, err, "nasbench2001", "nasbench201")


def test_a_wrong_option_is_exit_code_2(run) -> None:
    code, _, err = run("profile", "--tarrget", "x")
    assert code == 2
    assert "Traceback" not in err
