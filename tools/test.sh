#!/bin/sh
# test.sh all|fast|lint [pytest arguments]: the project's checks. All of them run, also after a failure,
# so that one run shows every fault; pytest is the last, with its summary at the end.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

# Tests start hundreds of processes: where this is set, each of them would compile the program anew.
unset PYTHONDONTWRITEBYTECODE

what=$1
shift
failed=

step() {
    name=$1
    shift
    say "$name"
    "$@" || failed="$failed, $name"
}

lint() {
    step "ruff check" .venv/bin/ruff check --quiet .
    step "ruff format" .venv/bin/ruff format --check --quiet .
    step "mypy" .venv/bin/mypy
    step "import rules" .venv/bin/lint-imports --no-logo
}

# Real servers: what they need is installed before the tests, where one can watch it.
prepare_servers() {
    tools/debian.sh || failed="$failed, Debian packages"
    if ! .venv/bin/python -m shim.demo; then
        skip "all tests with outside servers: the lab above could not be installed"
        return 1
    fi
}

run_tests() {
    # A test that skips itself is no passed test where nothing may be skipped.
    if [ "${CI:-}" = true ]; then
        step pytest env PYTHONPATH=tools .venv/bin/python -m pytest -p refuse_skips "$@"
    else
        step pytest .venv/bin/python -m pytest "$@"
    fi
}

# They wait more than they compute, so more processes than cores pay; but each of them reads all tests.
# What shares servers stays together (tests/conftest.py).
without_servers() {
    chosen=$1
    shift
    run_tests -q -m "$chosen" -n 3 --dist loadgroup "$@"
}

# Each process has a Glance of its own, for its database is sqlite: what uploads to it is one process. A fourth
# would only start more servers: these tests compute, as Python's clients do while they load.
# Here too what shares servers stays together, in the order of tests/conftest.py.
with_servers() {
    run_tests -m servers -n 3 --dist loadgroup --no-loadscope-reorder "$@" \
        tests/integration tests/identity tests/deploy tests/browser
}

case $what in
    lint) lint ;;
    fast)
        # Of hypothesis' examples too a part is enough here (tests/support/examples.py).
        export SHIM_EXAMPLES=shim-fast
        without_servers "not servers and not more" "$@"
        ;;
    all)
        lint
        without_servers "not servers" "$@"
        if prepare_servers; then with_servers "$@"; fi
        ;;
    *) die "test.sh all|fast|lint, not $what" ;;
esac
[ -z "$failed" ] || die "failed: ${failed#, }"
