# From a fresh clone, with nothing but make and Python 3.11 or newer: make demo, make test.
# PYTHON=python3.12 chooses another Python; ARGS="-k cancel" goes to pytest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4
PG15 := /usr/lib/postgresql/15/bin

# What squawk would have otherwise, and why it is as it is:
#   require-lock-timeout, require-statement-timeout   the runner sets both for its whole transaction
#   prefer-bigint-over-int                            counts and steps stay far below two thousand million
#   ban-create-domain-with-constraint                 a status is a domain: the check is compiled once a session
SQUAWK_EXCLUDE := require-lock-timeout,require-statement-timeout,prefer-bigint-over-int,ban-create-domain-with-constraint

.PHONY: demo test test-18 test-15 soak lint fmt golden docs bench bench-check
.DELETE_ON_ERROR:

demo: $(READY)
	$(BIN)/jobsdb demo

# Everything on the embedded PostgreSQL 18, then on Debian's 15 where its binaries are.
test: test-18 test-15

test-18: $(READY)
	$(PYTEST) $(ARGS)

test-15: $(READY)
ifneq ($(wildcard $(PG15)/postgres),)
	JOBSDB_TEST_BINDIR=$(PG15) $(PYTEST) $(ARGS)
else
	@echo "PostgreSQL 15 is not installed here: its half of the tests is left out."
endif

# The long storms in full; `make test` runs a tenth of them.
soak: export JOBSDB_SOAK := 1
soak: export PYTEST_TIMEOUT := 3600
soak: test

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --processes 0 sql
	$(BIN)/squawk --pg-version 15 --assume-in-transaction --exclude $(SQUAWK_EXCLUDE) sql/migrations/*.sql
	$(BIN)/python -m pytest -q tests/test_sql_parses.py

fmt: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/sqlfluff fix --processes 0 sql

# What `jobsdb verify` expects, written anew after a change of SQL: read the difference.
golden: $(READY)
	$(BIN)/python -m jobsdb.check.golden

# docs/reference/, written anew after a change of SQL, of a comment or of --help.
docs: $(READY)
	$(BIN)/jobsdb docs

# All of them, also when one has missed a bar.
bench: $(READY)
	@status=0; \
	for run in benchmarks benchmarks.queues benchmarks.migrators "benchmarks.campaigns docs/performance/campaigns.md" \
	  "benchmarks.check docs/performance/check.md"; do \
	  echo "$(BIN)/python -m $$run"; $(BIN)/python -m $$run || status=1; \
	done; exit $$status

# Bytes, buffers, flushes and instructions: they repeat, so they can be held against bars anywhere.
bench-check: $(READY)
	$(BIN)/python -m benchmarks.check

# The virtual environment holds this folder's path and its Python's: made anew when either is gone.
ifneq ($(shell cat $(READY) 2>/dev/null && $(BIN)/python -c ''  2>/dev/null && echo ok),$(CURDIR) ok)
.PHONY: $(READY)
CLEAR := --clear
endif

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: jobsdb needs Python 3.11 or newer, and $(PYTHON) is not." >&2; \
	  echo "hint: install it, then for example: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: this Python cannot make virtual environments." >&2; \
	  echo "hint: on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV) (once, about a minute) ..."
	@$(PYTHON) -m venv $(CLEAR) $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --require-hashes --only-binary :all: -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-index --no-deps --no-build-isolation --editable .
	@echo '$(CURDIR)' >$@
