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
    forbid_services
    # A fresh machine has no package lists: only then, or when they are outdated, is the update needed.
    installed=0
    apt_get install "$@" || { apt_get update && apt_get install "$@"; } || installed=1
    allow_services
    return $installed
}

# Debian starts the servers that it installs: a web server on port 80 that nobody asked for. This policy,
# which invoke-rc.d asks, forbids it; one that is there already (containers have it) stands.
policy=/usr/sbin/policy-rc.d
policy_made=

# shellcheck disable=SC2086 # as_root is a word or nothing
forbid_services() {
    [ ! -e $policy ] || return 0
    policy_made=yes
    trap 'allow_services; exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null && $as_root chmod 755 $policy
}

# shellcheck disable=SC2086
allow_services() {
    [ -n "$policy_made" ] || return 0
    policy_made=
    $as_root rm -f $policy
    trap - INT TERM
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
