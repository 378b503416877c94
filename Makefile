# Everything slow is cached under FINETUNE_CACHE, keyed by what it is built from, and made anew where it is absent.
FINETUNE_CACHE ?= $(HOME)/.cache/finetune-operator
export FINETUNE_CACHE
export UV_CACHE_DIR := $(FINETUNE_CACHE)/uv
# Importing the training stack compiles for ten seconds: keep what was compiled, whatever the caller prefers.
export PYTHONDONTWRITEBYTECODE :=
PYTHON ?= python3
BIN := .venv/bin
# One thread a process: small models gain nothing from more, and tests run side by side.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest

.DEFAULT_GOAL := help
.PHONY: help demo test check unit e2e lint types generate lock golden gpu-check bench clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: .venv ## a real cluster, a real FineTuneJob, its adapter (CLUSTER=current REGISTRY=host/prefix: on your cluster)
	$(BIN)/python -m e2e.demo

test: check ## everything: check, then training, API server and cluster tests
	$(PYTEST) tests -m "train or apiserver" -n 2 --dist loadfile
	$(PYTEST) e2e -m cluster

check: lint types unit ## lint, types, generated files, unit tests: under two minutes

lint: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/finetune crds --check
	$(BIN)/python -m models.generate --check
	$(BIN)/python -m docs.generate --check

types: .venv
	$(BIN)/mypy

unit: .venv
	$(PYTEST) tests -m "not train and not apiserver and not cluster" -n 2 -q

e2e: .venv ## only what runs on the real cluster
	$(PYTEST) e2e -m cluster

generate: .venv ## write the CRD, its copy in the chart, the API reference, and the tables in docs/
	$(BIN)/finetune crds
	$(BIN)/python -m models.generate
	$(BIN)/python -m docs.generate

golden: .venv ## rewrite the golden files; the diff is the review
	GOLDEN=rewrite $(PYTEST) tests -m "not train and not apiserver and not cluster" -q
	GOLDEN=rewrite $(PYTEST) tests/charts -m apiserver -q

lock: $(FINETUNE_CACHE)/uv-tool ## resolve the lock files anew from pyproject.toml
	PATH=$(FINETUNE_CACHE)/uv-tool/bin:$$PATH sh requirements/lock.sh

gpu-check: .venv ## on a machine with a GPU: prove every path that only a GPU can run, and measure it
	$(BIN)/python -m finetune_trainer.gpu_check

bench: .venv ## predictions against published measurements; the operator with 2,000 idle jobs: memory and time to ready
	$(BIN)/python -m bench.sizing
	$(BIN)/python -m bench.speed
	$(BIN)/python -m bench.operator_idle

clean: ## take the cluster down and remove what was built in the tree; the cache stays (rm -r $(FINETUNE_CACHE))
	-$(PYTHON) -m e2e.cluster down
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# The installer itself is pinned by hash; it makes a warm virtual environment a matter of seconds.
$(FINETUNE_CACHE)/uv-tool: requirements/uv.txt
	rm -rf $@.new && $(PYTHON) -m venv $@.new && $@.new/bin/pip install -q --require-hashes -r requirements/uv.txt
	rm -rf $@ && mv $@.new $@ && touch $@

.venv: requirements/dev.txt pyproject.toml | $(FINETUNE_CACHE)/uv-tool
	$(FINETUNE_CACHE)/uv-tool/bin/uv venv -q --clear --python $(PYTHON) .venv
	VIRTUAL_ENV=.venv $(FINETUNE_CACHE)/uv-tool/bin/uv pip install -q --require-hashes -r requirements/dev.txt
	VIRTUAL_ENV=.venv $(FINETUNE_CACHE)/uv-tool/bin/uv pip install -q --no-deps -e .
	@touch .venv
