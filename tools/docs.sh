#!/bin/sh
# Generates config/glance-shim.toml, every option with its default and reason, from the program itself.
# With CI=true it only compares: a file that lags behind the options is a fault.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

file=config/glance-shim.toml
new=$(mktemp)
trap 'rm -f "$new"' EXIT
.venv/bin/python -m shim config --defaults >"$new" || die "glance-shim config --defaults failed"

if cmp -s "$new" $file; then
    say "$file is up to date"
elif [ "${CI:-}" = true ]; then
    diff -u $file "$new" >&2 || true
    die "$file lags behind the options: run make docs"
else
    mkdir -p config
    cat "$new" >$file
    say "$file is written anew"
fi
