# What a developer runs; the work itself is in tools/. Nothing outside of this directory is written to, but
# Debian packages, where root or sudo allows it (tools/debian-packages), and the caches of uv and pip.

export GLANCE_SHIM_DEMO_HOME ?= $(CURDIR)/.lab

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint format docs screenshots bench bench-quick conformance matrix soak fuzz venv clean

help: ## This list
	@echo "make TARGET, where TARGET is one of:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '%-13s %s\n' "$$name" "$$text"; done

demo: venv ## A real Glance with the shim in front, until Ctrl-C (ONCE=1: ends after the upload)
	@exec .venv/bin/python -m shim demo $(if $(ONCE),--once) $(ARGS)

test: venv ## Everything: lint, types, import rules, all tests (ARGS go to pytest)
	@exec tools/test.sh all $(ARGS)

test-fast: venv ## The tests that need no outside server
	@exec tools/test.sh fast $(ARGS)

lint: venv ## Lint, types and import rules only
	@exec tools/test.sh lint

format: venv ## Bring the source into its form
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

docs: venv ## The manual as a site in build/site, and what is generated of it (CI=true: checks that)
	@exec tools/docs.sh

screenshots: venv ## Take the pictures of the status page and of top for docs/images anew (needs Chromium)
	@tools/debian.sh
	@exec .venv/bin/python -m tests.browser $(ARGS)

bench: venv ## The shim against nginx, Apache, HAProxy and Caddy; writes docs/benchmarks.md (under an hour)
	@exec tools/bench.sh $(ARGS)

bench-quick: venv ## The same, a few scenarios at small sizes, printed only (ARGS="--scenarios get --peers shim,apache")
	@exec tools/bench.sh --quick $(ARGS)

conformance: venv ## OpenStack's own image tests through the shim and without it: must end alike (minutes)
	@exec .venv/bin/python -m tests.tempest $(ARGS)

matrix: venv ## Every client on every hosting, with and without the shim; writes docs/matrix.md (minutes)
	@tools/debian.sh
	@exec .venv/bin/python -m tests.matrix $(ARGS)

soak: venv ## Mixed traffic with faults, then all is back where it began; writes docs/soak.md (ARGS="--minutes 20")
	@tools/debian.sh
	@exec .venv/bin/python -m tests.soak $(ARGS)

fuzz: venv ## atheris against what reads others' bytes; writes docs/fuzzing.md (ARGS="--seconds 60", for each target)
	@exec tools/fuzz.sh $(ARGS)

venv: ## The virtual environment in .venv, made or brought up to date
	@tools/bootstrap.sh

clean: ## Remove everything that was made here, virtual environments too
	rm -rf .venv .lab build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
