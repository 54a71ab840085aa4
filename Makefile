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

.PHONY: help venv demo test test-all lint format pages docs clean

help:
	@echo "make demo    two people shake hands: files and a page in out/demo"
	@echo "make test    linter, formatter, type checker and tests; says which slow ones it skips"
	@echo "make test-all  the same with the slow ones"
	@echo "make venv    only build the environment in $(VENV)"
	@echo "make format  rewrite the code in the project's format"
	@echo "make docs    the documentation as a site in site/"
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
	$(BIN)/pyrefly check --min-severity error

format: venv
	$(BIN)/ruff check --fix src tests examples
	$(BIN)/ruff format src tests examples

# Two workers with a thread each: the networks of the tests are too small to be shared out.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs

test-all: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs --all

# The documentation's pages and what they link to, in the repository's layout, so that links hold on the site too.
PAGES := out/pages
SOURCES := README.md CHANGELOG.md CONTRIBUTING.md THIRD_PARTY.md CITATION.cff LICENSE Dockerfile docs examples \
	tests/toys/toy/__init__.py $(wildcard src/duomotion/data/open_*.json) \
	$(wildcard src/duomotion/models/*/README.md src/duomotion/checkpoints/*/README.md) \
	$(wildcard src/duomotion/checkpoints/evaluators/*/README.md) \
	$(wildcard src/duomotion/*/assets/three-license.txt)

pages:
	rm -rf $(PAGES)
	mkdir -p $(PAGES)
	tar -cf - $(SOURCES) | tar -xf - -C $(PAGES)

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install -q --no-compile -e '.[docs]'
	@touch $@

docs: $(VENV)/.docs pages
	$(BIN)/zensical build --clean --strict
	@! grep -rlE '<(script|link|img|iframe)[^>]+(src|href)="?(https?:)?//' site --include='*.html'

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache site out/pages
