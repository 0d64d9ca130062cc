#!/usr/bin/env bash
# Times looking into an image with tib against the guestfs-tools that give the same answers, in turn, and prints medians.
#
#   benches/look.sh IMAGE [RUNS]        (default 3; a round takes about four minutes under emulation)
#
# IMAGE is a finished image, such as `tib build mariadb` makes. Needed: guestfs-tools, guestfish, GNU time.
# The checksums of all files are made by one command inside the appliance, not by one question for each file, which is
# what `virt-ls --checksum` does and takes many times longer.
set -euo pipefail

image=${1:?usage: benches/look.sh IMAGE [RUNS]} runs=${2:-3}
tib=$(realpath "${TIB_BIN:-target/release/tib}")
work=$(mktemp -d "${TMPDIR:-/var/tmp}/tib-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The guestfs-tools need to be told what tib finds out by itself.
if "$tib" doctor 2>&1 | grep -q 'no hardware virtualisation'; then
    export LIBGUESTFS_BACKEND_SETTINGS=force_tcg
fi

# One line a command: name, tib's, the peer's. `verify` has no peer.
cat >"$work/commands" <<COMMANDS
list|$tib ls -lR $image /|virt-ls -lR -a $image /
cat|$tib cat $image /etc/os-release|virt-cat -a $image /etc/os-release
inspect|$tib inspect --json $image|virt-inspector -a $image
checksums|$tib ls -lR --checksum $image /|guestfish --ro -i -a $image checksums-out sha256 / $work/sums
verify|$tib verify $image --recipe mariadb|
COMMANDS

timed() {
    /usr/bin/time -f '%e %M' -o "$work/time" sh -c "$1 >/dev/null 2>&1"
    cat "$work/time"
}

for run in $(seq "$runs"); do
    while IFS='|' read -r name ours theirs; do
        a=$(timed "$ours")
        b=
        if [ -n "$theirs" ]; then b=$(timed "$theirs"); fi
        echo "$name $a ${b% *}" >>"$work/times"
        echo "run $run: $name: tib ${a% *} s and ${a#* } KiB${b:+, peer ${b% *} s}"
    done <"$work/commands"
done
python3 - "$work/times" <<'PY'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    name, *numbers = line.split()
    rows.setdefault(name, []).append([float(number) for number in numbers])
for name, runs in rows.items():
    ours, memory = statistics.median(run[0] for run in runs), max(run[1] for run in runs)
    text = f"{name}: tib {ours:.2f} s, {memory / 1024:.0f} MiB at most"
    if len(runs[0]) > 2:
        theirs = statistics.median(run[2] for run in runs)
        text += f"; peer {theirs:.1f} s; {statistics.median(run[2] / run[0] for run in runs):.0f} times"
    print(text)
PY
