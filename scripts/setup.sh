#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Sets a host up for building, running and testing tib: Debian, Ubuntu, Fedora, Enterprise Linux.
#
# Run again at any time; it does only what is missing. Root, or sudo, is used for installing packages, for the
# invoking user's subordinate IDs and for copying an unreadable kernel, and for nothing else. Every command that
# needs it is shown. docs/host.md says more.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib/common.sh"
. "$here/lib/qemu.sh"
. "$here/lib/packages.sh"
. "$here/lib/host.sh"

check_rust() {
    local user=$1 wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$here/../Cargo.toml")
    # rustup puts its tools into a directory that not every shell has in its path.
    if ! have rustc && [ -x "$(home_of "$user")/.cargo/bin/rustc" ]; then
        PATH="$(home_of "$user")/.cargo/bin:$PATH"
        # shellcheck disable=SC2016 # it is for the user to run
        say 'Rust is not in the path of this shell: `. ~/.cargo/env`, or open a new one (make finds it by itself)'
    fi
    if ! have rustc || ! have cargo; then
        die "no Rust: get it from https://rustup.rs or your distribution (rustc $wanted or newer), then run again"
    fi
    found=$(rustc --version | awk '{ print $2 }')
    if [ "$(printf '%s\n%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)" != "$wanted" ]; then
        have rustup || die "rustc $found is too old, tib needs $wanted: get it from https://rustup.rs"
        say "rustc $found is older than $wanted: updating it with rustup"
        rustup update stable
    fi
    say "Rust: $(rustc --version)"
}

main() {
    local user
    # With sudo, the user to prepare for is the one who called it.
    user=${SUDO_USER:-$(id -un)}
    # Before anything is installed: nothing here can bring a Rust that is new enough.
    check_rust "$user"

    if have apt-get; then
        install_packages apt
    elif have dnf; then
        install_packages dnf
    else
        die "neither apt nor dnf here: install libguestfs, its headers, QEMU, mmdebstrap and pip by hand (docs/host.md)"
    fi

    if [ "$(id -u "$user")" -ne 0 ]; then
        provide_subids "$user"
        provide_kernel "$user"
        if [ -n "${SUPERMIN_KERNEL:-}" ]; then
            say "to run tib from your own shell, first (make does it by itself):"
            say "  export SUPERMIN_KERNEL=$SUPERMIN_KERNEL SUPERMIN_KERNEL_VERSION=$SUPERMIN_KERNEL_VERSION" \
                "SUPERMIN_MODULES=$SUPERMIN_MODULES"
        fi
    fi
    check_user_namespaces "$user"
    check_kvm "$user"
    say "setup: done; \`tib doctor\` tries everything for real"
}

main "$@"
