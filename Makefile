# Everything sets up what it needs, in .venv, from Python 3.11 alone.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: demo test test-fast torture lint format bench clean
.DEFAULT_GOAL := demo

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: .venv/.installed ## the whole path on simulated genomes, in ./demo
	$(BIN)/isoclr demo --output demo

# An older transformers beside the torch of .venv: saved models must load in both.
.venv-transformers4/.installed: constraints-transformers4.txt .venv/.installed
	rm -rf .venv-transformers4
	$(BIN)/python -m pip install --quiet --no-deps --no-compile --target .venv-transformers4 --requirement $<
	touch $@

test: .venv/.installed .venv-transformers4/.installed
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope

test-fast: .venv/.installed
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope -m 'not slow'

torture: .venv/.installed ## 200 kills of training runs at random moments, about ten minutes
	$(BIN)/python tests/torture.py 200

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.installed ## speed and memory beside peers, for an idle machine
	for part in annotation build pairs tokenizer encoder loss training; do \
		$(BIN)/python benchmarks/$$part.py || exit 1; \
	done

clean:
	rm -rf .venv .venv-transformers4 demo build dist *.egg-info
