# Every target brings its own environment; nothing is needed but Python 3.11+, git and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Keep compiled bytecode: without it every start costs a second more.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test bench check lock lab clean
.DEFAULT_GOAL := setup

$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $(READY)

setup: $(READY)  ## create .venv with the locked packages

demo: $(READY)  ## simulate a month of NIFTY option days, backtest it, write a report
	@$(BIN)/workbench demo

test: $(READY)  ## all tests, notebooks included
	@$(BIN)/python -m pytest

bench: $(READY)  ## paired speed figures against other engines
	@$(BIN)/workbench bench

check: $(READY)  ## lint, types, import layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lab: $(READY)  ## JupyterLab in this project
	@$(BIN)/workbench lab

lock: $(READY)  ## renew requirements.lock from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url \
		--python-version 3.11 --extra dev pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
