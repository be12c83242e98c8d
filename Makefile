# Everything that a user or a contributor needs; `make help` lists it.
PYTHON ?= python3
BIN    := .venv/bin
READY  := .venv/.ready
export PYTHONUTF8 = 1

.DEFAULT_GOAL := help
.PHONY: help setup run test unit notebooks-test notebooks measured lab check lint format lock bench faults clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## create .venv and install the locked dependencies

# uv installs the lock in about 15 s where pip takes 95 s; pip is the fallback because it also
# knows the indexes and proxies of a pip.conf. Compiled now, so that the first import is quick.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; ok = (3, 11) <= v < (3, 14); sys.exit(None if ok else f"Python {v.major}.{v.minor} found, 3.11 to 3.13 expected: make PYTHON=python3.12 …")'
	@$(PYTHON) -m venv .venv || { echo "Python cannot create a virtual environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing the locked dependencies into .venv …"
	@awk '/^uv==/ {p = 1} p {print} p && !/\\$$/ {exit}' requirements.lock > .venv/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps --compile-bytecode -r requirements.lock \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m helpers.warm_kernels.install
	@touch $@

run: setup  ## run the whole course in its fast profile; ends with the path of an index.html
	@$(BIN)/course run --fast --jobs 2 --out runs/fast

test: unit notebooks-test  ## all tests: units, then every notebook through nbval

# A process that crashes ends the tests: pytest-xdist would wait for its successor for ever.
ALONGSIDE = -n auto --dist loadgroup --max-worker-restart=0

unit: setup
	@$(BIN)/python -m pytest $(ALONGSIDE) --durations=10 tests

# Two notebooks at a time, with half of the cores each: OpenMP's threads, were they more than the
# cores, would wait for each other three times as long as they compute.
HALF = from helpers.hardware import detect; from helpers.runs.executor import THREADS; \
  print(*(f"{name}={max(1, detect().cores // 2)}" for name in THREADS))

# Strict where real MNIST is at hand: the committed outputs were made with it. Nothing else is
# downloaded, least of all 553 MB for VGG16.
notebooks-test: setup
	@$(BIN)/course data fetch mnist; case $$? in \
	  0) echo "nbval: strict, on real MNIST"; flag=--nbval ;; \
	  3) echo "nbval: lax (errors only), on the fallback 'digits', because MNIST is not at hand"; flag=--nbval-lax ;; \
	  *) exit 1 ;; \
	esac; \
	export COURSE_OFFLINE=1 $$($(BIN)/python -c '$(HALF)'); $(BIN)/python -m pytest $$flag --nbval-cell-timeout=600 -n 2 --max-worker-restart=0 --dist loadfile --durations=10 \
	  $(sort $(wildcard notebooks/0[4-9]*.ipynb)) $(sort $(wildcard notebooks/0[1-3]*.ipynb notebooks/experiments/*.ipynb notebooks/solutions/*.ipynb notebooks/index.ipynb))

notebooks: setup  ## rebuild notebooks/*.ipynb from notebooks/source/ and execute them
	@$(BIN)/python notebooks/build.py

# NAME=05_shift measures one table; what has succeeded before is kept in runs/measured.
measured: setup  ## measure again what lessons show in notebooks/measured (hours)
	@$(BIN)/python notebooks/measure.py $(NAME)

lab: setup  ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=notebooks --LabApp.default_url=/lab/tree/index.ipynb

check: setup  ## is this machine ready for the course?
	@$(BIN)/course check

lint: setup  ## what CI refuses: style, format, notebooks that differ from their text
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/python notebooks/build.py --check

format: setup  ## repair style and format
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lock: setup  ## renew requirements.lock from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --upgrade --extra dev pyproject.toml --output-file requirements.lock

bench: setup  ## side-by-side timings, written to benchmarks/results.json
	@$(BIN)/python benchmarks/loading.py
	@$(BIN)/python benchmarks/training.py
	@$(BIN)/python benchmarks/vision.py
	@$(BIN)/python benchmarks/sweeps.py

faults: setup  ## 500 more uses of the training, five faults put into it; trainings and sweeps killed twenty times (90 min)
	@COURSE_FAULTS=20 $(BIN)/python -m pytest $(ALONGSIDE) -m '' tests/test_resume.py tests/test_fit.py tests/test_mutants.py tests/test_sweep_faults.py \
	  tests/test_sweeps.py tests/test_training.py tests/test_lesser_machines.py tests/test_vision_vgg16.py

clean:  ## remove the environment and all run results; downloads in data/ stay
	rm -rf .venv runs build *.egg-info .pytest_cache .ruff_cache
