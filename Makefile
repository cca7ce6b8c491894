# Everything is installed into .venv; a stamp file there keeps an install from being repeated
# until pyproject.toml or constraints.txt changes.

PYTHON ?= python3
WORKERS ?= 2
SECONDS ?= 60
PORT ?= 8000
BIN := .venv/bin
export NO_MKDOCS_2_WARNING := 1
INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt --build-constraint constraints.txt
STAMPS := $(foreach name,demo test lint docs bench fuzz release,.venv/.$(name))

.PHONY: help demo test lint types layers docs serve site-test bench gpu clean
.PHONY: lock lock-check audit dist-smoke dist-test fuzz
.NOTPARALLEL:

help:
	@echo "make demo    particles flow from noise to handwritten digits, into demo/"
	@echo "make test    the test suite, without the tests marked slow"
	@echo "make lint    ruff: rules and format"
	@echo "make types   mypy, strict"
	@echo "make layers  imports only go down a layer"
	@echo "make docs    the documentation, into site/; EXECUTE=0 runs no tutorials"
	@echo "make serve   the documentation at http://127.0.0.1:8000, built again when a file changes; PORT="
	@echo "make site-test  links, code and commands of the built site, and every page in Chromium"
	@echo "make bench   time and memory on the CPU beside other methods, into benchmarks/results/"
	@echo "make gpu     check, then time, on a GPU with what is installed, into benchmarks/results/"
	@echo "make fuzz    damaged files for every loader, SECONDS=60 each, into benchmarks/results/"
	@echo "make lock    pin in constraints.txt all that pyproject.toml leads to, as it is installed"
	@echo "make audit   known vulnerabilities of what is pinned, where the advisories are reached"
	@echo "make dist-test  build, install into empty environments and test: pinned, lowest and newest"
	@echo "make clean   remove .venv and caches"

demo: .venv/.demo
	$(BIN)/energyflow demo --out demo

test: .venv/.test
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not site"

lint: .venv/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.lint .venv/.test
	$(BIN)/mypy

layers: .venv/.lint .venv/.test
	$(BIN)/lint-imports

docs: .venv/.docs
	$(BIN)/mkdocs build --strict

serve: .venv/.docs
	$(BIN)/mkdocs serve --dev-addr 127.0.0.1:$(PORT)

site-test: .venv/.docs .venv/.test
	$(BIN)/python -m pytest -n $(WORKERS) -m site tests/docs

bench: .venv/.bench
	$(BIN)/python -m benchmarks cpu

gpu:
	PYTHONPATH=.:backends:kernels $(PYTHON) -m benchmarks gpu

fuzz: .venv/.fuzz
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

lock: $(STAMPS)
	$(BIN)/python -m tools.lock

lock-check: $(STAMPS)
	$(BIN)/python -m tools.lock --check

audit: .venv/.release
	$(BIN)/python -m tools.audit

dist-smoke: .venv/.release
	$(BIN)/python -m tools.dist_test pinned

dist-test: .venv/.release
	$(BIN)/python -m tools.dist_test pinned cli plot numba
	$(BIN)/python -m tools.dist_test lowest cli plot numba
	$(BIN)/python -m tools.dist_test newest cli plot numba

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .cache site

.venv/.pip:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	touch $@

.venv/.demo: EXTRAS := -e '.[cli,plot,numba]'
.venv/.test: EXTRAS := -e '.[all]' --group test
.venv/.lint: EXTRAS := --group lint
.venv/.docs: EXTRAS := -e '.[all]' --group docs
.venv/.bench: EXTRAS := -e '.[all]' --group bench
.venv/.fuzz: EXTRAS := -e '.[all]' --group fuzz
.venv/.release: EXTRAS := --group release

$(STAMPS): .venv/.pip pyproject.toml constraints.txt
	$(INSTALL) $(EXTRAS)
	touch $@
