# Talking, and acting as root. Sourced, not run.
# shellcheck shell=bash

say() { printf '%s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root, showing it first: everything that needs root goes through here.
as_root() {
    say "  # $*"
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "root is needed for: $* (no sudo here; run \`make setup\` as root once)"
    fi
}
