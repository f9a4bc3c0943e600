.PHONY: demo test check bench

PORT ?= 8000
export PORT

demo: .venv/demo.installed
	@.venv/bin/python -m example_project

test: .venv/dev.installed
	.venv/bin/python -m pytest

check: .venv/dev.installed
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

# ONLY=fanout,wire-* runs some of the scenarios, PEERS=consumers,bare some of the peers; see `python -m benchmarks --help`.
bench: .venv-bench/installed
	.venv-bench/bin/python -m benchmarks $(if $(ONLY),--only '$(ONLY)') $(if $(PEERS),--peers '$(PEERS)') $(BENCH)

.venv/demo.installed: .venv/created pyproject.toml
	.venv/bin/pip install --quiet --editable '.[server]'
	@touch $@

.venv/dev.installed: .venv/created pyproject.toml
	.venv/bin/pip install --quiet --editable . --group dev
	@touch $@

.venv-bench/installed: .venv-bench/created pyproject.toml
	.venv-bench/bin/pip install --quiet --editable . --group bench
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
