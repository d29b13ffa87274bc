# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# make demo    one secret's whole journey on this machine; needs no root, no D-Bus, no Avahi
# make test    everything: lint, types, import rules, tests (installs Debian packages when root)
# make bench   ours and the reference side by side (root, Debian)
# make lint    the linters alone;  make lock  renews the lock files;  make clean  undoes it all

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check
JOBS   ?= 2
PYTEST_ARGS ?=

.PHONY: demo test lint check bench lock clean test-setup
.DELETE_ON_ERROR:

demo: $(VENV)/.runtime
	@$(BIN)/python tools/demo

test: $(VENV)/.dev test-setup
	$(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

test-setup:
	@tools/test-setup

lint: $(VENV)/.dev
	$(BIN)/python -m pytest -q tests/unit/test_linters.py

bench: $(VENV)/.dev test-setup
	tools/bench

lock:
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip --quiet install pip-tools
	$(VENV)/lock/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --all-build-deps \
	  --output-file=requirements.lock pyproject.toml
	$(VENV)/lock/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --all-build-deps \
	  --extra dev --constraint requirements.lock --output-file=requirements-dev.lock pyproject.toml
	rm -rf $(VENV)/lock

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'mandos: Python 3.11 or newer is needed; set PYTHON=/path/to/it' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo 'mandos: no virtual environment; try: apt install python3-venv' >&2; exit 1; }

# --no-deps: the lock files name every package, with hashes; nothing else may come in.
$(VENV)/.runtime: $(VENV)/bin/python requirements.lock pyproject.toml
	@$(PIP) install --require-hashes --no-deps --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@$(PIP) install --require-hashes --no-deps --requirement requirements-dev.lock
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
