# make demo   a virtual environment, everything installed, a job on 2 ranks, its comparison table and picture
# make test   the same environment, then the tests
# make        the environment alone
#
# PYTHON picks the interpreter (3.11 or newer), VENV the environment's folder. On a cluster with its own MPI:
#     make EXTRAS=test && VENV/bin/pip install --no-binary mpi4py mpi4py
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= mpi,test
RANKS ?= 2
DEMO ?= demo
BIN := $(VENV)/bin
COMMA := ,
STAMP := $(VENV)/.installed-$(subst $(COMMA),-,$(EXTRAS))
SOURCES := setup.py pyproject.toml $(wildcard cython_kernels/*.pyx cython_kernels/*.px[di] cython_kernels/*.h)

.PHONY: all demo test lint clean

all: $(STAMP)

$(STAMP): $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	touch $@

demo: all
	rm -rf $(DEMO)
	$(BIN)/hebb run mpi_runs/demo.toml --ranks $(RANKS) --out $(DEMO)
	$(BIN)/hebb compare $(DEMO) --csv $(DEMO)/compare.csv --plot $(DEMO)/compare.png
	@echo "the picture: $(DEMO)/compare.png"

test: all
	$(BIN)/python -m pytest $(PYTEST)

lint:
	$(BIN)/pip install --quiet '.[dev]'
	$(BIN)/ruff check hebb tests setup.py
	$(BIN)/cython-lint cython_kernels

clean:
	rm -rf build *.egg-info $(DEMO) cython_kernels/*.c cython_kernels/*.so
