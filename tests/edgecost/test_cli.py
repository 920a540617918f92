"""Bad input through the command line: one sentence on stderr, exit code 2, no traceback."""

import json
import sys
from pathlib import Path

import pytest

ONE_BOARD = """\
version: 1
devices:
  - id: rpi5
    host: 127.0.0.1
    user: me
    targets: [{runtime: onnxruntime, precision: fp32}]
"""

VERBS = [
    "quickstart",
    "fleet",
    "devices",
    "describe",
    "profile",
    "table",
    "fit",
    "validate",
    "predict",
    "rmi",
    "search",
    "study",
    "scale",
    "postprocess",
    "train",
    "verify",
    "report",
]

HEAVY = {"numpy", "torch", "pandas", "onnx", "onnxruntime", "scipy", "paramiko", "pydantic"}


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
    for verb in VERBS:
        assert f" {verb} " in out


COMMANDS = [
    *((verb,) for verb in VERBS if verb not in ("fleet", "devices", "table", "rmi", "search", "study")),
    *(("fleet", verb) for verb in ("up", "down", "status")),
    *(("devices", verb) for verb in ("list", "init", "check", "trust", "schema")),
    *(("table", verb) for verb in ("show", "export", "import")),
    *(("rmi", verb) for verb in ("score", "merge")),
    ("search", "evrsnas"),
    ("search", "scores"),
    ("search", "s3nas"),
    ("study", "hw-evrsnas"),
    ("study", "s3nas"),
]


@pytest.mark.parametrize("verb", COMMANDS, ids=" ".join)
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
        f"print(sorted({HEAVY} & set(sys.modules)))"
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
    Path("devices.yaml").write_text(ONE_BOARD)
    code, _, err = run("profile", "--target", "rpi6", "--space", "nasbench201")
    assert_one_sentence(code, err, "rpi6", "rpi5")


def test_profile_without_a_subject(run) -> None:
    Path("devices.yaml").write_text(ONE_BOARD)
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
    Path("devices.yaml").write_text(ONE_BOARD)
    code, _, err = run("verify", "study.json")
    assert_one_sentence(code, err, "study.json")


def test_wrong_effort(run) -> None:
    Path("devices.yaml").write_text(ONE_BOARD)
    code, _, err = run("profile", "--target", "rpi5", "--space", "nasbench201", "--effort", "lazy")
    assert_one_sentence(code, err, "lazy", "record", "quick")


def test_unknown_space(run) -> None:
    Path("devices.yaml").write_text(ONE_BOARD)
    code, _, err = run("profile", "--target", "rpi5", "--space", "nasbench2001")
    assert_one_sentence(code, err, "nasbench2001", "nasbench201")


def test_a_wrong_option_is_exit_code_2(run) -> None:
    code, _, err = run("profile", "--tarrget", "x")
    assert code == 2
    assert "Traceback" not in err


def test_a_budget_nobody_can_meet_is_flagged(run, monkeypatch) -> None:
    from edgecost.stages import searching

    found = {
        "feasible": False,
        "sentence": "INFEASIBLE: nothing seen meets 0.001 ms; raise the budget",
        "file": "s.json",
    }
    monkeypatch.setattr(searching, "search_evrsnas", lambda *a, **k: found)
    code, out, err = run("search", "evrsnas", "--target", "rpi5", "--budget-ms", "0.001")
    assert_one_sentence(code, err, "INFEASIBLE", "raise the budget", "s.json")
    assert out == ""


def test_an_unwritable_results_folder(run) -> None:
    Path("devices.yaml").write_text(ONE_BOARD)
    Path("results").write_text("a file stands where the folder should be")
    code, _, err = run("profile", "--target", "rpi5", "--space", "nasbench201", "--held-out", "1", "--fit-models", "0")
    assert_one_sentence(code, err, "results")


def test_a_full_disk_is_one_sentence(run, monkeypatch) -> None:
    import errno

    from edgecost.stages import targets

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "journal.jsonl")

    monkeypatch.setattr(targets, "all_devices", full)
    code, _, err = run("devices", "list")
    assert_one_sentence(code, err, "disk is full", "journal.jsonl", "nothing is lost")
