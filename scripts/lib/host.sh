# What packages alone do not give: a readable kernel, ID ranges, user namespaces, KVM. Sourced, not run.
# shellcheck shell=bash

# Prints the newest kernel with modules that user $1 cannot read, if they can read none.
unreadable_kernel() {
    local user=$1 kernel newest=
    for kernel in /boot/vmlinuz-*; do
        [ -d "/lib/modules/${kernel#/boot/vmlinuz-}" ] || continue
        if as_user "$user" test -r "$kernel"; then
            return
        fi
        newest=$(printf '%s\n%s\n' "$newest" "$kernel" | sort -V | tail -n 1)
    done
    [ -z "$newest" ] || printf '%s\n' "$newest"
}

home_of() { getent passwd "$1" | cut -d: -f6; }

# Runs a command as the given user, from root or from that user.
as_user() {
    local user=$1
    shift
    if [ "$(id -un)" = "$user" ]; then
        "$@"
    else
        setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups -- "$@"
    fi
}

# Ubuntu keeps /boot/vmlinuz-* at mode 0600, and libguestfs needs to read one. The system's file stays as it is:
# user $1 gets a copy in directory $2, by default below their home. Exports the variables that make supermin take it.
provide_kernel() {
    local user=$1 directory=${2:-$(home_of "$1")/.local/share/tib} kernel version
    kernel=$(unreadable_kernel "$user")
    [ -n "$kernel" ] || return 0
    version=${kernel#/boot/vmlinuz-}
    if [ ! -e "$directory/vmlinuz-$version" ]; then
        say "$kernel can be read by root only: putting a copy for libguestfs into $directory"
        [ -d "$directory" ] || as_user "$user" mkdir -p "$directory"
        as_root install -m 0444 "$kernel" "$directory/vmlinuz-$version"
    fi
    export SUPERMIN_KERNEL="$directory/vmlinuz-$version"
    export SUPERMIN_KERNEL_VERSION="$version"
    export SUPERMIN_MODULES="/lib/modules/$version"
}

# The first ID that lies behind every range in the given subuid and subgid files.
next_subid() {
    awk -F: 'BEGIN { next_id = 100000 } NF == 3 && $2 + $3 > next_id { next_id = $2 + $3 } END { printf "%.0f\n", next_id }' "$@"
}

# Gives a user the 65536 subordinate IDs that user namespaces map.
provide_subids() {
    local user=$1 start
    if grep -q "^$user:" /etc/subuid 2>/dev/null && grep -q "^$user:" /etc/subgid 2>/dev/null; then
        return
    fi
    as_root touch /etc/subuid /etc/subgid
    start=$(next_subid /etc/subuid /etc/subgid)
    say "needed to make a base image without root: subordinate IDs for $user"
    if ! grep -q "^$user:" /etc/subuid; then
        as_root usermod --add-subuids "$start-$((start + 65535))" "$user"
    fi
    if ! grep -q "^$user:" /etc/subgid; then
        as_root usermod --add-subgids "$start-$((start + 65535))" "$user"
    fi
}

# Says so, with the cure, when an ordinary user cannot make a user namespace.
check_user_namespaces() {
    local user=$1 sysctl
    [ "$(id -u "$user")" -ne 0 ] || return 0
    if as_user "$user" unshare --user --map-root-user true 2>/dev/null; then
        return
    fi
    warn "$user cannot make user namespaces, so \`--base bootstrap:…\` will not work; \`--base FILE\` does"
    sysctl=/proc/sys/kernel/apparmor_restrict_unprivileged_userns
    if [ "$(cat "$sysctl" 2>/dev/null)" = 1 ]; then
        if [ -e /etc/apparmor.d/mmdebstrap ]; then
            say "  AppArmor restricts them, but this system has a profile that lets mmdebstrap make them: no harm done"
        else
            say "  AppArmor restricts them; to allow: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        fi
    elif [ "$(cat /proc/sys/kernel/unprivileged_userns_clone 2>/dev/null)" = 0 ]; then
        say "  to allow them: sudo sysctl -w kernel.unprivileged_userns_clone=1"
    elif [ "$(cat /proc/sys/user/max_user_namespaces 2>/dev/null)" = 0 ]; then
        say "  to allow them: sudo sysctl -w user.max_user_namespaces=15000"
    else
        say "  in a container: its seccomp profile must allow unshare, or build with --base FILE"
    fi
}

# A hint only: whether KVM really works takes a virtual machine, which \`tib doctor\` starts.
check_kvm() {
    local user=$1
    if [ ! -e /dev/kvm ]; then
        say "no /dev/kvm: tib falls back to emulation, which is several times slower"
    elif ! as_user "$user" test -w /dev/kvm; then
        say "$user may not use /dev/kvm; for speed: sudo usermod -aG kvm $user, and log in again"
    fi
}
