.PHONY: demo test test-all test-interop test-parity check docs dist bench soak torture

PORT ?= 8000
export PORT
# With a Redis, several processes: REDIS_URL=redis://localhost WORKERS=2
export REDIS_URL WORKERS

# Many tests start Python. Without compiled files each of them compiles the packages first, and each run all tests.
export PYTHONDONTWRITEBYTECODE =

demo: .venv/demo.installed
	@.venv/bin/python -m example_project

PARALLEL = --numprocesses auto --dist worksteal
# TESTS="tests/layers -k groups" runs some of them; so does pytest itself, in one process.
TESTS =

# What checks generated documents. Without npm its tests are skipped.
NPM = $(if $(shell command -v npm),tests/npm/node_modules/installed)

test: .venv/dev.installed .venv-daphne/installed $(NPM)
	DAPHNE_PYTHON=.venv-daphne/bin/python .venv/bin/python -m pytest $(PARALLEL) $(TESTS)

# With the slow ones, and with six times as many random examples.
test-all: .venv/dev.installed .venv-daphne/installed $(NPM)
	DAPHNE_PYTHON=.venv-daphne/bin/python CI=true .venv/bin/python -m pytest $(PARALLEL) -m "" $(TESTS)

# Messages to and from channels_redis, which has an environment of its own: its receivers need redis-py below 8. And its
# own tests, out of its source distribution, on the layers of compat.
test-interop: .venv/dev.installed .venv-interop/installed .venv-suite/installed
	INTEROP_PYTHON=.venv-interop/bin/python .venv/bin/python -m pytest tests/layers/redis/interop.py
	.venv-interop/bin/python -m pytest tests/layers/contract
	.venv-suite/bin/python -m tests.parity.channels_redis_suite .venv-suite/channels_redis-4.3.0.tar.gz

test-parity: .venv-channels/parity.installed .venv-django/parity.installed .venv-plain/parity.installed
	.venv-plain/bin/python -m tests.parity.run
	.venv-django/bin/python -m pytest -c tests/parity/pytest.ini --rootdir . -q docs/howto/check_with_django.py

check: .venv/dev.installed
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/lint-imports
	.venv/bin/mypy
	.venv/bin/python -m tests.typing.examples
	.venv/bin/python -m tools.prose
	.venv/bin/codespell

# The site, in site/; DOCS=serve shows it on http://127.0.0.1:8000, as it is written.
DOCS = build --strict

docs: .venv/docs.installed
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs $(DOCS)

# Builds what is published into dist/, checks it, and has the wheel serve the README's chat in an empty environment.
dist: .venv/dist.installed
	rm -rf dist
	.venv/bin/python -m build --quiet
	.venv/bin/python -m twine check --strict dist/*
	.venv/bin/python -m tools.dist

# ONLY=fanout,wire-* runs some of the scenarios, PEERS=consumers,bare some of the peers; see `python -m benchmarks --help`.
bench: .venv-bench/installed
	.venv-bench/bin/python -m benchmarks $(if $(ONLY),--only '$(ONLY)') $(if $(PEERS),--peers '$(PEERS)') $(BENCH)

# Ten minutes; SOAK="--seconds 60 --clients 500 --layer queue", for instance: see `python -m tests.soak --help`.
soak: .venv/dev.installed
	.venv/bin/python -m tests.soak $(SOAK)

# Two minutes; TORTURE="--seconds 600 --rounds 20 --seed 7", for instance: see `python -m tests.torture --help`.
torture: .venv/dev.installed
	.venv/bin/python -m tests.torture $(TORTURE)

.venv/demo.installed: .venv/created pyproject.toml
	.venv/bin/pip install --quiet --editable '.[server,redis,typed]'
	@touch $@

.venv/dev.installed: .venv/created pyproject.toml
	.venv/bin/pip install --quiet --editable . --group dev
	@touch $@

.venv/docs.installed: .venv/created pyproject.toml
	.venv/bin/pip install --quiet --editable . --group docs
	@touch $@

.venv/dist.installed: .venv/created pyproject.toml
	.venv/bin/pip install --quiet --group dist
	@touch $@

tests/npm/node_modules/installed: tests/npm/package-lock.json
	npm ci --prefix tests/npm --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

.venv-bench/installed: .venv-bench/created pyproject.toml
	.venv-bench/bin/pip install --quiet --editable . --group bench
	@touch $@

.venv-interop/installed: .venv/created pyproject.toml
	.venv/bin/python -m venv --clear .venv-interop
	.venv-interop/bin/pip install --quiet --upgrade pip
	.venv-interop/bin/pip install --quiet --editable . --group dev 'channels_redis==4.3.0' 'redis<8'
	@touch $@

# A server that the tests drive; compat behaves in another way where it is installed.
.venv-daphne/installed: .venv/created pyproject.toml
	.venv/bin/python -m venv --clear .venv-daphne
	.venv-daphne/bin/pip install --quiet --upgrade pip
	.venv-daphne/bin/pip install --quiet --editable . daphne
	@touch $@

.venv-suite/installed: .venv/created pyproject.toml
	.venv/bin/python -m venv --clear .venv-suite
	.venv-suite/bin/pip install --quiet --upgrade pip
	.venv-suite/bin/pip install --quiet --editable '.[redis,cryptography]' --group suite
	.venv-suite/bin/pip download --quiet --no-deps --no-binary channels_redis --dest .venv-suite channels_redis==4.3.0
	@touch $@

# Real Channels, without this package; Django without Channels; neither.
.venv-channels/parity.installed: requirements = --group parity-channels
.venv-django/parity.installed: requirements = --editable '.[server]' --group parity-django
.venv-channels/parity.installed .venv-django/parity.installed: libraries = --group parity-libraries
.venv-plain/parity.installed: requirements = --editable . --group parity

.venv-%/parity.installed: .venv/created pyproject.toml
	.venv/bin/python -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --upgrade pip
	$(@D)/bin/pip install --quiet $(requirements)
	$(if $(libraries),$(@D)/bin/pip install --quiet --no-deps $(libraries))
	@touch $@

# A name on PATH proves nothing (version managers put shims there), so each one is tried.
define create_venv
	@for python in $(1); do \
		if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Creating $(@D) with $$($$python --version)"; \
			$$python -m venv --clear $(@D) && $(@D)/bin/pip install --quiet --upgrade pip && touch $@; \
			exit; \
		fi; \
	done; \
	echo "No Python 3.11 or newer with venv found (on Debian: apt install python3 python3-venv)." >&2; \
	exit 1
endef

.venv/created:
	$(call create_venv,python3 python3.14 python3.13 python3.12 python3.11)

# The newest, since that is the fastest.
.venv-bench/created:
	$(call create_venv,$(foreach minor,14 13 12 11,python3.$(minor) $(wildcard $(HOME)/.pyenv/versions/3.$(minor).*/bin/python)) python3)
