# Every target makes what it needs first: .venv, and for `test` the programs hapair is compared with.
# `make lab` needs nothing but Python >= 3.11 and the kernel, and no root.
#
#   make lab    [ARGS="--interval 100ms --stay"]   two nodes in namespaces; kills the MASTER and watches
#   make check  [ARGS=...]                         format, lint, import arrows, types, fast tests (ARGS: pytest's)
#   make test   [ARGS=...]                         check, then everything with namespaces and foreign programs
#   make chaos  [ARGS=...]                         the failover tests alone
#   make bench  [ARGS=...]                         CPU for each request beside HAProxy and nginx
#   make bench-failover [ARGS="--rounds 3"]       what each fault costs, beside keepalived + HAProxy
#   make clean                                     removes what the other targets made

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := check

# Debian keeps haproxy, keepalived and nft where a user's PATH does not look.
export PATH := $(PATH):/usr/sbin:/sbin

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell .ci/find-python)
FAST := not netns and not interop and not chaos and not slow
# Namespaces need root's powers; a user gets them over a network of his own.
POWERS := $(if $(filter 0,$(shell id -u)),,PYTHONPATH=$(CURDIR)/netns-lab $(BIN)/python -m lab.namespaces)

.PHONY: lab check test chaos bench bench-failover clean tools

lab: $(VENV)/.run
	@$(BIN)/python netns-lab/demo.py $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "$(FAST)" $(ARGS)

test: tools check
	$(POWERS) $(BIN)/python -m pytest -m "not ($(FAST))" $(ARGS)

chaos: $(VENV)/.dev
	$(POWERS) $(BIN)/python -m pytest tests/chaos $(ARGS)

bench: tools $(VENV)/.dev
	$(BIN)/python bench/throughput.py $(ARGS)

bench-failover: tools $(VENV)/.dev
	$(BIN)/python bench/failover.py $(ARGS)

tools:
	@.ci/install-tools

$(VENV)/.python: .ci/find-python
	@.ci/make-venv "$(PYTHON)" $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
