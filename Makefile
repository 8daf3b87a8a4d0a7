# make run: from nothing to a served twin. make test: the suite for every change. make help: the rest.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV ?= .venv
QUANTIZE_VENV ?= .venv-quantize
# A build of torch to choose: make run TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu (or …/whl/cu130)
TORCH_INDEX_URL ?=
TORCH := torch==2.13.0
# The pip that Python 3.11 brings fails on a package that is asked for with an extra twice.
NEWER_PIP := 'pip>=25.3'
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
QUANTIZE_PIP := $(QUANTIZE_VENV)/bin/python -m pip --disable-pip-version-check
TORCH_INDEX := $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL),)

.PHONY: help install install-dev run serve lint test test-deep compile manifests clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q --upgrade $(NEWER_PIP)
	$(PIP) install -q $(TORCH_INDEX) $(TORCH)
	$(PIP) install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $@

$(QUANTIZE_VENV)/.installed: requirements-quantize.txt
	$(PYTHON) -m venv $(QUANTIZE_VENV)
	$(QUANTIZE_PIP) install -q --upgrade $(NEWER_PIP)
	$(QUANTIZE_PIP) install -q $(TORCH_INDEX) $(TORCH)
	$(QUANTIZE_PIP) install -q -r requirements-quantize.txt
	@touch $@

install: $(VENV)/.installed $(QUANTIZE_VENV)/.installed ## both environments: the pipeline's and the quantizer's

install-dev: install $(VENV)/.installed-dev ## the same, and what lint and tests need

run: install ## build the sample twin, ask it, report; arguments in ARGS
	$(VENV)/bin/twin run --recipe sample $(ARGS)

serve: install ## keep the twin up on 127.0.0.1
	$(VENV)/bin/twin serve $(ARGS)

lint: install-dev ## ruff, types, import directions, every pipeline compiles
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/python -m pipelines compile --output $(VENV)/compiled

test: install-dev ## the suite for every change, under ten minutes
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -m "not deep" -n 2 --dist worksteal $(ARGS)

test-deep: install-dev ## random kills, fuzzing, load: the long ones
	$(VENV)/bin/python -m pytest -m deep --timeout 3600 $(ARGS)

compile: install ## IR YAML for Kubeflow Pipelines, into pipelines/ir: checked in, and a test holds it up to date
	$(VENV)/bin/python -m pipelines compile --output pipelines/ir

manifests: install-dev ## every overlay and mix of components: built, schemas, rules; wants LLM_TWIN_CRDS
	scripts/install_kustomize.sh
	$(VENV)/bin/python -m tests.manifest_rules $(ARGS)

clean: ## remove both environments and what was built
	rm -rf $(VENV) $(QUANTIZE_VENV) dist
