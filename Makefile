PY ?= python3
VENV ?= .venv
STAMP := $(VENV)/.stamp
BIN := $(VENV)/bin
# Pins the versions that are known to work together; the second name is what newer pips read for build environments.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(CURDIR)/constraints.txt
# Idle OpenMP threads sleep instead of spinning: two test workers on two cores would otherwise starve each other.
export OMP_WAIT_POLICY := PASSIVE
# Without byte code every process would compile torch again; what is imported first writes its own, while to
# compile all that is installed takes half a minute.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help venv demo test lint format clean

help:
	@echo "make demo    two people shake hands: files and a page in out/demo"
	@echo "make test    linter, formatter, type checker and all tests"
	@echo "make venv    only build the environment in $(VENV)"
	@echo "make format  rewrite the code in the project's format"
	@echo "make clean   remove the environment and caches"

$(STAMP): pyproject.toml constraints.txt
	$(PY) -m venv $(VENV)
	$(BIN)/python -m pip install -q --no-compile -e '.[dev]'
	$(BIN)/python -m pip check
	@touch $@

venv: $(STAMP)

demo: venv
	$(BIN)/duomotion generate "two people shake hands" --seed 0 --out out/demo

lint: venv
	$(BIN)/ruff check src tests examples
	$(BIN)/ruff format --check src tests examples
	$(BIN)/pyright

format: venv
	$(BIN)/ruff check --fix src tests examples
	$(BIN)/ruff format src tests examples

# Two workers with a thread each: the networks of the tests are too small to be shared out.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
