# Two commands do everything on a fresh machine: `make book` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python

CHROMIUM ?= $(firstword $(shell command -v chromium || command -v chromium-browser || command -v google-chrome))

.PHONY: help book pdf test faults lint sync lock clean
help:  ## Say what each target does
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

book: .venv/ready  ## Execute the chapters from published results and render the book
	$(BIN)/python -m mi_core book
	$(BIN)/jupyter-book build book -W -n --keep-going
	@echo "Open book/_build/html/index.html"

pdf: book  ## Print the whole book to book/_build/report.pdf, through Chromium
	@test -n "$(CHROMIUM)" || { echo "Chromium is needed to print: install it, or name it: make pdf CHROMIUM=..."; exit 2; }
	$(BIN)/jupyter-book build book --builder singlehtml
	mv book/_build/singlehtml/chapters/introduction.html book/_build/singlehtml/report.html  # its links start there
	$(CHROMIUM) --headless --no-sandbox --no-pdf-header-footer --virtual-time-budget=60000 \
		--print-to-pdf=book/_build/report.pdf "file://$(CURDIR)/book/_build/singlehtml/report.html"

test: .venv/ready-dev  ## Run every test, the rendered book in a browser included
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

faults: .venv/ready-dev  ## Disturb whole runs: kill, interrupt, fill disks, damage files; compare circumstances; writes both tables
	$(BIN)/python -m pytest -m "fault or slow" --record=results

lint: .venv/ready-dev  ## Check style, and that notebooks and their scripts are in sync
	$(BIN)/ruff check . && $(BIN)/ruff format --check mi_core tests && $(BIN)/jupytext --test --to ipynb notebooks/*.py

sync: .venv/ready  ## Write notebooks/*.ipynb from their scripts, or the other way, whichever is newer
	$(BIN)/jupytext --sync notebooks/*.py

lock: .venv/ready-dev  ## Compile the pinned requirements from the short lists
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-header requirements.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-header requirements-dev.in -o requirements-dev.txt

clean:  ## Remove the environment and the rendered book; results, data and artefacts stay
	rm -rf .venv book/_build

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v[:2] == (3, 11) else f"Python 3.11 is needed; this is {v.major}.{v.minor}. Name another one: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv==$$(sed -n 's/^uv==//p' requirements.in)

.venv/ready: requirements.txt pyproject.toml | .venv/bin/uv
	$(UV) --require-hashes -r requirements.txt
	$(UV) --no-deps --no-build-isolation -e .
	touch $@

.venv/ready-dev: requirements-dev.txt .venv/ready
	$(UV) --require-hashes -r requirements-dev.txt
	touch $@
