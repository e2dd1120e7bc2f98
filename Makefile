# Every target works from a fresh clone: it makes .venv and installs the locked versions by itself when it has to.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONFIG ?= config/config.yaml
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest
# A file goes whole to one of WORKERS processes, each with servers of its own (docs/adr/0017-second-pass.md); 0: no processes.
WORKERS ?= 2
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# The first interpreter on PATH that really runs and is 3.11, 3.12 or 3.13; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
  if $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then echo $$p; break; fi; done)

.PHONY: help install-dev lock format lint type-check contracts security quality check test test-fast test-integration test-timescale validate \
  db-init db-migrate run-historical run-live sim logs demo bench bench-db bench-memory bench-backfill bench-backtest fuzz torture-db validate-data controls controls-smoke docs docs-serve clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
	  echo "error: no Python 3.11, 3.12 or 3.13 on PATH; install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; fi
	@echo "installing into $(VENV) with $$($(PYTHON) --version) (about a minute, once)"
	@$(PYTHON) -m venv $(VENV) || { echo "error: '$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PIP) install --require-hashes --no-deps -r requirements/dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(PIP) check
	@touch $@

install-dev: $(STAMP) ## Make .venv and install the locked versions, with the tools for development

lock: ## Resolve requirements/*.lock again from pyproject.toml (needs uv)
	uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-annotate --no-header pyproject.toml -o requirements/runtime.lock
	uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-annotate --no-header pyproject.toml --extra dev --extra docs -c requirements/runtime.lock -o requirements/dev.lock

format: $(STAMP) ## Format the code and sort the imports
	$(BIN)/ruff check --select I --fix --quiet .
	$(BIN)/ruff format .

lint: $(STAMP) ## ruff's rules
	$(BIN)/ruff check .

type-check: $(STAMP) ## mypy --strict
	$(BIN)/mypy

contracts: $(STAMP) ## import-linter: imports point one way only
	$(BIN)/lint-imports

security: $(STAMP) ## bandit
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src

quality: $(STAMP) ## Formatting, lint, types, security and import contracts
	$(BIN)/ruff format --check .
	@$(MAKE) lint type-check security contracts

check: $(STAMP) ## Before every push: lint, types, contracts, fast tests
	@$(MAKE) lint type-check contracts test-fast

test: $(STAMP) ## The whole suite with the coverage gate
	$(PYTEST) $(PARALLEL) --cov --cov-report=term --cov-report=xml

test-fast: $(STAMP) ## The suite without slow and integration tests
	$(PYTEST) $(PARALLEL) -q -m "not slow and not integration"

test-integration: $(STAMP) ## Only the tests that need PostgreSQL or sockets
	$(PYTEST) $(PARALLEL) -m integration

test-timescale: $(STAMP) ## The same, the database tests on TimescaleDB only: this machine's, or INTRADAY_TEST_TIMESCALE_DSN
	INTRADAY_TEST_TIMESCALE=only $(PYTEST) $(PARALLEL) -m integration

validate: $(STAMP) ## Check the configuration, then this machine
	$(BIN)/intraday config validate --config $(CONFIG)
	$(BIN)/intraday doctor --config $(CONFIG)

validate-data: $(STAMP) ## Import every real set beside the project and hold the database against the files (minutes)
	INTRADAY_ALL_SETS=1 INTRADAY_ALL_TICKS=1 $(PYTEST) -q tests/integration/test_nse_sets.py tests/golden/test_real_ticks.py

db-init: $(STAMP) ## Start the database if it is ours, and bring the schema up
	$(BIN)/intraday db init --config $(CONFIG)

db-migrate: $(STAMP) ## Bring the schema to the newest version
	$(BIN)/intraday db migrate --config $(CONFIG)

run-historical: $(STAMP) ## HISTORICAL_MODE: instruments, candles, features, labels, model
	$(BIN)/intraday historical --config $(CONFIG)

run-live: $(STAMP) ## LIVE_MODE with the configured feed
	$(BIN)/intraday live --config $(CONFIG)

sim: $(STAMP) ## A Kite-compatible exchange on 127.0.0.1:8150, at 60 times its speed
	$(BIN)/intraday sim --config $(CONFIG)

logs: ## Follow the program's log
	@if [ -f var/logs/intraday.log ]; then tail -n 100 -F var/logs/intraday.log; \
	else echo "no log yet: var/logs/intraday.log is written by the first run (make run-historical)"; fi

demo: $(STAMP) ## The whole system on a synthetic market, or on real data with DATA=../shared/data
	@$(BIN)/intraday demo $(if $(DATA),--data "$(DATA)")

bench: $(STAMP) ## Every benchmark but bench-db's and bench-memory's; each ends with one JSON line
	@for b in $(filter-out benchmarks/bench_db% benchmarks/bench_memory%,$(wildcard benchmarks/bench_*.py)); do echo "== $$b"; $(BIN)/python "$$b"; done

bench-db: $(STAMP) ## The database in bulk, a live minute, a billion feature values; INTRADAY_BENCH_DSN names a second server
	@$(BIN)/python benchmarks/bench_db.py
	@$(BIN)/python benchmarks/bench_db_live.py
	@$(BIN)/python benchmarks/bench_db_features.py

bench-memory: $(STAMP) ## Peak memory of features and labels over 1, 3 and 10 million bars (half an hour, 12 GB of disk)
	@$(BIN)/python benchmarks/bench_memory.py --picture docs/images/bench-memory.png

bench-backtest: $(STAMP) ## Instrument-days a minute of a backtest; INTRADAY_BENCH_BACKTEST names a Python with its peers
	@$(BIN)/python benchmarks/bench_backtest.py

bench-backfill: $(STAMP) ## A year of minutes of 200 instruments from the simulator, in virtual time (minutes)
	@$(BIN)/python benchmarks/bench_backfill.py --instruments 200 --kills 10

controls: $(STAMP) ## 400 null markets and the power grid into var/controls; hours, can be stopped and goes on
	$(BIN)/python scripts/run_controls.py

controls-smoke: $(STAMP) ## A slice of them
	$(BIN)/python scripts/run_controls.py --smoke

fuzz: $(STAMP) ## A million packets against the official parser, a million broken frames
	INTRADAY_FUZZ_FRAMES=1000000 $(PYTEST) -q tests/golden/test_wire_official.py tests/property/test_wire_mutations.py tests/property/test_wire_fuzz.py

torture-db: $(STAMP) ## kill -9 of the database server, 20 times in each kind of work; of its starters and upgraders in 40 places
	INTRADAY_TORTURE_KILLS=20 INTRADAY_TORTURE_PLACES=40 $(PYTEST) tests/integration/test_db_torture.py \
	  tests/integration/test_db_embedded_crash.py tests/integration/test_db_upgrade.py

docs: $(STAMP) ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html"

docs-serve: $(STAMP) ## Serve the documentation on http://127.0.0.1:8000
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8000

clean: ## Remove caches and build output; never touches var/ or .venv
	rm -rf build dist site htmlcov .coverage .coverage.* coverage.xml .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
