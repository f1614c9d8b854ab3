# What to type: `make lab` to learn, `make test` to check a change. `make` alone lists the rest.

PYTHON  ?= python3.11
WORKERS ?= 2
BIN     := .venv/bin
PIP     := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
# One thread each: the tests run side by side, and sums come out the same on every machine.
SERIAL  := OMP_NUM_THREADS=1
# Jupyter refuses to run as root unless told; containers have nobody else.
ROOT_OK := $(if $(filter 0,$(shell id -u)),--allow-root)
# nbgrader starts its helpers by name, so they must be found first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help lab test lint lessons gallery scoreboard grade bench bench-fast bench-grader constraints
.DELETE_ON_ERROR:

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

lab: .venv/.lab ## open lesson 00 in JupyterLab (ARGS=--no-browser on a server)
	@echo "== JupyterLab on lesson 00; stop it with Ctrl-C"
	@$(BIN)/jupyter lab $(ROOT_OK) --ServerApp.root_dir="$(CURDIR)/lessons" \
		--LabApp.default_url=/lab/tree/00_welcome/00_welcome.ipynb $(ARGS)

test: .venv/.dev ## everything that must hold: lint, then all tests
	@tools/chromium.sh
	@tools/postgres.sh
	@$(MAKE) --no-print-directory lint
	@echo "== tests, $(WORKERS) at a time"
	@$(SERIAL) $(BIN)/python -m pytest tests -n $(WORKERS) --dist loadgroup

lint: .venv/.dev ## ruff, and the lessons held against the template's numbers
	@echo "== ruff, then the lessons' lint (under a minute)"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/python -m grader.pipeline lint

lessons: .venv/.dev ## make solutions/*.ipynb and lessons/ from solutions/*.py (LESSON=05 for one)
	@echo "== lessons; one whose source did not change takes seconds, one that did is executed"
	@$(SERIAL) $(BIN)/python -m grader.pipeline build $(LESSON)

gallery: .venv/.dev ## make gallery/: every view on real data, as a notebook and as pictures
	@$(SERIAL) $(BIN)/python tools/make_gallery.py

grade: .venv/.dev ## mark a sample class of 30 from end to end, and say where its report is
	@rm -rf build/sample-class
	@$(SERIAL) $(BIN)/python -m grader.sample build/sample-class
	@echo "== marking: a minute or two; some of them loop, hog memory, or lie"
	@for command in grade feedback export similar report; do \
		$(SERIAL) $(BIN)/python -m grader $$command --course build/sample-class || exit 1; done

bench-grader: .venv/.dev ## measure the grader beside nbgrader on the same submissions (many minutes)
	@$(SERIAL) $(BIN)/python tools/bench_grader.py $(ARGS)

bench: .venv/.dev ## measure the views beside BertViz: payload, time to the first picture (many minutes)
	@tools/chromium.sh
	@$(SERIAL) $(BIN)/python tools/bench_views.py $(ARGS)

bench-fast: .venv/.dev ## measure fast attention beside torch's own and other libraries' (some minutes)
	@$(BIN)/python -m attnlab.bench $(ARGS)

scoreboard: .venv/.dev ## how well each exercise tells right from wrong; also writes it into README.md
	@echo "== scoreboard of all exercises"
	@$(SERIAL) $(BIN)/python -m grader.scoreboard

constraints: ## pin constraints.txt anew, from what a fresh environment gets today
	@tools/pin.sh "$(PYTHON)"

.venv/bin/python:
	@tools/venv.sh "$(PYTHON)"

.venv/.lab: .venv/bin/python pyproject.toml constraints.txt
	@echo "== installing what the lessons need: about 3 minutes, 430 MB (more with CUDA)"
	@$(PIP) --editable '.[lab]'
	@touch $@

.venv/.dev: .venv/bin/python pyproject.toml constraints.txt
	@echo "== installing what the tests need: about 4 minutes, 530 MB (more with CUDA)"
	@$(PIP) --editable '.[dev]'
	@touch .venv/.lab $@
