#!/bin/sh
# Generates from the program itself: config/glance-shim.toml, every option with its default and reason, and
# the table in docs/capacity.md. With CI=true it only compares: a file that lags behind is a fault.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

new=$(mktemp)
trap 'rm -f "$new"' EXIT

# settle FILE: what is in $new goes there.
settle() {
    if cmp -s "$new" "$1"; then
        say "$1 is up to date"
    elif [ "${CI:-}" = true ]; then
        diff -u "$1" "$new" >&2 || true
        die "$1 lags behind the program: run make docs"
    else
        mkdir -p "$(dirname "$1")"
        cat "$new" >"$1"
        say "$1 is written anew"
    fi
}

.venv/bin/python -m shim config --defaults >"$new" || die "glance-shim config --defaults failed"
settle config/glance-shim.toml

# The markers name the command between them.
options=$(sed -n 's/^<!-- glance-shim \(capacity .*\): begin -->$/\1/p' docs/capacity.md)
# shellcheck disable=SC2086 # the command's words
table=$(.venv/bin/python -m shim $options) || die "glance-shim $options failed"
awk -v table="$table" '
    /^<!-- glance-shim capacity .*: end -->$/ { inside = 0 }
    !inside
    /^<!-- glance-shim capacity .*: begin -->$/ { print table; inside = 1 }
' docs/capacity.md >"$new"
settle docs/capacity.md
