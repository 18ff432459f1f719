# Every target works by itself on a fresh clone. The environment is .venv; nothing is installed outside this folder.
BIN := .venv/bin
READY := .venv/.ready
EMULATORS := .venv/.emulators
UV := .cache/uv/bin/uv
SHELL := /bin/bash

.DEFAULT_GOAL := help
.PHONY: help setup emulators demo docs test check bench constraints clean

help:  ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv with the package and the tools (PYTHON=… names an interpreter)

$(READY): constraints-dev.txt pyproject.toml .ci/install
	@.ci/install

emulators: $(EMULATORS)  ## add to .venv what emulates clouds (`make test` does)

$(EMULATORS): $(READY) constraints.txt .ci/install-emulators .ci/install-azurite tests/fakes/azure/npm/package-lock.json
	@.ci/install-emulators

demo: $(READY)  ## train a small model through dstack on this computer, twice
	@examples/demo.sh

docs: $(READY)  ## write the parts of docs/reference that are made from the code
	$(BIN)/python -m dstack_cloud.reference

test: $(EMULATORS)  ## run all tests; those that lack Docker or root are skipped with the reason (ARGS=… goes to pytest)
	$(BIN)/pytest $(ARGS)

check: $(EMULATORS)  ## ruff, mypy --strict, import-linter, architecture tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/architecture

bench: $(EMULATORS)  ## measure what docs/performance.md lists
	@bench/run

constraints: $(UV)  ## write the pinned dependencies anew (ARGS=--upgrade takes newer versions)
	@.ci/write-constraints $(UV) $(ARGS)

$(UV):
	@python=$$(.ci/find-python) && "$$python" -m venv .cache/uv && .cache/uv/bin/pip install --quiet uv

clean:  ## remove what was built or cached here, .venv included
	@! [ -x $(BIN)/dstack -a -d .demo ] || DSTACK_HOME=$(CURDIR)/.demo $(BIN)/dstack server stop >/dev/null 2>&1 || true
	rm -rf .venv .demo .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	find dstack_cloud tests bench examples -name __pycache__ -prune -exec rm -rf {} +
