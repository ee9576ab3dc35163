#!/bin/sh
# Installs what tools/debian-packages names and this machine lacks; says what stays missing.
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
grep -v '^#' tools/debian-packages | while IFS=$tab read -r package sign purpose; do
    present "$sign" || apt "$package" || true
    present "$sign" || skip "$package is not installed, and cannot be without root or sudo ($purpose)"
done
