#!/bin/sh
# debian.sh [LIST...]: installs what the lists (by default tools/debian-packages) name and this machine
# lacks; says what stays missing.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

present() {
    case $1 in
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

tab=$(printf '\t')
[ $# -gt 0 ] || set -- tools/debian-packages
grep -hv '^#' "$@" | while IFS=$tab read -r package sign purpose; do
    present "$sign" || apt "$package" || true
    present "$sign" || skip "$package is not installed, and cannot be without root or sudo ($purpose)"
done
