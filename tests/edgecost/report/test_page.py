"""The page as a whole: one file, what it says of simulated boards, and that a browser draws it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import journals
import pytest
from test_boards import COOL, HOT

from edgecost.report.build import write_report
from edgecost.report.collect import collect
from profiler.errors import StorageError
from profiler.measure.record import Power

POWER = Power(
    "made up", "wall", "power", tuple(range(0, 30_000_000, 100_000)),
    tuple(5_000_000 if 100 <= i < 200 else 2_000_000 + i % 7 * 1000 for i in range(300)), 300, 1000.0, 0.005, 0.0,
    (0, 9_900_000), (10_000_000, 19_900_000), (20_000_000, 29_900_000), 1000,
)  # fmt: skip


def page(folder: Path, emulation: str = "", **changes: object) -> Path:
    lines = [journals.sentinel(0.0, "reference", **COOL), journals.sentinel(9.0, "drifted", 6000, **HOT)]
    lines += [journals.job("net", n, 1.0 + n, env=HOT if n else COOL, power=POWER, **changes) for n in range(3)]
    journals.write(folder / "results", lines, emulation=emulation)
    return write_report(folder / "results", folder / "report.html")


def test_the_section_is_there_and_the_file_needs_no_network(tmp_path: Path) -> None:
    text = page(tmp_path).read_text(encoding="utf-8")
    for heading in (
        "How far the numbers can be trusted",
        "Spread and verdicts",
        "The boards over the campaign",
        "Energy",
    ):
        assert f"{heading}</h" in text
    assert "Does the table add up?" not in text, "no kernel was measured"
    assert "wall" in text
    assert not re.search(r"""<(script|link|img)[^>]*(src|href)\s*=\s*["']?https?:""", text)
    assert len(text) < 2_000_000


def test_simulated_boards_are_named_so_in_every_heading_and_title(tmp_path: Path) -> None:
    text = page(tmp_path, "simulated", issues=("simulated",)).read_text(encoding="utf-8")
    own = text[text.index("<h2>How far") : text.index("<h2>What to know") if "<h2>What to know" in text else None]
    headings = re.findall(r"<h[23]>(.*?)</h", own)
    assert len(headings) >= 4
    assert all(heading.endswith("(simulated)") for heading in headings)
    titles = [t for t in re.findall(r'"text":"([^"]*)"', text) if "board" in t or "ound" in t or "interval" in t]
    assert len(titles) >= 5
    assert all("(simulated)" in title for title in titles)
    assert "(simulated)" not in page(tmp_path / "real").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["closure.json", "verify.json"])
def test_a_damaged_file_is_a_sentence(tmp_path: Path, name: str) -> None:
    page(tmp_path)
    (tmp_path / "results" / name).write_text('{"rows": [')
    with pytest.raises(StorageError, match=f"{name} cannot be read .*; make it again, or remove it"):
        collect(tmp_path / "results")


def test_a_browser_draws_every_figure(tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium")
    path = page(tmp_path)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    found = subprocess.run(
        [chromium, *flags, f"--user-data-dir={tmp_path}/chromium", "--virtual-time-budget=15000", "--dump-dom",
         path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    places = len(re.findall(r"data-root-id=", path.read_text(encoding="utf-8")))
    drawn = len(re.findall(r'<div id="[^"]*" data-root-id="[^"]*"[^>]*><div class="bk-', found.stdout))
    assert places >= 5
    assert drawn == places
