# Every target makes what it needs first: .venv, and for `test` the programs hapair is compared with.
# `make lab` needs nothing but Python >= 3.11 and the kernel, and no root.
#
#   make lab    [ARGS="--interval 100ms --stay"]   two nodes in namespaces; kills the MASTER and watches
#   make check  [ARGS=...]                         format, lint, import arrows, types, fast tests (ARGS: pytest's)
#   make test   [ARGS=...]                         check, then everything with namespaces and foreign programs
#   make chaos  [SEEDS=20 | SEED=7 | ONLY=guard] [BESIDE=keepalived] [ARGS=...]
#                                                  the failover tests alone; so many random sequences, one again, or what
#                                                  has that word in its name; a page with timelines (docs/chaos.md)
#   make bench  [ARGS=...]                         CPU, latency and memory beside HAProxy and nginx
#   make soak   [ARGS="--minutes 1"]               traffic and faults for ten minutes: is anything left behind?
#   make bench-failover [ARGS="--rounds 3 --ipv6"] what each fault costs, beside keepalived + HAProxy
#   make bench-lateness [ARGS="--minutes 10"]      how late adverts are while the MASTER is saturated
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
# What pytest returns when ARGS leave no test.
NONE := 5
# Namespaces need root's powers; a user gets them over a network of his own.  There he is called root, and
# pytest would use the directory of the real one.
SCRATCH := /tmp/hapair-tests-$(shell id -u)
POWERS := $(if $(filter 0,$(shell id -u)),,mkdir -p -m 700 $(SCRATCH) && PYTEST_DEBUG_TEMPROOT=$(SCRATCH) PYTHONPATH=$(CURDIR)/netns-lab $(BIN)/python -m lab.namespaces)

.PHONY: lab check test chaos bench soak bench-failover bench-lateness clean tools

lab: $(VENV)/.run
	@$(BIN)/python netns-lab/demo.py $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "$(FAST)" $(ARGS)

test: tools check
	$(BIN)/python -m pytest -m "slow and not netns and not interop and not chaos" $(ARGS) || [ $$? -eq $(NONE) ]
	$(POWERS) $(BIN)/python -m pytest -m "netns or interop or chaos" $(ARGS)

chaos: export SEEDS := $(SEEDS)
chaos: export SEED := $(SEED)
chaos: export ONLY := $(ONLY)
# A number of seeds may take an hour: the first that fails ends it.
CHAOS := $(if $(SEED),tests/chaos/test_sequences.py,$(if $(ONLY),tests/chaos/test_disturbances.py,tests/chaos)) \
	$(if $(SEEDS),--exitfirst) $(if $(BESIDE),--beside=$(BESIDE))
chaos: $(VENV)/.dev
	$(POWERS) $(BIN)/python -m pytest $(CHAOS) $(ARGS)

bench: tools $(VENV)/.dev
	$(BIN)/python bench/throughput.py $(ARGS)
	$(BIN)/python bench/idle.py $(ARGS)

soak: $(VENV)/.dev
	$(BIN)/python bench/soak.py $(ARGS)

bench-failover: tools $(VENV)/.dev
	$(BIN)/python bench/failover.py $(ARGS)

bench-lateness: tools $(VENV)/.dev
	$(BIN)/python bench/lateness.py $(ARGS)

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
