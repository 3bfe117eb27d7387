# `make book` and `make test` each work on a fresh clone: they make .venv, install the lock and
# do the job; afterwards they reuse what is there. README.md has the same lines without make.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Written when an installation is complete, so an interrupted one is started afresh.
READY  := $(VENV)/.ready

# The coursework of a term, and what was handed in: make coursework TERM=..., make grade FROM=...
TERM = coursework/term.toml
coursework: INTO ?= _build/coursework
grade: INTO ?= _build/graded

.DEFAULT_GOAL := help
.PHONY: help book test site-test linkcheck bench notebooks format pdf quizzes slides figures coursework grade lock lint clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "  make %-11s %s\n", $$1, $$2 }'

book: $(READY)  ## build the book into _build/html, running every page whose code or library changed
	$(BIN)/jupyter-book build . -W -n --keep-going

test: $(READY)  ## run the tests of the library, the pages and the build
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

site-test: $(READY)  ## open every page of the built book in Chromium and look for faults
	$(BIN)/python -m pytest tests/site --numprocesses auto --dist loadgroup

pdf: $(READY)  ## print the built book into _build/pdf/freqsense.pdf
	$(BIN)/python tools/pdf.py

quizzes: $(READY)  ## write the checks of the pages as Moodle XML and QTI 2.1 into _build/quizzes
	$(BIN)/python tools/quizzes.py

slides: $(READY)  ## make slides of each core page of the built book, in _build/slides
	$(BIN)/python tools/slides.py

linkcheck: $(READY)  ## ask every address that the book links to whether it is still there
	$(BIN)/jupyter-book build . --builder linkcheck

bench: $(READY)  ## time the library against what one would otherwise write
	@set -e; for script in benchmarks/bench_*.py; do $(BIN)/python "$$script"; done

notebooks: $(READY)  ## write the .ipynb twin beside every page that holds code
	$(BIN)/python tools/twins.py

format: $(READY)  ## format the code cells of every page
	$(BIN)/python tools/format_pages.py

figures: $(READY)  ## copy the figures of the README out of the built book
	$(BIN)/python tools/overview.py

coursework: $(READY)  ## write release, key and trust table of TERM=FILE into INTO=_build/coursework
	PYTHONPATH=coursework $(BIN)/python -m grader coursework --term "$(TERM)" --into "$(INTO)"

grade: $(READY)  ## grade the notebooks of FROM=FOLDER for TERM=FILE into INTO=_build/graded
	$(if $(FROM),,$(error say which folder: make grade FROM=FOLDER))
	PYTHONPATH=coursework $(BIN)/python -m grader grade "$(FROM)" --term "$(TERM)" --into "$(INTO)" $(if $(ASSIGNMENT),--assignment "$(ASSIGNMENT)") $(if $(FILL),--fill $(FILL))

lock: $(READY)  ## resolve the newest versions allowed by pyproject.toml into requirements.txt
	$(BIN)/python tools/lock.py

lint: $(READY)  ## check style, imports and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## remove the built book and its caches, keep .venv
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Python 3.11 or newer is needed, and $(PYTHON) is %d.%d; name another one: make PYTHON=python3.11 ..." % v[:2])'
	@test -f $@ || $(PYTHON) -m venv --clear $(VENV)
	@rm -f $@
	$(BIN)/python -m pip install -r requirements.txt
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	@touch $@
