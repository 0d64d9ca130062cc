# shellcheck shell=sh
set -eu
root=$1 out=$2; shift 2
export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG
# Valkey, which Red Hat's releases have from 10 on, is in Debian's backports alone.
sed -n 's/^\(deb .*\) bookworm main$/\1 bookworm-backports main/p' "$root"/etc/apt/sources.list >"$root"/etc/apt/sources.list.d/backports.list
apt-get -qq update
apt-get -qq -y --no-install-recommends --download-only install "$@" valkey-server/bookworm-backports valkey-tools/bookworm-backports
rm "$root"/etc/apt/sources.list.d/backports.list
rm "$root"/usr/bin/dracut
chroot "$root" dpkg-divert --quiet --local --remove --rename /usr/bin/dracut
for kernel in "$root"/boot/vmlinuz-*; do
    version=${kernel##*/vmlinuz-}
    chroot "$root" dracut --quiet --force --no-hostonly --compress 'zstd -3 -T0' /boot/initrd.img-"$version" "$version"
done
# Whoever calls this may not remove what the namespace's root has made.
rm -rf "$out"/debs
mkdir "$out"/debs
cp "$root"/var/cache/apt/archives/*.deb "$out"/debs/
cd "$root"
cat var/lib/dpkg/info/*.list | sed -E 's,^/(bin|sbin|lib|lib32|lib64|libx32)/,/usr/\1/,' | sort -u >"$out"/owned
find . -xdev -mindepth 1 \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./var/lib/dpkg -o -path ./var/cache -o -path ./var/lib/apt -o -path ./tmp -o -path ./var/log \) -prune -o -print | sed 's/^\.//' | sort >"$out"/all
comm -23 "$out"/all "$out"/owned >"$out"/unowned
sed 's/^/./' "$out"/unowned | tar --no-recursion --numeric-owner -cf "$out"/state.tar -T -
# What maintainer scripts have made of the files that packages hold: directories into links, owners, modes, capabilities.
find . -xdev -mindepth 1 -printf '%P\0%y\0%m\0%U\0%G\0%l\0' >"$out"/attributes
getcap -r . 2>/dev/null >"$out"/capabilities
cp var/lib/dpkg/status "$out"/status
