# Every target a reader needs; `make` alone lists them.
PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=
WHEELS ?=
BIN    := $(if $(filter Windows_NT,$(OS)),$(VENV)/Scripts,$(VENV)/bin)
PY     := $(BIN)/python
STAMP  := $(VENV)/.installed
PIP    := $(PY) -m pip --disable-pip-version-check
FROM    = $(if $(WHEELS),--no-index --find-links="$(WHEELS)")
OR_SAY  = $(if $(WHEELS),|| { echo "The folder $(WHEELS) lacks a package for this Python and system. Fill it on a machine like this one: make wheelhouse WHEELS=folder"; exit 1; })

.DEFAULT_GOAL := help
.PHONY: help lab test test-all test-browser wheelhouse notebooks lint bench lock clean

help:  ## list these targets
	@$(PYTHON) -c "import re; [print(f'  make {m[1]:<10} {m[2]}') for m in re.finditer(r'^([a-z-]+):.*?## (.*)$$', open('Makefile', encoding='utf-8').read(), re.M)]"

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else 'Over the Wire needs Python 3.11, 3.12 or 3.13; $(PYTHON) is ' + sys.version.split()[0] + '. Name another one: make $(MAKECMDGOALS) PYTHON=python3.12')"
	@$(if $(FROM),test -d "$(WHEELS)" || { echo "There is no folder $(WHEELS). Fill it with: make wheelhouse WHEELS=$(WHEELS)"; exit 1; })
	$(PYTHON) -m venv $(VENV)
	$(PIP) install $(FROM) --no-deps --require-hashes -r requirements.txt $(OR_SAY)
	$(PIP) install $(FROM) --no-deps --no-build-isolation -e .
	@$(PY) -c "open('$(STAMP)', 'w').close()"

lab: $(STAMP)  ## install if needed, start the practice services, open JupyterLab (ARGS="--no-browser" and the like go to JupyterLab)
	$(BIN)/otw lab $(ARGS)

test: $(STAMP)  ## run the tests, notebooks included
	$(PY) -m pytest $(ARGS)

test-all: $(STAMP)  ## the tests and what takes longer: every notebook twice, offline, in shuffled order
	$(PY) -m pytest -m "not browser" $(ARGS)

test-browser: $(STAMP)  ## drive JupyterLab in Chromium as a person would; says so when there is no Chromium
	$(PY) -m pytest -m browser -rs tests/browser $(ARGS)

notebooks: $(STAMP)  ## run the notebooks in place: outputs and widget state are kept, execution times are not
	$(PY) tests/run_notebooks.py $(ARGS)

wheelhouse: FROM =
wheelhouse: OR_SAY =
wheelhouse: $(STAMP)  ## fill the folder WHEELS (default: wheels) for machines without network: make lab WHEELS=folder
	$(PIP) download --no-deps --require-hashes -r requirements.txt -d "$(or $(WHEELS),wheels)"

lint: $(STAMP)  ## ruff (notebooks too), mypy, and the size limits of helpers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PY) tests/size_limits.py

bench: $(STAMP)  ## measure what README promises; for an idle machine
	$(PY) -m tests.benchmarks $(ARGS)

lock:  ## resolve requirements.txt anew, with uv in a virtual environment of its own
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/uv/bin/uv lock --upgrade
	build/uv/bin/uv export --format requirements-txt --no-emit-index-url --no-emit-project --no-header --all-groups --quiet --output-file requirements.txt

clean:  ## stop the practice services and remove what the other targets made
	-@test ! -x $(BIN)/otw || $(BIN)/otw practice down
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
