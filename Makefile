# `make help` lists the targets. Each one installs what it needs into .venv, once, and
# again when the dependencies in pyproject.toml change.

PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
BIN := .venv/bin
NOTEBOOKS ?= $(sort $(wildcard notebooks/*.ipynb))
SEEDS ?=
ONLY ?=
LAB_ARGS ?=
PYTEST_ARGS ?=
INSTALL_ARGS ?= --quiet
PYTEST := $(BIN)/python -m pytest
CHOICE = $(if $(SEEDS),--seeds $(SEEDS)) $(if $(ONLY),--only $(ONLY))

# JupyterLab refuses to start as root (in a container, for example) unless told to.
ROOT_ARGS := $(if $(filter 0,$(shell id -u 2>/dev/null)),--allow-root)

# Streams are joined after the run (--coalesce-streams would join those of the old outputs
# before it). The Python version and timings are left out, because a diff should show
# changes in the notebook, not in the machine.
NBCONVERT := $(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	--ExecutePreprocessor.timeout=900 \
	--ExecutePreprocessor.record_timing=False \
	--ExecutePreprocessor.store_widget_state=False \
	--NotebookExporter.preprocessors=nbconvert.preprocessors.CoalesceStreamsPreprocessor \
	--ClearMetadataPreprocessor.enabled=True \
	--ClearMetadataPreprocessor.clear_cell_metadata=False \
	--ClearMetadataPreprocessor.preserve_nb_metadata_mask="{'kernelspec', ('language_info', 'name')}"

.PHONY: help lab test browser hosted site notebooks bench experiments seeds faults lint \
	format clean distclean FORCE

help:  ## list these targets
	@sed -n 's/^\([a-z]*\):.*  ## /\1 /p' Makefile | \
		while read -r name text; do printf 'make %-12s %s\n' "$$name" "$$text"; done
	@echo "PYTHON=/path/to/python chooses the Python for .venv, 3.11 or newer"

lab: .venv/with-reader  ## open JupyterLab on notebook 01 (LAB_ARGS=--no-browser prints its address)
	$(BIN)/jupyter lab $(ROOT_ARGS) --LabApp.app_settings_dir=tools/lab \
		--LabApp.default_url=/lab/tree/notebooks/01_cleanup.ipynb $(LAB_ARGS)

# Two files at a time, each on half of the cores (tests/conftest.py).
test: .venv/with-test  ## run all notebooks and tests (PYTEST_ARGS="-n 0 notebooks/01_cleanup.ipynb" runs one)
	$(PYTEST) --nbval --nbval-current-env -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# -s, because the latencies of the sliders are part of the output.
browser: .venv/with-browser site  ## test the sliders in JupyterLab and the site, in Chromium
	$(PYTEST) -s tests/browser $(PYTEST_ARGS)

# It uses an environment of its own, so .venv stays as it is.
hosted:  ## run all notebooks with the older packages of a service like Colab (log: build/hosted.log)
	$(PYTHON) -m tools.hosted $(NOTEBOOKS)

site: .venv/with-site  ## build the website from the notebooks as they are, into build/site
	$(BIN)/python -m sphinx -b html -c tools/site -d build/doctrees -q -W --keep-going . build/site

notebooks: .venv/with-dev  ## execute the notebooks in place (NOTEBOOKS=notebooks/01_cleanup.ipynb executes one)
	@set -e; for notebook in $(NOTEBOOKS); do $(NBCONVERT) "$$notebook"; done
	$(BIN)/python -m tools.pictures

bench: .venv/with-reader  ## time the lecture's recipe and ours, and write bench.json
	$(BIN)/python -m tools.bench

experiments: .venv/with-reader  ## run the stored studies or continue them (ONLY=ablation runs one); says first how long it will take
	$(BIN)/python tools/experiments.py $(CHOICE)

seeds: .venv/with-reader  ## add seeds to the stored comparisons (SEEDS=24 ONLY=ablation: until each variant has 24)
	$(BIN)/python tools/experiments.py --add $(CHOICE)

faults: .venv/with-test  ## plant faults in a copy, one at a time, and check that the tests fail (an hour)
	$(BIN)/python -m tools.faults

lint: .venv/with-dev  ## check the code and format of modules and notebooks
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: .venv/with-dev  ## fix what lint can fix, and format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## remove caches, build/ and bench.json
	rm -rf build *.egg-info .pytest_cache .ruff_cache bench.json
	find . -name .venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

distclean: clean  ## remove .venv as well
	rm -rf .venv

# ---- Installing -----------------------------------------------------------------------
# The part of pyproject.toml that says what to install. The file is written only when that
# part has changed, so a change to ruff's settings does not install anything again.
.venv/wanted: FORCE
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@sed '/^\[tool.pytest/,$$d' pyproject.toml | cmp -s - $@ || sed '/^\[tool.pytest/,$$d' pyproject.toml > $@

.venv/with-reader: .venv/wanted
	@echo "Installing what a reader needs into .venv. This happens once and takes a few minutes (INSTALL_ARGS= shows it)"
	$(BIN)/python -m pip install --disable-pip-version-check $(INSTALL_ARGS) -e .
	@touch $@

# One of the extras in pyproject.toml, in addition to what a reader needs.
.venv/with-%: .venv/wanted
	@echo "Installing what 'make $*' needs into .venv. This happens once and takes a few minutes (INSTALL_ARGS= shows it)"
	$(BIN)/python -m pip install --disable-pip-version-check $(INSTALL_ARGS) -e ".[$*]"
	@touch $@ .venv/with-reader
