# What tib needs from the distribution, and how to get it. Sourced, not run.
# shellcheck shell=bash

# One group a line: `what for|packages`. $1: `apt` or `dnf`.
package_groups() {
    case $1 in
    apt)
        cat <<LIST
libguestfs, to change images without root|libguestfs-dev supermin
QEMU, which runs libguestfs' appliance, and its image tools|qemu-system-x86 qemu-utils
what the appliance mounts and enlarges bases with (XFS, Btrfs, LVM)|libguestfs-xfs xfsprogs btrfs-progs lvm2
a DHCP client, which the appliance copies from this host|$(apt_dhcp_client)
the default base image, made without root|mmdebstrap uidmap
file systems for packages and bases; the others are references in tests|e2fsprogs gdisk fdisk parted
Python, to resolve the guest agent's packages|python3 python3-pip python3-venv
dnf, to resolve packages of Enterprise Linux and Fedora guests|python3-dnf rpm
git, for agents that come from a repository|git
compiling tib|gcc libc6-dev pkg-config
tests: other people's tools that look into the images|guestfs-tools guestfish apt-utils gnupg openssl xz-utils dosfstools mtools attr grub-common systemd apparmor selinux-utils patch skopeo sudo strace jq
tests: a container registry|docker-registry
tests: programs that write and read journals and RPM databases|systemd-journal-remote rpm db5.3-util
tests: packages and repositories of Red Hat's family|createrepo-c dnf libcap2-bin $(apt_user_mode_linux)
tests: a browser that shows reports|$(apt_browser)
booting an image: a config drive, firmware, ssh, a message broker|xorriso ovmf openssh-client rabbitmq-server
proving an image with Trove's control plane: its databases|$(apt_mariadb)
LIST
        have_kernel || printf 'a kernel for the appliance (none in /boot)|%s\n' "$(apt_kernel)"
        ;;
    dnf)
        cat <<LIST
libguestfs, to change images without root|libguestfs libguestfs-devel supermin
QEMU, which runs libguestfs' appliance, and its image tools|$(dnf_qemu) qemu-img
what the appliance mounts and enlarges bases with (XFS, Btrfs, LVM)|libguestfs-xfs xfsprogs $(dnf_btrfs) lvm2
a DHCP client, which the appliance copies from this host|$(dnf_dhcp_client)
the default base image, made without root|mmdebstrap shadow-utils
file systems for packages and bases; the others are references in tests|e2fsprogs gdisk util-linux parted
Python, to resolve the guest agent's packages|python3 python3-pip
dnf, to resolve packages of Enterprise Linux and Fedora guests|python3-dnf rpm
git, for agents that come from a repository|git
compiling tib|gcc pkgconf-pkg-config
tests: other people's tools that look into the images|guestfs-tools /usr/bin/guestfish dpkg gnupg2 openssl xz dosfstools mtools attr grub2-tools systemd libselinux-utils patch skopeo sudo strace jq
booting an image: a config drive, firmware, ssh|xorriso edk2-ovmf openssh-clients
tests: programs that write and read journals and RPM databases|systemd-journal-remote rpm-build libdb-utils
tests: packages and repositories of Red Hat's family|createrepo_c rpm-sign
tests: a browser that shows reports|chromium-headless
LIST
        # Enterprise Linux has RabbitMQ in a repository for OpenStack alone; whoever has that has it on offer.
        ! dnf_offers rabbitmq-server ||
            printf '%s|%s\n' "proving an image with Trove's control plane" 'rabbitmq-server mariadb-server'
        ! dnf_offers docker-distribution || printf 'tests: a container registry|docker-distribution\n'
        have_kernel || printf 'a kernel for the appliance (none found)|kernel-core\n'
        ;;
    esac
}

# supermin takes a kernel from /boot, or on newer Fedora from beside its modules.
have_kernel() {
    compgen -G '/boot/vmlinuz-*' >/dev/null || compgen -G '/lib/modules/*/vmlinuz' >/dev/null
}

os_id() { (. /etc/os-release && printf '%s' "${ID:-}"); }

apt_dhcp_client() {
    # The appliance takes dhclient first, dhcpcd otherwise; newer releases have only the second.
    if apt_installed isc-dhcp-client; then
        printf isc-dhcp-client
    elif apt_installed dhcpcd-base || ! apt_offers isc-dhcp-client; then
        printf dhcpcd-base
    else
        printf isc-dhcp-client
    fi
}

# The shell is the browser without what draws windows, and smaller. Ubuntu has neither; any Chrome on the PATH will do.
apt_browser() {
    local package
    for package in chromium-headless-shell chromium; do
        if apt_installed "$package" || apt_offers "$package"; then
            printf '%s' "$package"
            return
        fi
    done
}

# It fills disks as root without being root, in a fraction of the appliance's time, which serves where there is none.
apt_user_mode_linux() {
    local package=user-mode-linux
    if apt_installed "$package" || apt_offers "$package"; then
        printf '%s' "$package"
    fi
}

# The programs without the service.
apt_mariadb() {
    local version package
    for version in '' -10.6 -10.5; do
        package=mariadb-server-core$version
        if apt_installed "$package" || apt_offers "$package"; then
            printf '%s %s' "$package" "mariadb-client-core$version"
            return
        fi
    done
}

apt_kernel() {
    case $(os_id) in
    ubuntu) printf linux-image-generic ;;
    *) printf 'linux-image-%s' "$(dpkg --print-architecture)" ;;
    esac
}

apt_offers() { [ -n "$(apt-cache madison "$1" 2>/dev/null)" ]; }

apt_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

dnf_offers() { rpm -q "$1" >/dev/null 2>&1 || [ -n "$(dnf -q repoquery "$1" 2>/dev/null)" ]; }

dnf_qemu() {
    case $(os_id) in
    fedora) printf qemu-system-x86-core ;;
    *) printf qemu-kvm-core ;;
    esac
}

# Enterprise Linux' kernel knows no Btrfs, and without programs for it a base on Btrfs is refused before it is touched.
dnf_btrfs() {
    if [ "$(os_id)" = fedora ] || dnf_offers btrfs-progs; then
        printf btrfs-progs
    fi
}

dnf_dhcp_client() {
    # Fedora has had dhcpcd since 40; Enterprise Linux 8 and 9 have dhclient.
    if rpm -q dhcp-client >/dev/null 2>&1 || [ "$(os_id)" != fedora ] && [ "$(el_major)" -lt 10 ]; then
        printf dhcp-client
    else
        printf dhcpcd
    fi
}

el_major() { (. /etc/os-release && printf '%s' "${VERSION_ID%%.*}"); }

is_installed() {
    case $1 in
    apt) apt_installed "$2" ;;
    dnf) rpm -q --whatprovides "$2" >/dev/null 2>&1 ;;
    esac
}

# Installs what is missing, and says why. Does nothing, quickly, when all is there.
install_packages() {
    local manager=$1 why packages package missing=()
    # Without lists (a fresh container) nobody can say which packages this release has.
    if [ "$manager" = apt ] && ! apt_installed libguestfs-dev && ! apt_offers libguestfs-dev; then
        apt_update
    fi
    while IFS='|' read -r why packages; do
        local group=()
        for package in $packages; do
            is_installed "$manager" "$package" || group+=("$package")
        done
        if [ ${#group[@]} -gt 0 ]; then
            say "needed for $why: ${group[*]}"
            missing+=("${group[@]}")
        fi
    done < <(package_groups "$manager")

    if [ ${#missing[@]} -eq 0 ]; then
        say "packages: all there"
        return
    fi
    without_new_services "$manager"_install "${missing[@]}"
}

# Services that packages bring and start, and nobody here needs: tib and its tests start these programs by themselves, as
# an ordinary user.
UNWANTED_SERVICES='rabbitmq-server epmd mariadb docker-registry'

# Runs an installation, after which none of these runs or is enabled that was not before.
without_new_services() {
    local before unit
    before=$(enabled_services)
    deny_starting_services
    "$@"
    allow_starting_services
    while read -r unit; do
        say "$unit came with a package and is not needed: switching it off"
        # Where systemd does not run, as in containers, there is nothing to stop.
        if [ -d /run/systemd/system ]; then
            as_root systemctl --quiet disable --now "$unit" || warn "$unit is still on"
        else
            as_root systemctl --quiet disable "$unit" || warn "$unit is still enabled"
        fi
    done < <(unwanted_services "$before" "$(enabled_services)")
}

# Services and sockets that start with the system, one a line; none without systemd.
enabled_services() {
    ! have systemctl || systemctl list-unit-files --no-legend --state=enabled --type=service,socket 2>/dev/null |
        awk '{ print $1 }'
}

# What is to be switched off, from what was enabled before and what is now. Sockets come first: one would start its service
# again.
unwanted_services() {
    local service kind unit
    for kind in socket service; do
        for service in $UNWANTED_SERVICES; do
            unit=$service.$kind
            if grep -qxF "$unit" <<<"$2" && ! grep -qxF "$unit" <<<"$1"; then
                printf '%s\n' "$unit"
            fi
        done
    done
}

# Debian's packages start their services at once, unless this program says no. One that is there already is its host's.
POLICY=/usr/sbin/policy-rc.d

# Of each service's name and unit.
policy() {
    # shellcheck disable=SC2016 # for the shell that runs it
    printf '#!/bin/sh\ncase ${1%%.*} in\n'
    printf '%s) exit 101 ;;\nesac\n' "${UNWANTED_SERVICES// / | }"
}

deny_starting_services() {
    policy_is_ours=
    if ! have apt-get || [ -e "$POLICY" ]; then
        return
    fi
    policy_is_ours=yes
    # `die` ends the shell, and the host must not keep this.
    trap allow_starting_services EXIT
    # shellcheck disable=SC2016 # for the shell that root runs
    as_root sh -c 'printf "%s\n" "$2" >"$1" && chmod 0755 "$1"' sh "$POLICY" "$(policy)"
}

allow_starting_services() {
    [ -n "${policy_is_ours:-}" ] || return 0
    policy_is_ours=
    as_root rm -f "$POLICY"
    trap - EXIT
}

apt_install() {
    local pins
    # The lists may be older than what the mirror still has.
    [ -n "${apt_updated:-}" ] || apt_update
    if apt_get -s "$@" >/dev/null 2>&1; then
        as_root_apt "$@"
        return
    fi
    apt_installed qemu-utils || apt_refused "$@"
    if ! pins=$(apt-cache madison qemu-utils qemu-system-x86 qemu-system-common qemu-system-data |
        choose_qemu_versions "$(dpkg-query -W -f '${Version}' qemu-utils)"); then
        die "no configured source offers qemu-system-x86 and qemu-utils in one version: install them by hand, then \
run \`make setup\` again"
    fi
    mapfile -t pins <<<"$pins"
    say "the installed qemu-utils does not fit this archive's qemu-system-x86; aligning: ${pins[*]}"
    apt_get -s --allow-downgrades "$@" "${pins[@]}" >/dev/null 2>&1 || apt_refused --allow-downgrades "$@" "${pins[@]}"
    as_root_apt --allow-downgrades "$@" "${pins[@]}"
}

# A third party's source that does not answer is no reason to stop: what matters is whether the packages install.
apt_update() {
    as_root apt-get -qq update || warn "apt-get update had errors; trying with the lists that are there"
    apt_updated=yes
}

apt_get() { apt-get -q -y --no-install-recommends install "$@"; }

as_root_apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold install "$@"
}

# apt's own words, then an end.
apt_refused() {
    apt_get -s "$@" >&2 || true
    die "apt cannot install what tib needs; its reason is above"
}

dnf_install() {
    # mmdebstrap and, on Enterprise Linux, libguestfs-devel live outside the default repositories.
    if [ "$(os_id)" != fedora ] && ! rpm -q epel-release >/dev/null 2>&1; then
        say "Enterprise Linux: EPEL and the CRB repository are needed (https://docs.fedoraproject.org/en-US/epel/)"
    fi
    as_root dnf -y --setopt=install_weak_deps=False install "$@"
}
