#!/bin/sh
# docs.sh [--generated]: writes what is generated from the program (config/glance-shim.toml, pages of docs/),
# then builds the site into build/site; --generated leaves it at the first. A warning is a fault. With
# CI=true nothing is written: a file that lags behind the program is a fault too.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

check=
[ "${CI:-}" != true ] || check=--check
.venv/bin/python -m tools.manual $check || die "the generated files could not be brought up to date, see above"
say "the generated files are up to date"
[ "${1:-}" != --generated ] || exit 0

.venv/bin/python -m sphinx --quiet --fail-on-warning --builder html docs build/site ||
    die "the site could not be built without a warning, see above"
say "the site is at build/site/index.html"
