# Everything a newcomer needs is `make demo` and `make test`; both work from a fresh clone with only Python and make.

PYTHON ?= python3
# By file, since tests of one file share what is slow to set up; not more at once than a small machine can bear; and not
# the files with few and long tests last, when nothing is left to do beside them.
PYTEST_ARGS ?= --numprocesses auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder
LAKE_TESTS ?= tests/collector/store/test_conformance.py tests/collector/store/test_minutes.py \
	tests/collector/store/test_hours.py tests/collector/store/test_views.py tests/collector/store/test_lake_sharing.py \
	tests/test_quack.py tests/test_lake_kill.py
BENCHMARKS ?= ingest query analysis rules rollups dashboard watching

VENV := .venv
TEST_VENV := build/test-environment
RAY_VENV := build/ray-environment
LAKE_VENV := build/lake-environment
# The version that has the extensions of a lake as packages; it is supported beside the one of constraints.txt.
LAKE_DUCKDB := 1.5.5
LAKE_EXTENSIONS := ducklake postgres httpfs quack
WHEELS := build/wheels

# The stamps make a second run instant; what they depend on makes it honest.
PINS := pyproject.toml constraints.txt scripts/environment
READY_TO_RUN := $(VENV)/.ready-to-run
READY_TO_DEVELOP := $(VENV)/.ready-to-develop
READY_TO_TEST := $(TEST_VENV)/.ready-to-test
READY_FOR_RAY := $(RAY_VENV)/.ready-to-test
READY_FOR_LAKE := $(LAKE_VENV)/.ready-to-test

INSTALL = -m pip install --quiet --constraint constraints.txt
# Where only tests run, Python compiles the few modules that they import, side by side, and pip not all of them before.
INSTALL_TO_TEST = $(INSTALL) --no-compile
BUILD_WHEEL = rm -rf $(WHEELS) && \
	$(VENV)/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir $(WHEELS) .

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
unexport PYTHONPATH
unexport PYTHONHOME

.PHONY: help demo test test-ray test-lake test-older-duckdb lint format bench bench-lake fuzz chaos overload soak record pins clean

help:
	@echo "make demo    load the sample traces, start the collector, print where it listens and what to ask it"
	@echo "make test    lint, then build the wheel, install it on its own and test it"
	@echo "make test-ray  test the analysis spread over Ray, in an environment of its own"
	@echo "make test-lake  the store on DuckDB $(LAKE_DUCKDB) and in a DuckLake, and DuckDB's remote protocol (Debian's postgresql needed)"
	@echo "make test-older-duckdb  test the whole collector with DuckDB $(LAKE_DUCKDB)"
	@echo "make lint    ruff, mypy and the import rules"
	@echo "make format  let ruff format and mend the code"
	@echo "make bench   measure ingest, queries, the analysis and the rules, as JSON"
	@echo "make bench-lake  what a span takes in a lake, beside one in a file"
	@echo "make chaos   kill, pause and starve real collectors, 200 times: what was acknowledged must be stored, once"
	@echo "make overload  four times what can be sustained, for five minutes: nothing may be lost, and memory is bounded"
	@echo "make soak    half the top rate for half an hour, with queries, retention and rollups: all must stay flat"
	@echo "make fuzz    a million damaged requests, and every call of the query API with odd values; takes an hour"
	@echo "make record  record the sample traces anew, in a quarter of an hour (PostgreSQL and RabbitMQ needed)"
	@echo "make pins    write constraints.txt anew from the newest versions"
	@echo "make clean   remove everything that make has made"

demo: $(READY_TO_RUN)
	@$(VENV)/bin/lithoscope demo

# What is tested is the built wheel in an environment without the source tree; PYTHONSAFEPATH keeps the working
# directory off the import path of the processes that tests start.
test: lint $(READY_TO_TEST)
	@$(BUILD_WHEEL)
	@$(TEST_VENV)/bin/python -m pip install --quiet --no-deps --force-reinstall $(WHEELS)/lithoscope-*.whl
	@LITHOSCOPE_TEST_INSTALLED=1 PYTHONSAFEPATH=1 $(TEST_VENV)/bin/pytest $(PYTEST_ARGS)

# Ray takes 240 MB, which nobody else shall wait for: without it these tests skip themselves.
test-ray: $(READY_FOR_RAY)
	@$(BUILD_WHEEL)
	@$(RAY_VENV)/bin/python -m pip install --quiet --no-deps --force-reinstall $(WHEELS)/lithoscope-*.whl
	@PYTHONSAFEPATH=1 $(RAY_VENV)/bin/pytest -p no:cacheprovider tests/analytics/test_ray.py

# DuckDB's extensions lie in a home of their own, so that nobody's is touched.
test-lake: $(READY_FOR_LAKE)
	@$(BUILD_WHEEL)
	@$(LAKE_VENV)/bin/python -m pip install --quiet --no-deps --force-reinstall $(WHEELS)/lithoscope-*.whl
	@HOME=$(CURDIR)/$(LAKE_VENV)/home PYTHONSAFEPATH=1 \
		scripts/with-postgres $(LAKE_VENV)/bin/pytest -p no:cacheprovider $(LAKE_TESTS)

test-older-duckdb: $(READY_FOR_LAKE)
	@$(BUILD_WHEEL)
	@$(LAKE_VENV)/bin/python -m pip install --quiet --no-deps --force-reinstall $(WHEELS)/lithoscope-*.whl
	@PYTHONSAFEPATH=1 $(LAKE_VENV)/bin/pytest -p no:cacheprovider $(PYTEST_ARGS) tests/collector

lint: $(READY_TO_DEVELOP)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo

format: $(READY_TO_DEVELOP)
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

bench: $(READY_TO_DEVELOP)
	@for name in $(BENCHMARKS); do $(VENV)/bin/python -m benchmarks.$$name || exit 1; done

bench-lake: $(READY_FOR_LAKE)
	@HOME=$(CURDIR)/$(LAKE_VENV)/home PYTHONPATH=$(CURDIR) \
		scripts/with-postgres $(LAKE_VENV)/bin/python -m benchmarks.lake

chaos: $(READY_TO_DEVELOP)
	@$(VENV)/bin/python -m tests.chaos $(CHAOS_ARGS)

overload: $(READY_TO_DEVELOP)
	@$(VENV)/bin/python -m benchmarks.overload $(OVERLOAD_ARGS)

soak: $(READY_TO_DEVELOP)
	@$(VENV)/bin/python -m benchmarks.soak $(SOAK_ARGS)

fuzz: $(READY_TO_DEVELOP)
	@$(VENV)/bin/python $(INSTALL) --group fuzz
	@$(VENV)/bin/python -m tests.collector.receiver.fuzzing
	@PATH=$(CURDIR)/$(VENV)/bin:$$PATH $(VENV)/bin/python -m tests.collector.query.fuzzing

record: $(READY_TO_DEVELOP)
	@$(VENV)/bin/python -m sample_traces.record

pins: $(READY_TO_DEVELOP)
	@scripts/environment $(PYTHON) build/pins
	@build/pins/bin/python -m pip install --quiet --upgrade pip hatchling editables
	@build/pins/bin/python -m pip install --quiet --upgrade --no-build-isolation --editable '.[ray]' --group dev --group fuzz
	@build/pins/bin/python -m pip list --format freeze --exclude lithoscope --exclude setuptools > constraints.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY_TO_RUN): $(PINS)
	@scripts/environment $(PYTHON) $(VENV)
	@echo "Installing Lithoscope into $(VENV); the first time takes a minute or two."
	@$(VENV)/bin/python $(INSTALL) pip hatchling editables
	@$(VENV)/bin/python $(INSTALL) --no-build-isolation --editable .
	@touch $@

$(READY_TO_DEVELOP): $(READY_TO_RUN)
	@echo "Installing the development tools into $(VENV)."
	@$(VENV)/bin/python $(INSTALL) --group dev
	@touch $@

# An environment for tests of the built wheel: its folder, what it is for, and extras of the package.
define TEST_ENVIRONMENT
@scripts/environment $(PYTHON) $(1)
@echo "Making an environment for $(2) in $(1)."
@$(BUILD_WHEEL)
@$(1)/bin/python $(INSTALL) pip
@$(1)/bin/python $(INSTALL_TO_TEST) --group dev "$$(ls $(WHEELS)/lithoscope-*.whl)$(3)"
endef

$(READY_TO_TEST): $(READY_TO_DEVELOP)
	$(call TEST_ENVIRONMENT,$(TEST_VENV),the built wheel)
	@$(TEST_VENV)/bin/python -m pip check
	@touch $@

$(READY_FOR_RAY): $(READY_TO_DEVELOP)
	$(call TEST_ENVIRONMENT,$(RAY_VENV),tests with Ray,[ray])
	@touch $@

$(READY_FOR_LAKE): $(READY_TO_DEVELOP)
	$(call TEST_ENVIRONMENT,$(LAKE_VENV),tests with a lake)
	@$(LAKE_VENV)/bin/python -m pip install --quiet duckdb==$(LAKE_DUCKDB) \
		duckdb-cli==$(LAKE_DUCKDB) $(LAKE_EXTENSIONS:%=duckdb-extension-%==$(LAKE_DUCKDB))
	@mkdir -p $(LAKE_VENV)/home
	@HOME=$(CURDIR)/$(LAKE_VENV)/home $(LAKE_VENV)/bin/python scripts/lake-extensions
	@touch $@
