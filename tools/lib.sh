# shellcheck shell=sh
# Shared by the scripts here: talking, skipping aloud, installing Debian packages. Sourced, never run.

say() { printf '== %s\n' "$*" >&2; }

die() {
    printf 'make: %s\n' "$*" >&2
    exit 1
}

# What cannot be had is left out in words; where CI=true nothing may be left out.
skip() {
    [ "${CI:-}" != true ] || die "$* (with CI=true nothing is skipped)"
    printf '== SKIPPED: %s\n' "$*" >&2
}

# apt PACKAGE...: install from Debian; 1 where this is no Debian, or we may not, or it failed.
apt() {
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=sudo
    else
        return 1
    fi
    say "apt-get install $*"
    # A fresh machine has no package lists: only then, or when they are outdated, is the update needed.
    apt_get install "$@" || { apt_get update && apt_get install "$@"; }
}

# shellcheck disable=SC2086 # as_root is a word or nothing
apt_get() {
    verb=$1
    shift
    mkdir -p .lab
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get "$verb" -y -q "$@" </dev/null >>.lab/apt.log 2>&1 || {
        printf '   apt-get %s failed: %s\n' "$verb" "$(tail -n 1 .lab/apt.log)" >&2
        return 1
    }
}
