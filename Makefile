# The two commands: `make run` and `make test`. Each sets itself up in .venv; `make check` is what CI runs.
# An environment of your own: PYTHON=python VENV= make test (with the requirements installed).
PYTHON ?= python3
VENV ?= .venv
BIN := $(if $(VENV),$(VENV)/bin/)
STAMP := $(if $(VENV),$(VENV)/.installed)
SNAKEMAKE := $(BIN)snakemake

.PHONY: run test test-slurm bench scale check lint lock clean

## the default experiment and its report
run: $(STAMP)
	$(SNAKEMAKE)
	$(MAKE) --no-print-directory results/report.html

# Made again only after a result has changed.
results/report.html: $(wildcard results/tables/* results/figures/*/*/*.png)
	$(SNAKEMAKE) --report $@

## every test
test: $(STAMP)
	$(BIN)python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(PYTEST)

## a Slurm of its own on this machine (Debian: slurm-wlm, as root), and the small experiment through it
test-slurm: $(STAMP)
	$(BIN)python -m pytest -m slurm tests/slurm $(PYTEST)

## what it costs, beside the floors and the usual ways: results/benchmarks.json and results/benchmarks.md
bench: $(STAMP)
	$(BIN)python -m benchmarks

## the whole pipeline on 5 GB of activations of CIFAR-10 (CONVERGENT_DATA); about half an hour
scale: $(STAMP)
	$(BIN)python -m benchmarks scale

## what CI runs
check: lint test

lint: $(STAMP)
	$(BIN)ruff check
	$(BIN)ruff format --check
	$(BIN)mypy
	$(BIN)lint-imports
	$(BIN)snakefmt --check Snakefile rules
	$(SNAKEMAKE) --lint

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "convergent needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)python -m pip install --quiet --requirement requirements.lock
	$(BIN)python -m pip install --quiet --no-deps --editable .
	touch $@

## new versions of everything, for requirements.lock
lock: $(STAMP)
	$(BIN)uv pip compile --universal --python-version 3.11 --extra dev --extra slurm --upgrade --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file requirements.lock pyproject.toml

clean:
	rm -rf .venv .snakemake
