# Everything a newcomer needs: `make demo` and `make test`. Only Python 3.11 to 3.13, git and make must be there already.
# PYTHON=python3.12 make test  uses another interpreter.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

# Hashed and pinned; uv installs in a fraction of pip's time.
$(STAMP): requirements/uv.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Segue needs Python 3.11 to 3.13; $$($(PYTHON) --version) was found. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-config --require-hashes --compile-bytecode -r requirements/dev.txt
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-config --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: install
install: $(STAMP) ## the virtual environment, in .venv

.PHONY: demo
demo: install ## train on public data, evaluate, promote, serve on http://127.0.0.1:8000
	$(BIN)/segue demo

# On shared cores the threads of BLAS and OpenMP wait for each other.
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1

.PHONY: test
test: check ## all checks and tests
	$(BIN)/pytest --numprocesses 2

.PHONY: check
check: install ## format, lint, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: install ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: install ## speed, as ratios against a stated peer in the same run
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.cooccurrence

.PHONY: bench-accuracy
bench-accuracy: install ## how good the lists are on dataset folders: make bench-accuracy DATA="shop/ other/"
	$(BIN)/python -m benchmarks.evaluate $(DATA)

.PHONY: lock
lock: install ## pin the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile pyproject.toml --upgrade --universal --python-version 3.11 --extra dev $(LOCK) -o requirements/dev.txt
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --extra serve $(LOCK) -c requirements/dev.txt -o requirements/serve.txt
	grep -A999 '^uv==' requirements/dev.txt | awk 'NR > 1 && /^[a-z]/ { exit } { print }' > requirements/uv.txt

LOCK := --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header
