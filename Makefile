# Everything runs from here, in .venv, from the lock: make demo, make test.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo dist docs pages screenshots test test-first test-second test-other-cpu test-slow test-slow-alone test-slow-first test-slow-second test-floors lint bench bench-peers clean lock

install: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: install
	$(BIN)/peoria demo

FAST = -m "not slow and not gpu"
FIRST = $(filter-out tests/peoria/sweep,$(wildcard tests/peoria/*)) $(addprefix tests/shards/,fetch living sources)
# Two processes, a core each; one where ARGS says which tests.
test: install
ifdef ARGS
	$(BIN)/python -m pytest $(FAST) $(ARGS)
else
	$(MAKE) --no-print-directory --jobs 2 --output-sync test-first test-second
endif

test-first: install
	$(BIN)/python -m pytest $(FAST) $(FIRST)

test-second: install
	$(BIN)/python -m pytest $(FAST) $(FIRST:%=--ignore=%)

# What computes, as on another CPU: the oldest one that numpy, torch and OpenBLAS run on, whose floating sums have other last bits.
COMPUTES = $(addprefix tests/peoria/,baselines data models paper report serving stats tasks training verdict) \
  $(addprefix tests/shards/,cache images inspection pack read) tests/peoria/sweep/test_sampler.py
test-other-cpu: install
	another=$$($(BIN)/python -m tests.helpers.cpus) && env $$another $(BIN)/python -m pytest $(FAST) $(or $(ARGS),$(COMPUTES))

SLOW = -m "slow and not gpu" --durations 30
# Of two halves that take as long as each other; the second starts with what another CPU computes.
SLOW_FIRST = tests/cluster tests/faults tests/browser $(wildcard tests/test_*.py)
ALONE = tests/faults/test_memory.py # what looks at the memory of the whole machine
test-slow: install
	$(BIN)/python -m pytest $(SLOW) $(ARGS)

test-slow-alone: install
	$(BIN)/python -m pytest $(SLOW) $(ALONE)

test-slow-first: install
	$(BIN)/python -m pytest $(SLOW) $(SLOW_FIRST) --ignore=$(strip $(ALONE))

test-slow-second: install
	$(BIN)/python -m pytest $(SLOW) $(SLOW_FIRST:%=--ignore=%)

# Proves the lower bounds of pyproject.toml: the lowest versions it admits, torch and torchvision as locked, in a venv of its own under the fast tests.
# A new dependency gets the floor that this target has passed with; a floor that fails is raised, with its reason beside it, and never filtered around.
# What is resolved for others may hold a dependency above its floor: tests/floors.py refuses a floor that was not tried. Needs Python 3.11.
test-floors: .venv-floors/installed
	.venv-floors/bin/python -m tests.floors
	.venv-floors/bin/python -m pytest -m "not slow and not gpu" $(ARGS)

.venv-floors/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "Python 3.11 is needed: make PYTHON=python3.11 test-floors")'
	rm -rf .venv-floors
	$(PYTHON) -m venv .venv-floors
	.venv-floors/bin/python -m pip install --quiet --disable-pip-version-check uv
	grep -oE '^torch(vision)?==[^ ]+' requirements.lock | .venv-floors/bin/uv pip compile pyproject.toml --extra dev --python .venv-floors/bin/python \
	  --resolution lowest-direct --no-header --quiet --constraint - --output-file .venv-floors/floors.txt
	.venv-floors/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r .venv-floors/floors.txt
	.venv-floors/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# The manual as a site, build/site/index.html: a link that leads nowhere, or a name that is not there, fails it.
docs: install
	$(BIN)/python -m sphinx -W -n --keep-going -q -b html docs build/site

# What is written by program: docs/paper.md by peoria/paper/claims.py, docs/sweeps.md by peoria/config, docs/speed.md by the results that it names.
pages: install
	$(BIN)/python -m docs.paper
	$(BIN)/python -m docs.sweeps
	$(BIN)/python -m benchmarks.readme

# The pictures of README.md and docs/mlflow.md, of the demo's sweep, by the system's Chromium.
screenshots: demo
	$(BIN)/python -m docs.screenshots

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What the nodes of a cluster install: the code as a wheel, and the lock.
dist: install
	rm -rf dist build
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	cp requirements.lock dist/

bench: install
	$(BIN)/python -m benchmarks $(ARGS)

# The peers that `make bench` measures beside peoria; without them their figures are not run.
bench-peers:
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers.txt

# Resolves the newest versions that pyproject.toml admits; torch and torchvision stay where they are until they are moved here.
lock:
	printf 'torch==2.14.1\ntorchvision==0.29.1\n' | uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --upgrade --constraint - --output-file requirements.lock

clean:
	rm -rf .venv .venv-floors data build *.egg-info .mypy_cache .ruff_cache .pytest_cache
