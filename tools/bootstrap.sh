#!/bin/sh
# Makes .venv with the project and its [dev] and [docs] extras, or brings it up to date after a change of
# pyproject.toml. A stamp says that it is whole, so that later runs take no time.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

stamp=.venv/glance-shim.stamp
# Scripts in a virtual environment name their interpreter by absolute path: moved, it must be made anew.
wanted="$(cksum <pyproject.toml) $PWD"

works() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

is_here() { works .venv/bin/python && [ "$(.venv/bin/python -c 'import sys; print(sys.prefix)')" = "$PWD/.venv" ]; }

is_whole() { [ -f $stamp ] && [ "$(cat $stamp)" = "$wanted" ] && is_here; }

find_python() {
    for name in python3 python3.13 python3.12 python3.11; do
        if path=$(command -v "$name") && works "$path"; then
            echo "$path"
            return
        fi
    done
    return 1
}

can_make_environments() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

make_environment() {
    python=$(find_python) || apt python3 python3-venv || true
    python=$(find_python) || die "Python 3.11 or later is missing (Debian: apt-get install python3 python3-venv)"
    can_make_environments "$python" || apt "$(basename "$python")-venv" || true
    can_make_environments "$python" ||
        die "$python cannot make virtual environments (Debian: apt-get install $(basename "$python")-venv)"
    say "making .venv with $("$python" -V)"
    rm -rf .venv
    "$python" -m venv .venv
}

is_whole && exit 0

# One at a time: two makes in one clone would fill the same directory.
mkdir -p .lab
exec 9>.lab/bootstrap.lock
if command -v flock >/dev/null; then flock 9; fi
is_whole && exit 0

rm -f $stamp
if ! is_here || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then make_environment; fi
say "installing glance-shim and its tools into .venv"
.venv/bin/python -m shim.demo.packages .venv/bin/python --editable '.[dev,docs]' ||
    die "nothing could be installed, see above; it needs a network, or an index it is told of (PIP_INDEX_URL)"
echo "$wanted" >$stamp
