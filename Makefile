# Works on a fresh clone with only python3 (3.11 or newer), as any user.  PYTHON= and VENV= choose others.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench fuzz docs clean

# Runs the proxy against the simulated providers, prints what was used, where and what to do, and writes it as a page.
demo: $(VENV)/.installed
	$(BIN)/awf demo --report build/demo-report.html

# Everything that must hold: style, types, all tests on the fast reactor, and the server's tests on Twisted's own (those
# with processes of their own run them on both anyway).
# In JOBS processes, as many tests wait for something; the tests of a file in one.
JOBS ?= 2
test: lint
	AWFPROXY_TEST_REACTOR=uvloop $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile
	AWFPROXY_TEST_REACTOR=epoll $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile tests/server \
		--ignore-glob='*/test_process_*'

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy

# Side by side with nginx and a plain twisted.web proxy, then single parts; needs nginx, wrk, a C compiler and openssl, and
# says which is missing.
bench: $(VENV)/.installed-bench
	BENCH_PYTHON="$(abspath $(BIN))/python" PATH="$(abspath $(BIN)):$$PATH" bench/run.sh
	$(BIN)/python -m bench.micro

# Coverage-guided fuzzing of all parsers, FUZZ_SECONDS together; what breaks a promise is in .work/fuzz/findings.
FUZZ_SECONDS ?= 600
fuzz: $(VENV)/.installed-fuzz
	nice $(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

# Writes the pages that are made from the program itself.
docs: $(VENV)/.installed-test
	$(BIN)/python docs/cli_reference.py > docs/cli.md
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python docs/tutorial_output.py

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "awfproxy needs Python 3.11 or newer; none was found (PYTHON=/path/to/python3 names one)." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: the module ensurepip is missing." >&2; \
		echo "On Debian and Ubuntu install python3-venv, or give another interpreter: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The stamps: a second run installs nothing unless what is to be installed has changed.
$(VENV)/.installed: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-test: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-fuzz: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	touch $@ $(VENV)/.installed
