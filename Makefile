# Every target a reader needs; `make` alone lists them.
PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=
WHEELS ?=
override WHEELS := $(WHEELS:~/%=$(HOME)/%)
SUB    := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN    := "$(VENV)"/$(SUB)
PY     := $(BIN)/python
PYTEST := $(PY) -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder
ESCAPED := $(subst $() ,\ ,$(VENV))
STAMP  := $(ESCAPED)/.installed
WITH   := $(ESCAPED)/.with-
# What a wheelhouse has beside the chapters' packages: names of files in requirements.
GROUPS ?= test
UV     ?= $(shell command -v uv 2>/dev/null)
# Python compiles what is imported, once; installers would compile five times as much.
unexport PYTHONDONTWRITEBYTECODE
INSTALL = $(if $(UV),"$(UV)" pip install --python $(PY),$(PY) -m pip install --no-compile --disable-pip-version-check)
LOCKED := --no-deps --require-hashes
FROM   := $(if $(WHEELS),--quiet --no-index --find-links="$(WHEELS)")
OR_SAY := $(if $(WHEELS),|| { echo "The packages cannot be installed from the folder $(WHEELS). The reason is above." \
    "If a package is missing: fill the folder on a machine with network and the same system and Python" \
    "($$($(PYTHON) --version)): make wheelhouse WHEELS=folder"; exit 1; })

.DEFAULT_GOAL := help
.PHONY: help lab chinese messages student course test test-all tensorflow test-tensorflow test-course test-browser pythons fuzz nightly newman scale test-ray hub site wheelhouse notebooks protos lint bench bench-check chaos soak quality lock clean

help:  ## list these targets
	@$(PYTHON) -c "import re; [print(f'  make {m[1]:<12} {m[2]}') for m in re.finditer(r'^([a-z-]+):.*?## (.*)$$', open('Makefile', encoding='utf-8').read(), re.M)]"

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) otw/supported.py $(MAKECMDGOALS)
	@test -z "$(WHEELS)" || test -d "$(WHEELS)" || { echo "There is no folder $(WHEELS)." \
	    "Look at its name again, or fill it on a machine with network: make wheelhouse WHEELS=folder"; exit 1; }
	$(PYTHON) -m venv "$(VENV)"
	$(INSTALL) $(FROM) $(LOCKED) -r requirements.txt $(OR_SAY)
	$(INSTALL) $(FROM) --no-deps --no-build-isolation -e .
	@$(PY) -c "open('$@', 'w').close()"

$(WITH)%: requirements/%.txt $(STAMP)
	$(INSTALL) $(FROM) $(LOCKED) -r $< $(OR_SAY)
	@$(PY) -c "open('$@', 'w').close()"

lab: $(STAMP)  ## install if needed, start the practice services, open JupyterLab (ARGS="--no-browser" and the like go to JupyterLab)
	$(BIN)/otw lab $(ARGS)

chinese: $(WITH)test $(WITH)chinese  ## write the chapters in Chinese into notebooks/zh, and install a font for their pictures; then: otw lab --language zh
	$(PY) -m tests.language.chinese

messages: $(WITH)test  ## bring the catalogues of translations in otw/locales up to date with the English texts
	$(PY) -m tests.language.messages

student: $(STAMP)  ## write build/student, or DIR=folder: what students get, without solutions; in a folder where one has worked, their answers stay
	$(PY) -m tests.course.student $(if $(DIR),"$(DIR)")

course: $(WITH)course  ## write build/course, or DIR=folder: the chapters as an nbgrader course, with solutions, hidden tests and points; installs nbgrader
	$(PY) -m tests.course.grading $(if $(DIR),"$(DIR)")

test: $(WITH)test  ## see that all works here: every notebook, the calls, each service once; 3 minutes
	$(PYTEST) $(ARGS)

test-all: $(WITH)test  ## every test, also of the services, the explorer and the installation
	$(PYTEST) notebooks helpers workbench practice otw tests $(ARGS)

tensorflow: $(WITH)tensorflow  ## add TensorFlow to the environment: for SavedModels, and the cells of chapter 03 that name it

scale: $(WITH)scale  ## add Ray Serve to the environment: for chapter 10

test-tensorflow: $(WITH)test $(WITH)tensorflow $(WITH)models  ## the tests that need TensorFlow, which the others leave out
	$(PYTEST) -m "tensorflow and not nightly and not browser" notebooks tests $(ARGS)

test-ray: $(WITH)test $(WITH)scale  ## the tests that need Ray, chapter 10 among them
	$(PYTEST) -m "ray and not nightly and not browser" notebooks tests $(ARGS)

test-course: $(WITH)test $(WITH)course  ## the students' folder, and two chapters graded by nbgrader; without it, that is left out
	$(PYTEST) tests/course $(ARGS)

test-browser: $(WITH)test $(WITH)browser  ## drive JupyterLab in Chromium as a person would; says so when there is no Chromium
	$(PY) -m pytest -m browser -rs tests/browser $(ARGS)

pythons:  ## the chapters and a call of each service on other Pythons: PYTHONS="python3.12 python3.13"
	@for python in $(or $(PYTHONS),python3.12 python3.13); do \
	    $(MAKE) test PYTHON="$$python" VENV="build/$$python" ARGS="notebooks tests/test_services.py" && \
	    "build/$$python/$(SUB)/python" -m tests.ran || exit 1; done

fuzz: $(WITH)test  ## look for inputs that nobody thought of, for as long as a coffee takes
	$(PYTEST) -m "hypothesis or fuzz" --hypothesis-profile=fuzz tests $(ARGS)

nightly: $(WITH)test $(WITH)chinese  ## what takes too long for each change: chaos, soak, fuzz, all forgeries, chapters again and again, all of them graded
	$(MAKE) chaos ARGS=
	$(MAKE) soak ARGS=
	$(MAKE) test-course VENV=build/nbgrader ARGS='-m ""'
	$(PYTEST) -m "hypothesis or nightly" --hypothesis-profile=fuzz tests $(ARGS)

newman:  ## install newman into build: it runs Postman's collections without Postman; needs Node.js with npm, and network
	@command -v npm > /dev/null || { echo "There is no npm. Install Node.js 16 or later: https://nodejs.org"; exit 1; }
	npm install --prefix build/newman --no-save --no-fund --no-audit newman@6.2.2

NPM := build/npm/node_modules/.package-lock.json
site: $(WITH)site $(NPM)  ## write README, docs and notebooks as a book: build/site/index.html; needs Node.js with npm, and network
	rm -rf build/site
	$(PY) -m sphinx -W --keep-going --quiet -c docs/site -d build/site-doctrees . build/site
	$(PY) -m sphinx -W --keep-going --quiet -E -c docs/site -d build/site-doctrees/zh -D language=zh_CN . build/site/zh
	@echo "The book is there: build/site/index.html"

# html-manager brings what it needs in its bundle: its dependencies are left out of package-lock.json.
$(NPM): docs/site/package-lock.json
	@command -v npm > /dev/null || { echo "There is no npm. Install Node.js 16 or later: https://nodejs.org"; exit 1; }
	mkdir -p build/npm
	cp docs/site/package.json docs/site/package-lock.json build/npm
	npm ci --prefix build/npm --ignore-scripts --no-fund --no-audit
	@touch $@

hub: $(WITH)test  ## install JupyterHub and its proxy into build, for the test of docs/class.md; needs Node.js with npm, and network
	@command -v npm > /dev/null || { echo "There is no npm. Install Node.js 18 or later: https://nodejs.org"; exit 1; }
	$(INSTALL) --target build/hub jupyterhub==6.1.1
	npm install --prefix build/hub --no-save --no-fund --no-audit configurable-http-proxy@5.3.0

notebooks: $(WITH)test $(WITH)tensorflow $(WITH)scale  ## run the notebooks in place: outputs and widget state are kept, execution times are not
	$(PY) -m tests.run_notebooks $(ARGS)

protos: $(WITH)test  ## generate the message classes, and CCAI's stubs, from the .proto files
	$(PY) -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. protos/inference_service.proto
	$(PY) -m grpc_tools.protoc -I. --python_out=. --pyi_out=. protos/server_files.proto protos/warmup.proto
	$(PY) -m grpc_tools.protoc -Iprotos -Iprotos/tensorflow/compiler --python_out=protos $(wildcard protos/tensorflow/core/*/*.proto)
	$(PY) -m grpc_tools.protoc -Iprotos/tensorflow/compiler --python_out=protos/tensorflow/compiler xla/tsl/protobuf/error_codes.proto
	$(PY) -c "import pathlib; path = pathlib.Path('protos/tensorflow/core/protobuf/error_codes_pb2.py'); path.write_text(path.read_text('utf-8').replace('from xla.', 'from tensorflow.compiler.xla.'), 'utf-8', newline='\n')"

wheelhouse:  ## fill the folder WHEELS (default: wheels) for machines without network; there: make lab WHEELS=folder
	@$(PYTHON) otw/supported.py $(MAKECMDGOALS)
	$(PYTHON) -m venv --clear build/wheelhouse
	build/wheelhouse/$(SUB)/python -m pip download --disable-pip-version-check --only-binary=:all: \
	    $(LOCKED) -r requirements.txt $(GROUPS:%=-r requirements/%.txt) -d "$(or $(WHEELS),wheels)"

lint: $(WITH)test $(WITH)lint  ## ruff (notebooks too), mypy, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

chaos: $(WITH)test  ## break the services on purpose while clients call them, and count what came of it; 10 minutes
	$(PY) -m tests.chaos $(ARGS)

soak: $(WITH)test  ## 100,000 requests to the practice TensorFlow Serving while its models change; 4 minutes
	$(PY) -m tests.soak $(ARGS)

bench: $(WITH)test $(WITH)tensorflow  ## measure what docs/measured.md promises; for an idle machine
	$(PY) -m tests.benchmarks $(ARGS)

bench-check: $(WITH)test $(WITH)tensorflow  ## fail when the client is 15 % slower than promised; for an idle machine
	$(PY) -m tests.benchmarks --check $(ARGS)

quality: $(WITH)test  ## measure how good the engines behind the practice CCAI are
	$(PY) -m tests.quality

EXPORT := build/uv/$(SUB)/uv export --format requirements-txt --no-emit-index-url --no-emit-project --no-header --quiet
lock:  ## resolve requirements.txt and requirements/ anew, with uv in a virtual environment of its own
	$(PYTHON) -m venv build/uv
	build/uv/$(SUB)/python -m pip install --quiet --disable-pip-version-check uv
	build/uv/$(SUB)/uv lock --upgrade
	for group in $(basename $(notdir $(wildcard requirements/*.txt))); do \
	    $(EXPORT) --only-group $$group --output-file requirements/$$group.txt || exit 1; done
	$(EXPORT) --no-default-groups --group build --output-file requirements.txt

clean:  ## stop the practice services and remove what the other targets made
	-@test ! -x $(BIN)/otw || $(BIN)/otw practice down
	rm -rf "$(VENV)" build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
