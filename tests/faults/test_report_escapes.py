"""What a board says about itself ends up in a report: as text, wherever it stands, and never as markup or script."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgecost.report.build import write_report
from profiler.fleet import messages
from profiler.fleet.targets import Device, Target
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import Job, model_jobs, subjects_of
from profiler.measure.journal import Journal
from profiler.measure.record import Measurement
from profiler.measure.runfolder import RunFolder
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload
from tests.faults.fuzzing import FACTS

ATTACKS = (
    "<script>alert('pwned')</script>",
    "</script><script>alert('pwned')</script>",
    "<img src=x onerror=alert('pwned')>",
    "\"><svg onload=alert('pwned')>",
    "{{ 7 * 191 }} {% raw %}pwned",
    "<!-- pwned",
)
TARGET = Target("rpi", "onnxruntime", "fp32")


class Eyes(HTMLParser):
    """What a browser would make of the page: elements, their attributes, and what runs."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[str] = []
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.comments: list[str] = []
        self.text = ""
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data
        else:
            self.text += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def workload(name: str, depth: int) -> Workload:
    builder = WorkloadBuilder(name)
    x = builder.input((1, 4, 8, 8))
    for _ in range(depth):
        x = builder.conv2d(x, 4, kernel=3)
    return builder.build(x)


def results(folder: Path, attack: str) -> Path:
    """A run whose every text from a board, from devices.yaml or from a model file is an attack."""
    facts = messages.Facts.model_validate(
        {**FACTS, "cpu_model": attack, "os": attack, "kernel": attack, "governor": attack, "affinity": attack}
        | {"runtimes": {"onnxruntime": attack}}
    ).model_dump(mode="json")
    device = Device("rpi", "192.0.2.1", "me", (TARGET,), description=attack, notes=(attack,))
    config = MeasureConfig(rounds=1)
    run = RunFolder.create(folder, device.id, "r1")
    run.write_header(device, TARGET, config, facts)
    models = [workload(attack, depth) for depth in (1, 2, 3)]
    jobs: list[Job] = [replace(job, label=attack) for job in model_jobs(models, "held_out")]
    run.add_subjects(subjects_of(jobs))
    with Journal(run.journal_path) as journal:
        for number, job in enumerate(jobs):
            failed = number == 0
            journal.append(
                Measurement(
                    job_key=f"k{number}", workload_key=job.workload.key, artefact_sha256="", device_id=device.id,
                    target_id=TARGET.id, role=job.role, round=0, status="crashed" if failed else "ok",
                    samples_ns=() if failed else (1000 + number, 1001, 1002), runs_per_batch=0 if failed else 1,
                    error=attack if failed else "", env={"runtime": attack},
                )
            )  # fmt: skip
    return folder


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_report_shows_what_boards_say_and_runs_none_of_it(tmp_path: Path, attack: str) -> None:
    page = write_report(results(tmp_path / "results", attack), tmp_path / "report.html").read_text(encoding="utf-8")
    eyes = Eyes()
    eyes.feed(page)
    plain = Eyes()
    plain.feed(write_report(results(tmp_path / "plain", "harmless"), tmp_path / "plain.html").read_text("utf-8"))
    assert [tag for tag, _ in eyes.tags] == [tag for tag, _ in plain.tags], "it brought elements along"
    assert not any(name.startswith("on") for _, attributes in eyes.tags for name, _ in attributes)
    assert not any("pwned" in comment for comment in eyes.comments)
    assert "1337" not in eyes.text, "the template evaluated it"
    assert "pwned" in eyes.text, "a text that is not shown proves nothing"
    # data inside a script is text there too: nothing in it may end the script
    assert not any("</script" in script.lower() or "<!--" in script for script in eyes.scripts if "pwned" in script)
