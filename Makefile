# The active virtual environment if there is one, else .venv (see `make setup`).
VENV ?= $(if $(VIRTUAL_ENV),$(VIRTUAL_ENV),.venv)
BIN := $(VENV)/bin
PYTHON ?= python3
MUTANTS ?= *[37]

.DEFAULT_GOAL := help
.PHONY: help setup test test-gpu coverage fuzz reliability mutants guards lint format types claims licences audit pages site docs package check ci test-versions bench-overhead bench-profile bench-own-code bench-twin bench-steps bench-architectures bench-step bench-learn bench-gradient-error bench-check bench-report bench-ray quickstart clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv (or use the active one) and install the package with all tools, pinned
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'

test: ## Run the tests (those that need a GPU are skipped where there is none)
	$(BIN)/pytest -n 2 --dist loadfile

test-gpu: ## Run only the tests that need a CUDA GPU
	$(BIN)/pytest -m gpu

coverage: ## Run the tests and measure the branches they take, in all processes; fails below the floor
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 --dist loadfile
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

fuzz: ## Try LORAFA_FUZZ_EXAMPLES generated inputs of each kind (2,000; the tests try some dozens, always the same)
	LORAFA_FUZZ_EXAMPLES=$${LORAFA_FUZZ_EXAMPLES:-2000} $(BIN)/pytest tests/fuzzing

reliability: fuzz ## What docs/reliability.md tells: all kill points, 50 twin runs, 1,000 cells, generated inputs (an hour)
	LORAFA_ALL_KILL_POINTS=1 LORAFA_TWIN_RUNS=50 LORAFA_SOAK_CELLS=1000 $(BIN)/pytest -s tests/reliability
	$(BIN)/pytest tests/devices/sim/test_gpu_trace.py

mutants: ## Change MUTANTS of what judges and keeps ('*[37]', a fifth; '*' is all), and say how many tests and mypy notice
	PATH=$(abspath $(BIN)):$$PATH mutmut run '$(MUTANTS)'
	$(BIN)/python benchmarks/mutants.py '$(MUTANTS)' > reports/reliability/mutants.csv

guards: ## Take each guard of benchmarks/guards.yaml out, and name the test that turns red
	$(BIN)/python benchmarks/guards.py > reports/reliability/guards.csv

lint: ## Check style, formatting and the order of the rooms, change nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: ## Put style and formatting right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: ## Check types, strictly
	$(BIN)/mypy

claims: ## Check the project's own memory claims on the twin
	$(BIN)/lorafa-prof check claims/own-steps claims/lora-fa-paper claims/peft-docs

licences: ## List the licences of what is installed; one that pyproject.toml does not allow is a failure
	$(BIN)/python .ci/licences.py

audit: ## Ask pip-audit for known faults of the pinned packages, where it can be reached
	$(BIN)/python .ci/audit.py

pages: ## Run the commands on README and the pages of docs/, and write what they print now into them
	$(BIN)/python .ci/pages.py

site: ## Build the documentation's site into site/; a warning is a failure
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

docs: site ## Build the site, run the commands of its pages and the notebook
	$(BIN)/pytest tests/site

package: ## Build sdist and wheel, and the image where Docker is, and use each where no checkout is
	PYTHON=$(abspath $(BIN))/python .ci/package

check: lint types test claims ## Everything a pull request must pass, in this environment

ci: ## The same as CI: a fresh environment and the README's own test command
	.ci/run

test-versions: ## Try other releases (.ci/versions.txt): the oldest and newest transformers and PEFT, or SETS
	.ci/versions $(SETS)

bench-overhead: ## Measure what the instruments themselves cost
	$(BIN)/python benchmarks/overhead.py

bench-profile: ## Measure what lorafa_prof.profile costs a loop where nothing is attributed
	$(BIN)/python benchmarks/profile_overhead.py

bench-own-code: ## Run the scripts of examples/ on this GPU as they are, and predict them: reports/own-code (10 minutes)
	$(BIN)/python benchmarks/own_code.py

bench-twin: ## Measure what a prediction costs: single cells, a sweep of 100, host memory
	$(BIN)/python benchmarks/twin.py

bench-steps: ## Predict every cell of reports/h200-steps again, and compare with what an H200 did (minutes; tests try a third)
	LORAFA_ALL_STEPS=1 $(BIN)/pytest -n 2 tests/running/test_steps_table.py tests/running/test_steps_off.py

bench-step: ## Measure our step beside its peers' on this GPU: reports/h200-step/llama-2-7b.csv (5 minutes)
	$(BIN)/python benchmarks/step.py

bench-learn: ## Measure what the learning loop costs over the bare step
	$(BIN)/python benchmarks/learn.py

bench-gradient-error: ## Train a Llama on TEXT (plain files) on this GPU, and measure what a quantized base costs in gradient error: reports/gradient-error
	$(BIN)/python benchmarks/gradient_error.py --text $(TEXT)

bench-architectures: ## Train every text architecture of transformers, small, on the twin and the CPU: docs/architectures.md (a quarter of an hour)
	$(BIN)/python benchmarks/architectures.py --output docs/architectures.md

bench-check: ## Measure what checking the shipped memory claims costs
	$(BIN)/python benchmarks/check.py

bench-report: ## Measure what a report of 200 cells costs, and its size
	$(BIN)/python benchmarks/report.py

bench-ray: ## Measure what Ray costs a sweep of 1,000 tiny predicted cells: reports/ray-sweep (a quarter of an hour)
	$(BIN)/python benchmarks/ray_sweep.py > reports/ray-sweep/ray_sweep.csv

quickstart: ## Predict Llama-2-7B on an 80 GB H100 into out/quickstart
	$(BIN)/lorafa-prof run scenarios/quickstart.yaml -o out/quickstart

clean: ## Remove caches and build outputs, never results
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
