# Two commands: `make quickstart` sees the whole idea work, `make test` passes the tests.
# Every target makes .venv itself when it is missing or older than pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# the searches need torch; this release has a CPU build where one is offered
TORCH := torch==2.13.0

BENCHMARKS := $(addprefix benchmarks/,startup.py table_load.py price_nasbench201.py campaign_memory.py campaign.py budget_solver.py supernet_step.py evrsnas_overhead.py)

.PHONY: help install quickstart test test-aarch64 chaos validate-protocol lint format bench clean

help:
	@echo "make quickstart   six loopback boards: profile, fit, validate, search, verify, report (about 10 minutes)"
	@echo "make test         the tests"
	@echo "make test-aarch64 a board of another architecture under QEMU: root, Debian and qemu-user-static (2 minutes)"
	@echo "make chaos        300 jobs on six boards while everything that can break does, and long fuzzing (5 minutes)"
	@echo "make validate-protocol   intervals, bias, throttling, drift, energy and fusion verdicts held against a known truth (30 minutes)"
	@echo "make lint         ruff, mypy --strict, import direction"
	@echo "make bench        our own speed, beside the same work done by peers"

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "edgecost needs Python 3.11 or newer; say which with: make PYTHON=python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[all,dev]'
	@touch $@

quickstart: $(STAMP)
	$(BIN)/edgecost quickstart

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile

# one process, since all of these tests share one board
test-aarch64: $(STAMP)
	$(BIN)/python -m profiler.fleet.virtual.aarch64 build
	EDGECOST_AARCH64=1 $(BIN)/python -m pytest tests/aarch64

chaos: $(STAMP)
	EDGECOST_FUZZ=long $(BIN)/python -m pytest -n 2 tests/faults/test_fuzz_messages.py
	$(BIN)/python -m tests.faults.chaos

validate-protocol: $(STAMP)
	$(BIN)/python -m profiler.validation --seed 1

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	for file in $(BENCHMARKS); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
