# Everything a person does with this repository. `make help` lists the targets.
SHELL := bash
VENV ?= .venv
SEED ?= 1
PYTHON := $(VENV)/bin/python
# Root by `su` alone keeps the PATH of a user, where no administration program is found.
export PATH := $(abspath $(VENV))/bin:$(PATH):/usr/local/sbin:/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help demo up down test test-fast sim lint images engine bench clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(VENV)/.installed engine ## From nothing to real nginx Pods: cluster, Deployment, shared localhost, self-healing
	@scripts/kubectl.sh
	@$(PYTHON) scripts/images.py nginx busybox
	@scripts/demo.sh

up: $(VENV)/.installed engine ## Start the cluster `dev`, or bring it back
	@podling up

down: $(VENV)/.installed ## Delete the cluster `dev` and everything it left on this machine
	@podling delete

test: $(VENV)/.installed-dev engine lint ## Run everything: lint, types, architecture, unit, API, kubectl, real Docker
	@$(PYTHON) scripts/images.py nginx busybox --no-pull
	@scripts/test.sh all

test-fast: $(VENV)/.installed-dev ## Run the tests that need no Docker Engine
	@scripts/test.sh fast

sim: $(VENV)/.installed-dev ## Replay one seed of the whole-cluster simulation: make sim SEED=7
	@$(PYTHON) -m tests.simulation $(SEED)

lint: $(VENV)/.installed-dev ## Check format, lint and types
	@ruff format --check .
	@ruff check .
	@mypy

images: $(VENV)/.installed engine ## Make the images that the manifests use
	@$(PYTHON) scripts/images.py nginx busybox

bench: $(VENV)/.installed-dev engine ## Measure Podling beside raw Docker on this machine
	@$(PYTHON) scripts/images.py nginx busybox --no-pull
	@$(PYTHON) -m benchmarks

clean: ## Remove the virtual environment and caches
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

engine:
	@scripts/engine.sh

$(VENV)/.installed: pyproject.toml scripts/venv.sh
	@scripts/venv.sh $(VENV) && touch $@

$(VENV)/.installed-dev: pyproject.toml scripts/venv.sh
	@scripts/venv.sh $(VENV) "[dev]" && touch $@ $(VENV)/.installed
