#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Runs every test, as an unprivileged user: tib needs no root, and the tests prove it.
#
# Called by root (in CI, say), it builds as root, then hands the finished test programs to the user `tib-test`,
# who can read neither root's home nor its Rust. Otherwise the tests run as whoever calls.
#
# usage: scripts/test.sh [PROFILE]    a nextest profile of .config/nextest.toml, `full` by default
#   TIB_TEST_CACHE   keeps bases and layers between tests and runs (default: /var/tmp/tib-test-cache-USER)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib/common.sh"
. "$here/lib/host.sh"
. "$here/lib/tester.sh"

profile=${1:-full}
# What needs the network is ignored otherwise.
selection=() filter=()
case $profile in
network)
    selection=(--run-ignored only)
    filter=(--ignored network_)
    ;;
default) filter=(--skip appliance_) ;;
esac
root=$(dirname "$here")
cd "$root"
stage=
report=

# The environment of a test run. Snapshots are compared, never written.
test_environment() {
    export TIB_TEST_CACHE=${TIB_TEST_CACHE:-/var/tmp/tib-test-cache-$1}
    export INSTA_UPDATE=no INSTA_FORCE_PASS=0
}

run_as_self() {
    local user
    user=$(id -un)
    test_environment "$user"
    provide_kernel "$user"
    mkdir -p "$TIB_TEST_CACHE"
    if cargo nextest --version >/dev/null 2>&1; then
        report=target/nextest/$profile/junit.xml
        runner cargo nextest run --locked --profile "$profile" "${selection[@]}"
        return
    fi
    say "cargo-nextest is not here: using cargo test, one test at a time"
    cargo test --locked -- "${filter[@]}" --test-threads=1
}

# Runs nextest and lists the slowest tests. In a log, nextest's summary is the last line.
runner() {
    local status=0 log=
    if [ -t 2 ]; then
        "$@" || status=$?
    else
        log=$(mktemp)
        "$@" 2>&1 | tee "$log" || status=$?
    fi
    if [ -e "$report" ]; then
        python3 scripts/slowest.py "$report"
    fi
    if [ -n "$log" ]; then
        grep -E '^ +Summary \[' "$log" | tail -n 1 || true
        rm -f "$log"
    fi
    return "$status"
}

# Copies what tests read besides their programs: recipes, snapshots, fixtures, scripts.
copy_sources() {
    mkdir "$stage/source"
    tar -C "$root" --exclude=./target --exclude=./.git -cf - . | tar -C "$stage/source" -xf - --no-same-owner
    chmod -R a+rX "$stage/source"
    # nextest keeps its records and reports here.
    install -d -o "$tester" -g "$(id -g "$tester")" "$stage/source/target"
}

run_as_tester() {
    provide_tester
    test_environment "$tester"
    install -d -o "$tester" -g "$(id -g "$tester")" "$TIB_TEST_CACHE"

    stage=$(mktemp -d /var/tmp/tib-test.XXXXXX)
    trap 'rm -rf "$stage"' EXIT
    chmod 0755 "$stage"
    install -d -o "$tester" "$stage/kernel"
    provide_kernel "$tester" "$stage/kernel"
    copy_sources
    export INSTA_WORKSPACE_ROOT="$stage/source"

    if cargo nextest --version >/dev/null 2>&1; then
        run_archive
    else
        run_programs
    fi
}

run_archive() {
    local status=0
    cargo nextest archive --locked --archive-file "$stage/tests.tar.zst"
    # The archive has all that is needed. In CI nobody compiles again, and images want the room.
    [ -z "${CI:-}" ] || rm -rf "${CARGO_TARGET_DIR:-target}/debug"
    install -m 0755 "$(command -v cargo-nextest)" "$stage/cargo-nextest"
    install -d -o "$tester" -g "$(id -g "$tester")" "$stage/run"
    chmod 0644 "$stage/tests.tar.zst"
    report=$stage/source/target/nextest/$profile/junit.xml
    runner in_stage as_tester "$stage/cargo-nextest" nextest run --profile "$profile" "${selection[@]}" \
        --archive-file "$stage/tests.tar.zst" --extract-to "$stage/run" --extract-overwrite \
        --workspace-remap "$stage/source" || status=$?
    # Where `cargo nextest run` would have left it.
    [ ! -e "$report" ] || install -D -m 0644 "$report" "target/nextest/$profile/junit.xml"
    return "$status"
}

in_stage() (
    cd "$stage/source"
    "$@"
)

# Without nextest: the programs as cargo built them, one after the other.
run_programs() {
    local program status=0
    say "cargo-nextest is not here: running the test programs one by one"
    cargo test --locked --no-run 2>&1 | tee "$stage/build.log" >&2
    install -d "$stage/programs"
    install -m 0755 target/debug/tib "$stage/programs/tib"
    export TIB_BIN="$stage/programs/tib"
    while read -r program; do
        install -m 0755 "$program" "$stage/programs/"
        in_stage as_tester "$stage/programs/$(basename "$program")" "${filter[@]}" --test-threads=1 || status=$?
    done < <(sed -n 's/^ *Executable .*(\(.*\))$/\1/p' "$stage/build.log")
    return "$status"
}

if [ "$(id -u)" -eq 0 ]; then
    run_as_tester
else
    run_as_self
fi
