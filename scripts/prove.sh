#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Proves an image with a real control plane of Trove, as an ordinary user: docs/proving.md.
#
# Called by root, it runs as the user `tib-test`, who reads a copy of the program; the image has to be readable for all.
#
# usage: scripts/prove.sh IMAGE OPTION...    options of tests/control_plane/prove.py
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib/common.sh"
. "$here/lib/host.sh"
. "$here/lib/tester.sh"

[ -n "${1:-}" ] || die "which image? \`make prove IMAGE=trove-guest.qcow2\`"
image=$(realpath "$1")
shift
program=$here/../tests/control_plane/prove.py
if [ "$(id -u)" -ne 0 ]; then
    exec python3 "$program" "$image" "$@"
fi

provide_tester
as_tester test -r "$image" || die "the user $tester cannot read $image: move it where all may read, such as /var/tmp"
stage=$(mktemp -d /var/tmp/tib-prove.XXXXXX)
trap 'rm -rf "$stage"' EXIT
cp -r "$here/../tests/control_plane" "$stage/"
chmod -R a+rX "$stage"
cd "$stage"
# In a group of its own, to which signals are passed on; the program then needs a while to end what it started. The shell
# between is to live as long, for its exit code.
set -m
(
    trap '' INT TERM HUP
    as_tester python3 "$stage/control_plane/prove.py" "$image" "$@"
) &
child=$!
trap 'kill -TERM -- "-$child" 2>/dev/null || true' INT TERM HUP
status=0
wait "$child" || status=$?
# A signal has ended the wait, and nothing else.
while kill -0 "$child" 2>/dev/null; do
    status=0
    wait "$child" || status=$?
done
exit "$status"
