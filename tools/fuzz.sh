#!/bin/sh
# fuzz.sh [arguments of python -m tests.fuzz]: installs atheris, which has wheels for some Pythons only, and
# fuzzes what reads the bytes of clients and servers.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

if ! .venv/bin/python -c 'import atheris' 2>/dev/null; then
    say "installing atheris into .venv"
    .venv/bin/python -m shim.demo.packages .venv/bin/python --only-binary atheris --editable '.[dev,fuzz]' || {
        skip "fuzzing: atheris could not be installed"
        exit 0
    }
fi
exec .venv/bin/python -m tests.fuzz "$@"
