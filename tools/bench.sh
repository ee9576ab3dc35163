#!/bin/sh
# bench.sh [arguments of python -m benchmarks]: installs what the measurements need, then runs them. The
# short run (--quick) uses neither Glance nor plots.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

plots=.lab/plots
wanted="$(cksum <benchmarks/requirements-plots.txt) $PWD"

# matplotlib and what it brings lives apart: no test and no part of the product needs it.
make_plots() {
    [ "$(cat $plots/stamp 2>/dev/null)" != "$wanted" ] || return 0
    say "installing matplotlib into $plots"
    rm -rf $plots
    .venv/bin/python -m venv $plots &&
        .venv/bin/python -m shim.demo.packages $plots/bin/python \
            --requirement benchmarks/requirements-plots.txt &&
        echo "$wanted" >$plots/stamp
}

is_short() {
    for word in "$@"; do
        case $word in --quick | --list | --help | -h) return 0 ;; esac
    done
    return 1
}

tools/debian.sh tools/debian-packages tools/debian-packages-bench
if ! is_short "$@"; then
    .venv/bin/python -m shim.demo || skip "the scenario with a real Glance: it could not be installed"
    make_plots || {
        rm -rf $plots
        skip "plots: matplotlib could not be installed"
    }
fi
exec .venv/bin/python -m benchmarks "$@"
