#!/usr/bin/env bash
# Times `tib build mariadb` against the guestfs-tools doing the same work, in turn, and prints medians.
#
#   benches/side-by-side.sh [RUNS]               (default 3; each pair takes about five minutes under emulation)
#   TIB_TESTBED=DIR benches/side-by-side.sh      on the testbed of Red Hat's family instead of Debian 12
#
# Debian: both start from the same bootstrapped base in the cache. With TIB_COLD=1 downloaded packages and indices are
# thrown away before every run, as virt-customize downloads them every time; otherwise tib has them in its cache.
# Testbed: DIR is what tests/rpm_testbed/make.py makes of a variant, made with `--url http://localhost:8790`. Its
# repositories are served from loopback. virt-customize is told `--selinux-relabel`, since its image has wrong labels otherwise.
# tib builds with `--no-cache`, so that every stage runs.
set -euo pipefail
shopt -s inherit_errexit

runs=${1:-3}
tib=$(realpath "${TIB_BIN:-target/release/tib}")
work=$(mktemp -d "${TMPDIR:-/var/tmp}/tib-bench.XXXXXX")
server=
ended() {
    [ "$1" = 0 ] || [ ! -e "$work/errors" ] || cat "$work/errors" >&2
    rm -rf "$work"
    [ -z "$server" ] || kill "$server"
}
trap 'ended $?' EXIT
cache=${TIB_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tib}

if [ -n "${TIB_TESTBED:-}" ]; then
    base=$(realpath "$TIB_TESTBED")/image.qcow2
    from=$base
    python3 -m http.server --bind 127.0.0.1 --directory "$TIB_TESTBED/repository" 8790 >"$work/server.log" 2>&1 &
    server=$!
    sleep 1
    # Guests of libguestfs reach this machine's loopback by another address.
    before=(--run-command 'sed -i s/localhost:8790/169.254.2.2:8790/ /etc/yum.repos.d/*.repo')
    after=(--run-command 'sed -i s/169.254.2.2:8790/localhost:8790/ /etc/yum.repos.d/*.repo' --selinux-relabel)
else
    from=bootstrap:debian-12
    before=(--run-command 'apt-get -q update')
    after=()
fi

# Makes sure that the base is there, and tells what is installed.
"$tib" build mariadb --base "$from" -o "$work/warm.qcow2" --no-cache --quiet >/dev/null 2>"$work/warm.log" ||
    { cat "$work/warm.log" >&2; exit 1; }
field() { python3 -c "import json,sys; m = json.load(open(sys.argv[1])); print($1)" "$work/warm.qcow2.manifest.json"; }
[ -n "${base:-}" ] || base=$(ls "$cache/v1/bases/$(field 'm["base"]["digest"]')"/disk.*)
packages=$("$tib" build mariadb --base "$from" --dry-run --json 2>/dev/null | python3 -c 'import json, sys
print(",".join(p for s in json.load(sys.stdin)["stages"] for t in s["steps"] if t["step"] == "packages" for p in t["install"]))')
format=$(qemu-img info --output json "$base" | python3 -c 'import json,sys; print(json.load(sys.stdin)["format"])')
rm -f "$work"/warm.qcow2*

# virt-customize needs to be told what tib finds out by itself.
if grep -q 'no hardware virtualisation' "$work/warm.log"; then
    export LIBGUESTFS_BACKEND_SETTINGS=force_tcg
fi

ours() {
    if [ -n "${TIB_COLD:-}" ]; then rm -rf "$cache"/v1/apt; fi
    "$tib" build mariadb --base "$from" --no-cache --force --quiet -o "$work/ours.qcow2" >/dev/null
}

theirs() {
    qemu-img create -q -f qcow2 -b "$base" -F "$format" "$work/overlay.qcow2"
    virt-customize -q -a "$work/overlay.qcow2" "${before[@]}" --install "$packages" "${after[@]}" >/dev/null
    virt-sysprep -q -a "$work/overlay.qcow2" >/dev/null
    qemu-img convert -c -O qcow2 -o compression_type=zstd "$work/overlay.qcow2" "$work/theirs.qcow2"
    virt-cat -a "$work/theirs.qcow2" /etc/passwd | grep -q mysql
    rm -f "$work/overlay.qcow2"
}

# Seconds that passed, and seconds of a processor. Where the machine has other work, compare the latter.
timed() {
    local TIMEFORMAT='%R %U %S'
    { time "$1" 2>"$work/errors"; } 2>&1
}

for run in $(seq "$runs"); do
    a=$(timed ours)
    b=$(timed theirs)
    echo "$a $b" >>"$work/times"
    echo "run $run: tib $a, guestfs-tools $b (seconds: passed, user, system)"
done
python3 - "$work/times" <<'PY'
import statistics, sys
runs = [tuple(map(float, line.split())) for line in open(sys.argv[1])]
for what, pairs in [
    ("time", [(run[0], run[3]) for run in runs]),
    ("processor time", [(run[1] + run[2], run[4] + run[5]) for run in runs]),
]:
    ours, theirs = (statistics.median(column) for column in zip(*pairs))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"median {what}: tib {ours:.1f} s, guestfs-tools {theirs:.1f} s, ratio {ratio:.2f}")
PY
