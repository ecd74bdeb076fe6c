# The two that matter: `make demo` and `make test`. Each does all of its own set-up.
# Empty: the first of python3, python3.13 … that is 3.11 or newer.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.paddock-ready
MESSAGES := $(patsubst %.po,%.mo,$(wildcard data/locale/*/LC_MESSAGES/*.po))
PYTEST ?= $(BIN)/python -m pytest
# Fast tests at the same time; more than small machines have cores, since many of them wait for processes.
WORKERS ?= 6
# The same with the real programs, which take more of a core.
REAL_WORKERS ?= 3

# Some containers set it: then each worker of each run of the tests would compile all of them anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test check parity bench lock pictures catalogue keys clean
.DEFAULT_GOAL := help

help: ## Say what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(STAMP) $(MESSAGES) ## Make .venv with Paddock in it

$(STAMP): pyproject.toml requirements.lock hatch_build.py scripts/make-venv.sh
	@sh scripts/make-venv.sh "$(PYTHON)" "$(VENV)"
	@touch $@

# The installation compiles them, too; this is for a catalogue that changed since.
%.mo: %.po | $(STAMP)
	@$(BIN)/python scripts/catalogue.py compile

demo: setup ## Train, merge, convert, deploy and ask a small real model
	@$(BIN)/paddock demo

test: setup ## All tests, with the real LLaMA-Factory and a real Ollama
	@$(BIN)/paddock setup --plain
	@$(PYTEST) -m trains
	@$(PYTEST) -m "not trains" -n $(REAL_WORKERS) --dist loadgroup

# The types are checked while tests wait for their processes.
check: setup ## Format, lint, types, imports and the fast tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/pyright > $(VENV)/types.log 2>&1 & types=$$!; \
	$(PYTEST) -q --ignore=tests/real -m "not real and not slow" --hypothesis-profile quick -n $(WORKERS) --maxschedchunk=4; tests=$$?; \
	wait $$types; wrong=$$?; cat $(VENV)/types.log; exit $$((tests + wrong))

parity: setup ## Every template on two real Ollama servers: what they send against what was trained
	@$(BIN)/paddock setup --plain
	@$(BIN)/python -P -m tests.parity_table

bench: setup ## Speed and memory, as ratios to the named rival
	@$(BIN)/python -m compileall -q tui screens backend data
	@$(BIN)/python -P -m tests.bench

lock: ## Bring requirements.lock in step (UPGRADE=1: with newer versions)
	@sh scripts/lock.sh "$(VENV)" $(if $(UPGRADE),--upgrade)

pictures: setup ## Draw the pictures of the README from the real app
	@$(BIN)/python scripts/pictures.py

catalogue: setup ## Bring the message catalogues up to date, and say what they lack
	@$(BIN)/python scripts/catalogue.py update

keys: setup ## Write the key reference of the guide
	@$(BIN)/python scripts/keys.py

clean: ## Remove what make made here; Paddock's own directories stay
	rm -rf $(VENV) dist .ruff_cache .hypothesis .import_linter_cache
