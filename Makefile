# CyCLIP-PL. `make help` lists what there is.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The lock pins what CI used; other Python versions take what pyproject.toml allows.
LOCK := $(shell $(PYTHON) -c 'import sys; print("-c requirements.lock" if sys.version_info[:2] == (3, 11) else "")')
INSTALLED := $(VENV)/.installed
RUN_FOLDER ?= runs/demo
CHECKPOINT ?=
EVALUATION ?= zero_shot
EVALUATIONS := zero_shot,retrieval,consistency,hierarchy,geometry,robustness,linear_probe,knn
RUNS ?=
BENCH ?= losses
NAME ?=
WORKERS ?= 2
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install data demo train profile need-checkpoint eval eval-all need-runs report sweep need-name study bench test test-fast soak test-oldest check docs lock clean

help: ## Show this list
	@echo "Usage: make TARGET [VARIABLE=value]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables: PYTHON, VENV, CHECKPOINT (a run folder or file), EVALUATION, RUN_FOLDER, RUNS, BENCH, NAME,"
	@echo "  ARGS (further overrides, e.g. ARGS='objective=clip seed=1')"

$(INSTALLED): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(LOCK) -e '.[demo,dev]'
	@touch $@

install: $(INSTALLED) ## Make .venv with everything

data: $(INSTALLED) ## Prepare the emoji shards (data/emoji)
	$(BIN)/cyclip-prepare emoji

demo: data ## Train the default configuration, evaluate it, show its figures
	$(BIN)/python train.py hydra.run.dir=$(RUN_FOLDER) overwrite=true $(ARGS)

train: data ## Train with ARGS='objective=cyclip encoder=rn50 …'
	$(BIN)/python train.py $(ARGS)

profile: data ## Profile 20 steps of a training: a trace and a table, in runs/profile
	$(BIN)/python train.py 'callbacks=[default,profile]' callbacks.best.monitor=null 'evaluation=[]' \
	  trainer.max_steps=30 hydra.run.dir=runs/profile overwrite=true $(ARGS)

need-checkpoint:
	@test -n "$(CHECKPOINT)" || { echo "make $(MAKECMDGOALS) needs CHECKPOINT=RUN_FOLDER_OR_FILE" >&2; exit 1; }

eval: need-checkpoint $(INSTALLED) ## Evaluate CHECKPOINT=… with EVALUATION=zero_shot
	$(BIN)/python eval.py 'checkpoint="$(CHECKPOINT)"' 'evaluation=[$(EVALUATION)]' $(ARGS)

eval-all: need-checkpoint data ## Run all evaluations of CHECKPOINT=… on the emoji sets
	$(BIN)/python eval.py 'checkpoint="$(CHECKPOINT)"' 'evaluation=[$(EVALUATIONS)]' $(ARGS)

need-runs:
	@test -n "$(RUNS)" || { echo "make report needs RUNS='RUN_FOLDER …'" >&2; exit 1; }

report: need-runs $(INSTALLED) ## Compare RUNS='runs/a runs/b': table, plots, runs/report/report.html
	$(BIN)/cyclip-report $(RUNS) $(ARGS)

sweep: data ## Train every λ1 × λ2 of conf/sweep/lambdas.yaml (nine runs)
	$(BIN)/python train.py -m sweep=lambdas $(ARGS)

need-name:
	@test -n "$(NAME)" || { echo "make study needs NAME=, a folder of experiments/: claims, lambdas, …" >&2; exit 1; }

study: need-name data ## Run what the study NAME=claims lacks; it goes on where it stopped
	$(BIN)/python experiments/study.py $(NAME) $(ARGS)

bench: $(INSTALLED) ## Measure BENCH=losses, loader, step, busy, eval_speed …: experiments/performance
	$(BIN)/python experiments/performance/$(BENCH).py $(ARGS)

# Two processes with a thread each use two cores better than one process with two; the tests of a
# file share what they prepare, so they stay together.
test: $(INSTALLED) ## Run the whole suite
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

test-fast: $(INSTALLED) ## Run the fast tests, a minute or two: no other processes, no whole trainings
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow" $(ARGS)

soak: $(INSTALLED) ## Run the long reliability tests: kills, signals, damaged files; at most 20 minutes
	$(BIN)/python -m pytest --soak $(ARGS)

test-oldest: ## Run them with the oldest allowed packages, in .venv-oldest (5 GB)
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.oldest -e '.[demo,dev]'
	.venv-oldest/bin/python -m pytest -m "not slow" $(ARGS)

check: $(INSTALLED) ## Lint, format, types and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

docs: $(INSTALLED) ## Build the documentation into build/site, strictly
	$(BIN)/mkdocs build --strict

lock: ## Pin the packages of a new environment in requirements.lock
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check -e '.[demo,dev]'
	{ echo "# Python 3.11, Linux x86-64. Made by \`make lock\`."; \
	  .venv-lock/bin/python -m pip freeze --exclude-editable; } > requirements.lock
	rm -rf .venv-lock

clean: ## Remove the environment and caches; data and runs stay
	rm -rf $(VENV) .venv-oldest .pytest_cache .ruff_cache .mypy_cache build dist *.egg-info
