# Everything runs from here, in .venv, from the lock: make demo, make test.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo docs test test-other-cpu test-slow test-floors lint bench bench-peers clean lock

install: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: install
	$(BIN)/peoria demo

test: install
	$(BIN)/python -m pytest -m "not slow and not gpu" $(ARGS)

# The same tests as on another CPU: the oldest one that numpy, torch and OpenBLAS run on, whose floating sums have other last bits.
test-other-cpu: install
	another=$$($(BIN)/python -m tests.helpers.cpus) && env $$another $(BIN)/python -m pytest -m "not slow and not gpu" $(ARGS)

test-slow: install
	$(BIN)/python -m pytest -m "slow and not gpu" $(ARGS)

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

# What is written by program: docs/paper.md by peoria/paper/claims.py, docs/speed.md by the results that it names.
docs: install
	$(BIN)/python -m docs.paper
	$(BIN)/python -m benchmarks.readme

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

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
