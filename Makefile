# Every target sets up what it needs. `make` alone lists them.
PYTHON ?=
VENV ?= .venv
RUNTIME_VENV ?= .venv-runtime
DEMO_HOME ?= $(if $(EVENTS),demo-events,demo)
EVENTS ?=
HOME_DIR ?=
ARGS ?=
WORKERS ?= 2
export PYTHON

BIN := $(VENV)/bin
PARALLEL := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup setup-runtime demo notebooks test test-runtime test-slow lint format bench-data bench-verdict bench-baselines bench-models bench-train wheel errors lock clean

help:  ## this list
	@echo "pagerec: learns in which order to show the rows of a home page. Targets:"
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  make %-16s %s\n", $$1, $$2}'
	@echo "Variables: VENV=folder of the environment ($(VENV)), PYTHON=a Python 3.11, EVENTS=Metarank-format file for demo, models and baselines,"
	@echo "  HOME_DIR=home for bench-train, WORKERS=test processes, each with a Spark session of its own ($(WORKERS)), ARGS=more for the command"

setup: $(VENV)/.linked  ## the virtual environment with everything in it; the second time it does nothing

setup-runtime: $(RUNTIME_VENV)/.linked  ## the same with the versions of Databricks Runtime 15.4 LTS ML

$(VENV)/.locked: requirements.lock
$(RUNTIME_VENV)/.locked: requirements-runtime.lock
$(VENV)/.locked $(RUNTIME_VENV)/.locked:
	@python=$$(sh tools/check_machine.sh "$(@D)") && sh tools/install.sh "$$python" "$(@D)" $<
	@touch $@

$(VENV)/.linked $(RUNTIME_VENV)/.linked: %/.linked: %/.locked setup.py pyproject.toml
	@$*/bin/uv pip install --quiet --python $*/bin/python --offline --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup  ## raw logs to a judged, registered model and a report, in demo/ (EVENTS=file: on real pages)
	@$(BIN)/pagerec demo --home "$(DEMO_HOME)" $(if $(EVENTS),--events "$(EVENTS)") $(ARGS)

notebooks: setup  ## the analysts' notebooks in JupyterLab on the demo's home (ARGS=--execute: run them all, without a browser)
	@test -e "$(DEMO_HOME)/home.json" || $(MAKE) --no-print-directory demo
	@PAGEREC_HOME="$(abspath $(DEMO_HOME))" $(BIN)/python tools/notebooks.py $(ARGS)

test: setup  ## the tests, in two processes (35 to 45 minutes on 2 cores)
	@$(BIN)/python -m pytest -m "not slow and not jobs" $(PARALLEL) $(ARGS)

test-runtime: setup-runtime  ## on the runtime's versions: units, registry, and the jobs from the wheel on a local cluster (25 minutes)
	@$(RUNTIME_VENV)/bin/python -m pytest -m "not slow" $(PARALLEL) tests/end_to_end/test_jobs.py tests/integration/test_registry.py \
		tests/integration/test_wheel.py tests/unit $(ARGS)

test-slow: setup  ## the longer studies
	@$(BIN)/python -m pytest -m slow $(ARGS)

lint: setup  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup  ## let ruff put the files in order
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

bench-data: setup  ## raw lines to snapshots at several sizes, as one table; hours (ARGS="--sizes 250000" for one)
	@$(BIN)/python -m benchmarks.data $(ARGS)

bench-verdict: setup  ## how often intervals and verdicts are right, on samples whose truth is known
	@$(BIN)/python -m benchmarks.verdict $(ARGS)

bench-train: setup  ## how fast training is, as ratios, and the study's experiment; two hours (HOME_DIR=a home that is prepared, 200,000 records or more)
	@test -n "$(HOME_DIR)" || { echo "bench-train needs HOME_DIR=folder of a home in which pagerec prepare has run" >&2; exit 1; }
	@$(BIN)/python -m benchmarks.train "$(HOME_DIR)" $(ARGS)
	@$(BIN)/python -m benchmarks.ranks "$(HOME_DIR)"
	@$(BIN)/python -m benchmarks.reduction
	@$(BIN)/python -m benchmarks.reduction --ranks 4
	@$(BIN)/python -m benchmarks.vocabulary
	@$(BIN)/python -m benchmarks.memory "$(HOME_DIR)"
	@$(BIN)/python -m benchmarks.experiment "$(HOME_DIR)"

bench-models: setup  ## what each option of the models is worth in simulated worlds, and (EVENTS=file) on real pages; hours
	@$(BIN)/python -m benchmarks.effects
	@$(BIN)/python -m benchmarks.ceilings
	@$(BIN)/python -m benchmarks.sampled
	@test -z "$(EVENTS)" || $(BIN)/python -m benchmarks.ranklens "$(EVENTS)" --validation --ablation

bench-baselines: setup  ## all floors and baselines on real pages, with intervals (EVENTS=file)
	@test -n "$(EVENTS)" || { echo "bench-baselines needs EVENTS=file of Metarank-format events" >&2; exit 1; }
	@$(BIN)/python -m benchmarks.baselines "$(EVENTS)" $(ARGS)

wheel: setup  ## dist/pagerec_dbx-*.whl, without network
	@rm -rf build dist
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build
	@ls dist/*.whl

errors: setup  ## docs/errors.md anew from the code
	@$(BIN)/python tools/errors.py

lock: setup  ## requirements.lock and requirements-runtime.lock anew from the .in files
	@for name in requirements requirements-runtime; do \
		$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11 \
			--custom-compile-command "make lock" $$name.in --output-file $$name.lock || exit 1; done

clean:  ## remove what the targets made, the environment and the demo's home included
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis spark-warehouse notebooks
	@if [ -e "$(RUNTIME_VENV)/.linked" ]; then rm -rf "$(RUNTIME_VENV)"; fi
	@if [ -e "$(VENV)/.linked" ]; then rm -rf "$(VENV)"; fi
	@for home in "$(DEMO_HOME)" demo demo-events; do if [ -e "$$home/home.json" ]; then rm -rf "$$home"; fi; done
