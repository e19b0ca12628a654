# `make help` lists the targets. Each sets up .venv first, once, and again when pyproject.toml changes.

PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
BIN := .venv/bin
SOURCES := helpers.py studies.py wavenet.py exercises.py experiments.py bench.py conftest.py tests data assets docs notebooks
SEEDS ?=
ONLY ?=
NOTEBOOKS ?= $(sort $(wildcard notebooks/*.ipynb))
INSTALL_ARGS ?= --quiet
LAB_ARGS ?=
PYTEST_ARGS ?=

# JupyterLab refuses to start as root (in a container, say) unless told.
ROOT_ARGS := $(if $(filter 0,$(shell id -u 2>/dev/null)),--allow-root)

# Streams are joined after the run (--coalesce-streams would do it before, to the old outputs). The Python
# version and timings are left out: a diff should show changes of the notebook, not of the machine.
NBCONVERT := $(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	--ExecutePreprocessor.timeout=900 \
	--ExecutePreprocessor.record_timing=False \
	--ExecutePreprocessor.store_widget_state=False \
	--NotebookExporter.preprocessors=nbconvert.preprocessors.CoalesceStreamsPreprocessor \
	--ClearMetadataPreprocessor.enabled=True \
	--ClearMetadataPreprocessor.clear_cell_metadata=False \
	--ClearMetadataPreprocessor.preserve_nb_metadata_mask="{'kernelspec', ('language_info', 'name')}"

.PHONY: help lab test browser site notebooks bench experiments seeds lint format clean

help:
	@echo "make lab          open JupyterLab on notebook 01     (LAB_ARGS=--no-browser prints the address only)"
	@echo "make test         run all notebooks and tests        (PYTEST_ARGS=notebooks/01_cleanup.ipynb)"
	@echo "make browser      move every slider in JupyterLab in Chromium, open every page of the site"
	@echo "make site         build pages to read into build/site from the notebooks as they are"
	@echo "make notebooks    execute the notebooks in place     (NOTEBOOKS=notebooks/01_cleanup.ipynb)"
	@echo "make bench        time the lecture's recipe and ours, write bench.json"
	@echo "make experiments  run the stored studies, or go on       (ONLY=ablation); says first how long"
	@echo "make seeds        add seeds to stored comparisons    (SEEDS=24: up to 24 of each; ONLY=ablation)"
	@echo "make lint         check code and notebooks           (make format mends what it can)"
	@echo "make clean        remove .venv, caches and bench.json"
	@echo "PYTHON=/path/to/python chooses the Python that .venv is made with: 3.11 or newer."

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	@echo "Installing the pinned packages into .venv: once, some minutes (INSTALL_ARGS= shows each)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check $(INSTALL_ARGS) -e .
	@touch $@

# docs/lab/overrides.json: no news, no look for updates. Nothing is asked of the network, and no question about it
# hides the notebook.
lab: .venv/installed
	$(BIN)/jupyter lab $(ROOT_ARGS) --LabApp.app_settings_dir=docs/lab \
		--LabApp.default_url=/lab/tree/notebooks/01_cleanup.ipynb $(LAB_ARGS)

test: .venv/installed
	$(BIN)/python -m pytest --nbval --nbval-current-env -n 2 $(PYTEST_ARGS)

# -s: the sliders' latencies are part of the output. What needs no Chromium is in `make test`.
browser: site
	$(BIN)/python -m pytest -s tests/browser $(PYTEST_ARGS)

site: .venv/installed
	$(BIN)/python -m sphinx -b html -c docs -d build/doctrees -q -W --keep-going . build/site

notebooks: .venv/installed
	@set -e; for notebook in $(NOTEBOOKS); do $(NBCONVERT) "$$notebook"; done
	$(BIN)/python assets/pictures.py

bench: .venv/installed
	$(BIN)/python bench.py

CHOICE = $(if $(SEEDS),--seeds $(SEEDS)) $(if $(ONLY),--only $(ONLY))
# A rerun of finished studies changes nothing; without data/studies.journal they begin from nothing.
experiments: .venv/installed
	$(BIN)/python experiments.py $(CHOICE)

seeds: .venv/installed
	$(BIN)/python experiments.py --add $(CHOICE)

lint: .venv/installed
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: .venv/installed
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache bench.json
	find . \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
