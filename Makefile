# Every target sets up what it needs, in .venv, from Python alone (3.11 or later).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

MODEL ?= isoclr-small
DATA ?= ../shared/data

.PHONY: demo results test test-fast torture lint format code docs bench clean help
.DEFAULT_GOAL := demo

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: .venv/.installed ## the whole path on simulated genomes, in ./demo
	$(BIN)/isoclr demo --output demo

results: .venv/.installed ## a card's tables and figures anew, and what differs: MODEL=isoclr-small DATA=../shared/data
	$(BIN)/isoclr reproduce --model model_cards/$(MODEL) --data $(DATA) --output results/$(MODEL)

# An older transformers beside the torch of .venv: saved models must load in both.
.venv-transformers4/.installed: constraints-transformers4.txt .venv/.installed
	rm -rf .venv-transformers4
	$(BIN)/python -m pip install --quiet --no-deps --no-compile --target .venv-transformers4 --requirement $<
	touch $@

test: .venv/.installed .venv-transformers4/.installed ## all tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope

test-fast: .venv/.installed ## the tests that take seconds
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope -m 'not slow'

torture: .venv/.installed ## 200 kills of training runs at random moments, about ten minutes
	$(BIN)/python tests/torture.py 200

lint: .venv/.installed ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --project pyproject.toml

code: .venv/.installed ## the model's code into the folders of model_cards, after it has changed
	$(BIN)/python -m isoclr.model_folder model_cards/*/

format: .venv/.installed ## put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.installed ## the site: guides, tutorials, commands, recipe keys, API, in ./site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

bench: .venv/.installed ## speed and memory beside peers, for an idle machine
	for part in annotation build pairs tokenizer encoder loss training; do \
		$(BIN)/python benchmarks/$$part.py || exit 1; \
	done

clean:
	rm -rf .venv .venv-transformers4 demo build dist site *.egg-info

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12
