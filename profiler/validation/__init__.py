"""The proof of the measuring protocol: its claims, counted out on simulated boards whose truth is known.

    python -m profiler.validation --seed 1        all claims; writes results/protocol/{proof.json, proof.md}

    cases.py (drawn boards, and what is measured on each) -> running.py (over SSH, by the campaign that measures real
    boards) -> observations.py (what was said, beside what was true) -> claims/ (one file a claim) -> report.py

See docs/validation.md for what each claim means, and which truth it is held against.
"""
