# Aligning the versions of QEMU's packages. Sourced, not run.
# shellcheck shell=bash
#
# A host may carry a qemu-utils from elsewhere (a backport, say) that is newer than the qemu-system-x86 its archive
# offers. apt then refuses to install qemu-system-x86 beside it, with a message about held broken packages.

# Says which versions make qemu-utils and qemu-system-x86 fit together: one `package=version` a line.
#
# $1: installed version of qemu-utils. stdin: `apt-cache madison` of the packages below, best version first.
# Keeps the installed version if qemu-system-x86 is on offer in it, otherwise takes the best one on offer for both.
choose_qemu_versions() {
    local installed=$1 table version package data
    table=$(awk -F'|' 'NF >= 3 { gsub(/ /, "", $1); gsub(/ /, "", $2); print $1, $2 }')
    offered() { grep -qxF "$1 $2" <<<"$table"; }

    version=
    if offered qemu-system-x86 "$installed"; then
        version=$installed
    else
        while read -r package data; do
            if [ "$package" = qemu-system-x86 ] && offered qemu-utils "$data"; then
                version=$data
                break
            fi
        done <<<"$table"
    fi
    [ -n "$version" ] || return 1

    for package in qemu-utils qemu-system-x86 qemu-system-common; do
        if [ "$package $version" = "qemu-utils $installed" ] || offered "$package" "$version"; then
            printf '%s=%s\n' "$package" "$version"
        fi
    done
    # Architecture-independent packages are not rebuilt: they lack the `+b3` of a binary rebuild.
    data=$(sed -E 's/\+b[0-9]+$//' <<<"$version")
    if offered qemu-system-data "$data"; then
        printf 'qemu-system-data=%s\n' "$data"
    fi
}
