#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Builds the trove-guest image with a compiled tib, and says what came of it.
#
# usage: scripts/demo.sh TIB IMAGE
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib/common.sh"
. "$here/lib/host.sh"

tib=$1
image=$2

# setup.sh has put a readable kernel here if the system's own cannot be read.
if [ "$(id -u)" -ne 0 ]; then
    provide_kernel "$(id -un)"
fi

started=$SECONDS
# tib ends with what the image holds and the command that uploads it.
"$tib" build trove-guest --base bootstrap:debian-12 -o "$image" --force
minutes=$(((SECONDS - started) / 60)) seconds=$(((SECONDS - started) % 60))

size=$(du -h --apparent-size "$image" | cut -f1)
say
say "built in $minutes min $seconds s:"
say "  image     $(realpath "$image") ($size)"
say "  manifest  $(realpath "$image").manifest.json (what is in it, and where that came from)"
say "  checksum  $(realpath "$image").sha256"

started=$SECONDS
say "booting an instance of it:"
"$tib" boot "$image"
minutes=$(((SECONDS - started) / 60)) seconds=$(((SECONDS - started) % 60))
say
say "registered in $minutes min $seconds s"
say "look inside:"
say "  $tib ls $image /etc/systemd/system"
say "  $tib verify $image --recipe trove-guest"
