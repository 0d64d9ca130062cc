#!/usr/bin/env bash
# Times `tib build mariadb` against the guestfs-tools doing the same work, in turn, and prints medians.
#
#   benches/side-by-side.sh [RUNS]        (default 3; each pair takes about five minutes under emulation)
#
# Both start from the same bootstrapped base in the cache. tib builds with `--no-cache`, so that every stage
# runs; its package cache is as cold or warm as TIB_COLD says: with TIB_COLD=1 downloaded packages and indices
# are thrown away before every run, as virt-customize downloads them every time.
set -euo pipefail

runs=${1:-3}
tib=${TIB_BIN:-target/release/tib}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/tib-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
cache=${TIB_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tib}
packages=$("$tib" recipe show mariadb --json |
    python3 -c 'import json,sys; print(",".join(p for s in json.load(sys.stdin)["stages"] for t in s["steps"] if t["step"] == "packages" for p in t["install"]))')

# Make sure that the base is there, and find it.
"$tib" build mariadb --base bootstrap:debian-12 -o "$work/warm.qcow2" --no-cache --quiet >/dev/null 2>"$work/warm.log"
base_digest=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["base"]["digest"])' "$work/warm.qcow2.manifest.json")
base=$(ls "$cache"/v1/bases/"$base_digest"/disk.*)
rm -f "$work"/warm.qcow2*

# virt-customize needs to be told what tib finds out by itself.
if grep -q 'no hardware virtualisation' "$work/warm.log"; then
    export LIBGUESTFS_BACKEND_SETTINGS=force_tcg
fi

ours() {
    if [ -n "${TIB_COLD:-}" ]; then rm -rf "$cache"/v1/apt; fi
    "$tib" build mariadb --base bootstrap:debian-12 --no-cache --force --quiet -o "$work/ours.qcow2" >/dev/null
}

theirs() {
    qemu-img create -q -f qcow2 -b "$base" -F "${base##*.}" "$work/overlay.qcow2"
    virt-customize -q -a "$work/overlay.qcow2" --run-command 'apt-get -q update' --install "$packages" >/dev/null
    virt-sysprep -q -a "$work/overlay.qcow2" >/dev/null
    qemu-img convert -c -O qcow2 -o compression_type=zstd "$work/overlay.qcow2" "$work/theirs.qcow2"
    virt-cat -a "$work/theirs.qcow2" /var/lib/dpkg/status >/dev/null
    rm -f "$work/overlay.qcow2"
}

timed() {
    local start end
    start=$(date +%s.%N)
    "$1"
    end=$(date +%s.%N)
    echo "$end - $start" | bc
}

for run in $(seq "$runs"); do
    a=$(timed ours)
    b=$(timed theirs)
    echo "$a $b" >>"$work/times"
    echo "run $run: tib $a s, guestfs-tools $b s"
done
python3 - "$work/times" <<'PY'
import statistics, sys
pairs = [tuple(map(float, line.split())) for line in open(sys.argv[1])]
ours, theirs = (statistics.median(column) for column in zip(*pairs))
ratio = statistics.median(a / b for a, b in pairs)
print(f"median: tib {ours:.1f} s, guestfs-tools {theirs:.1f} s, ratio {ratio:.2f}")
PY
