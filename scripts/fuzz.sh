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

# Inputs to begin with: small images, and texts of this repository that one target or another reads.
seeds() {
    local images=fuzz/seeds/images texts=fuzz/seeds/texts
    rm -rf fuzz/seeds
    mkdir -p "$images" "$texts"
    cp recipes/*.toml base-images/*.toml src/trust/openpgp/tests/*.asc "$texts"
    qemu-img create -q -f qcow2 -o cluster_size=512 "$images/v3.qcow2" 64K
    qemu-img create -q -f qcow2 -o cluster_size=512,compat=0.10 "$images/v2.qcow2" 64K
    truncate -s 128K "$images/gpt" "$images/mbr"
    printf 'label: gpt\nfirst-lba: 34\n,\n' | sfdisk -q "$images/gpt"
    printf 'label: dos\n1,64\n65,\n' | sfdisk -q "$images/mbr"
    truncate -s 256K "$images/ext4" "$images/fat"
    mke2fs -q -F -t ext4 -b 1024 -O ^has_journal "$images/ext4"
    mkfs.fat -F 12 "$images/fat" >/dev/null
    # The smallest there is.
    mkdir "$images/root"
    echo text >"$images/root/file"
    truncate -s 18M "$images/btrfs"
    mkfs.btrfs -q -f --mixed -m single -d single -n 4096 --rootdir "$images/root" "$images/btrfs"
    rm -r "$images/root"
}

main() {
    local targets=("$@") target kind longest found=()
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
        btrfs | ext4 | fat | layout | partition | qcow2) kind=images ;;
        *) kind=texts ;;
        esac
        # In bytes. The fuzzer would cut a Btrfs short.
        longest=$((1 << 20))
        [ "$target" != btrfs ] || longest=$((18 << 20))
        mkdir -p "fuzz/corpus/$target"
        cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$kind" -- \
            -max_total_time="$seconds" -max_len="$longest" -timeout=25 -print_final_stats=1 || found+=("$target")
    done
    [ ${#found[@]} -eq 0 ] || die "something was found by: ${found[*]}; the inputs are in fuzz/artifacts/"
    say "nothing was found by ${#targets[@]} targets"
}

main "$@"
