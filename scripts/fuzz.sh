#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Runs the fuzz targets of fuzz/, one after the other, and says at the end which of them found something.
#
# usage: scripts/fuzz.sh [TARGET…]    all of them by default
#   FUZZ_SECONDS   how long each runs (default: 60)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib/common.sh"
cd "$here/.."
# Where the programs that make file systems are.
PATH=$PATH:/usr/sbin:/sbin
seconds=${FUZZ_SECONDS:-60}

check_tools() {
    have cargo-fuzz || die "no cargo-fuzz: \`cargo install cargo-fuzz --locked\`, then run again"
    cargo +nightly --version >/dev/null 2>&1 ||
        die "no nightly Rust, which fuzzing needs: \`rustup toolchain install nightly --profile minimal\`, then run again"
    have c++ || die "no C++ compiler, which libFuzzer needs: install g++, then run again"
}

# Inputs to begin with: small images, texts of this repository, volumes of LVM, and larger disks as their pieces.
seeds() {
    rm -rf fuzz/seeds
    mkdir -p fuzz/seeds/{images,texts,volumes,btrfs,xfs}
    cp recipes/*.toml base-images/*.toml src/trust/openpgp/tests/*.asc fuzz/seeds/texts
    images fuzz/seeds/images
    local name scratch
    scratch=$(mktemp -d)
    for name in physical-volume group kinds; do
        # The label, and the front of the metadata.
        xz -dc "tests/fixtures/lvm-$name.xz" | head -c 32K >"fuzz/seeds/volumes/$name" || true
    done
    mkdir -p "$scratch/root/directory"
    echo text >"$scratch/root/directory/file"
    truncate -s 18M "$scratch/btrfs"
    mkfs.btrfs -q -f --mixed -m single -d single -n 4096 --rootdir "$scratch/root" "$scratch/btrfs"
    pieces "$scratch/btrfs" fuzz/seeds/btrfs/smallest
    xz -dc tests/fixtures/btrfs/suse.xz >"$scratch/btrfs"
    pieces "$scratch/btrfs" fuzz/seeds/btrfs/subvolumes
    xfs "$scratch" 4-files 5 '-m crc=0 -n ftype=0 -b size=512 -i size=256'
    xfs "$scratch" 4-directories 400 '-m crc=0 -n ftype=0 -b size=512 -i size=256'
    xfs "$scratch" 5-files 20 '-b size=1024'
    xfs "$scratch" 5-directories 400 '-b size=1024 -n size=4096'
    rm -r "$scratch"
}

images() {
    qemu-img create -q -f qcow2 -o cluster_size=512 "$1/v3.qcow2" 64K
    qemu-img create -q -f qcow2 -o cluster_size=512,compat=0.10 "$1/v2.qcow2" 64K
    truncate -s 128K "$1/gpt" "$1/mbr"
    printf 'label: gpt\nfirst-lba: 34\n,\n' | sfdisk -q "$1/gpt"
    printf 'label: dos\n1,64\n65,\n' | sfdisk -q "$1/mbr"
    truncate -s 256K "$1/ext4" "$1/fat"
    mke2fs -q -F -t ext4 -b 1024 -O ^has_journal "$1/ext4"
    mkfs.fat -F 12 "$1/fat" >/dev/null
}

# An XFS with a directory of so many files. The variables let mkfs.xfs make a smaller one than it recommends.
xfs() {
    local scratch=$1 name=$2 files=$3 options=$4 file
    {
        printf 'x\n0 0\nd--755 0 0\ndirectory d--755 3 4\n'
        for ((file = 0; file < files; file++)); do printf 'name-%d ---644 %d 0 %s/root/directory/file\n' $file $file "$scratch"; done
        printf '$\nlink l--777 0 0 directory\n$\n'
    } >"$scratch/proto"
    truncate -s 0 "$scratch/xfs"
    truncate -s 24M "$scratch/xfs"
    # shellcheck disable=SC2086 # Several options.
    TEST_DIR=x TEST_DEV=x QA_CHECK_FS=x mkfs.xfs -q $options -p "$scratch/proto" "$scratch/xfs" 2>"$scratch/log" || die "$(cat "$scratch/log")"
    pieces "$scratch/xfs" "fuzz/seeds/xfs/$name"
}

# A disk as the targets take it that want its pieces (src/block/memory.rs).
pieces() {
    python3 - "$1" "$2" <<'PYTHON'
import sys

with open(sys.argv[1], "rb") as disk, open(sys.argv[2], "wb") as pieces:
    content = disk.read()
    pieces.write((len(content) // 512).to_bytes(4, "little"))
    for number in range(len(content) // 512):
        sector = content[number * 512 : (number + 1) * 512]
        if any(sector):
            pieces.write(number.to_bytes(4, "little") + sector)
PYTHON
}

main() {
    local targets=("$@") target kind found=()
    check_tools
    [ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list)
    # The versions that tib is built with. Cargo adds what the targets alone need.
    cp Cargo.lock fuzz/Cargo.lock
    seeds
    for target in "${targets[@]}"; do
        # A target that does not compile is no finding.
        cargo +nightly fuzz build "$target"
        say "== $target, for $seconds s"
        case $target in
        btrfs | xfs) kind=$target ;;
        lvm) kind=volumes ;;
        ext4 | fat | layout | partition | qcow2) kind=images ;;
        *) kind=texts ;;
        esac
        mkdir -p "fuzz/corpus/$target"
        cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$kind" -- \
            -max_total_time="$seconds" -max_len=$((1 << 20)) -timeout=25 -print_final_stats=1 || found+=("$target")
    done
    [ ${#found[@]} -eq 0 ] || die "something was found by: ${found[*]}; the inputs are in fuzz/artifacts/"
    say "nothing was found by ${#targets[@]} targets"
}

main "$@"
