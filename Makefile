# SPDX-FileCopyrightText: 2026 the Mandos in Python contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# make demo    one secret's whole journey on this machine; needs no root, no D-Bus, no Avahi
# make test    everything: lint, types, import rules, tests (installs Debian packages when root)
# make test-all  the slow ones too: boots on three releases of Debian; ended, it goes on where it was
# make coverage  the share of lines and branches that the quick tests run; prints a table
# make bench   ours and the reference side by side (root, Debian)
# make install  [PREFIX=/usr/local] [DESTDIR=]   for this system, and make uninstall
# make deb     [SUITE=trixie]  Debian packages, into dist/: for this system, or for that release
# make lint    the linters alone;  make lock  renews the lock files;  make clean  undoes it all

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check
JOBS   ?= 2
PYTEST_ARGS ?=

# The Python that an installed Mandos runs with; an initial RAM disk gets it, too.
SYSTEM_PYTHON ?= /usr/bin/python3
PREFIX  ?= /usr/local
DESTDIR ?=
# Other people's libraries, as requirements.lock names them, for SYSTEM_PYTHON.
LIBRARIES ?= build/libraries
# Another Python that they are for, such as 3.13.
LIBRARIES_PYTHON ?=
# The release of Debian that packages are for; empty: the one that runs here.
SUITE ?=
INSTALL_FLAGS ?=
INSTALL = $(SYSTEM_PYTHON) -IS tools/install --python=$(SYSTEM_PYTHON) --libraries=$(LIBRARIES) \
  --prefix=$(PREFIX) --destdir=$(DESTDIR) $(INSTALL_FLAGS)

.PHONY: demo test test-all coverage lint check bench lock clean test-setup install uninstall deb
.PHONY: needs-demo needs-install
.DELETE_ON_ERROR:

demo: needs-demo $(VENV)/.runtime
	@$(BIN)/python tools/demo

test: $(VENV)/.dev test-setup
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow" $(PYTEST_ARGS)

# What has passed in this state of the checkout is not run again.
RESULTS ?= build/test-all/results.tsv
test-all: $(VENV)/.dev test-setup
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --results $(RESULTS) $(PYTEST_ARGS); \
	  status=$$?; $(BIN)/python tests/service/harness/boot_table.py $(RESULTS); exit $$status

# Programs that the tests start count too; those that give root up have to write there as well.
coverage: $(VENV)/.dev
	@rm -rf build/coverage
	@install -d -m 1777 build/coverage
	$(BIN)/python -m pytest -q -n $(JOBS) --timeout 600 --cov --cov-report=term:skip-covered \
	  $(PYTEST_ARGS) tests/unit tests/integration tests/property

test-setup:
	@tools/test-setup

lint: $(VENV)/.dev
	$(BIN)/python -m pytest -q tests/unit/house/test_linters.py

bench: $(VENV)/.dev test-setup
	tools/bench

install: needs-install $(LIBRARIES)
	@$(INSTALL)

needs-demo:
	@tools/needs $(PYTHON) $(VENV)/bin/python

needs-install:
	@tools/needs $(SYSTEM_PYTHON) $(LIBRARIES) '$(DESTDIR)'

uninstall:
	$(INSTALL) --uninstall

ifeq ($(SUITE),)
deb: $(LIBRARIES)
	tools/build-deb $(LIBRARIES) dist
else
deb:
	tools/build-deb-for $(SUITE) build dist
endif

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
	@tools/needs $(PYTHON) $@ elsewhere
	@$(PYTHON) -m venv $(VENV)

# --no-deps: the lock files name every package, with hashes; nothing else may come in.
$(VENV)/.runtime: $(VENV)/bin/python requirements.lock pyproject.toml
	@$(PIP) install --require-hashes --no-deps --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@$(PIP) install --require-hashes --no-deps --requirement requirements-dev.lock
	@touch $@

$(LIBRARIES): requirements.lock
	@rm -rf $@ $@.new $@.pip
	@tools/needs $(SYSTEM_PYTHON) $@ elsewhere
	@$(SYSTEM_PYTHON) -m venv $@.pip
	@$@.pip/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes --no-deps \
	  $(addprefix --python-version=,$(LIBRARIES_PYTHON)) --only-binary=:all: --no-compile \
	  --target $@.new --requirement requirements.lock
	@rm -rf $@.pip
	@mv $@.new $@

clean:
	rm -rf build dist
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
