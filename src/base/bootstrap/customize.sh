# Runs in mmdebstrap's namespace after the packages are configured; $1 is the tree. What changes from system to
# system comes in TIB_* variables.
set -eu
root=$1

# put PATH: writes stdin to PATH in the tree.
put() {
	mkdir -p "$root${1%/*}"
	cat >"$root$1"
	chmod 0644 "$root$1"
}

# INITRD=No kept the packages from making it again and again.
kernel=$(ls "$root/boot" | sed -n 's/^vmlinuz-//p' | sort -V | tail -n 1)
chroot "$root" update-initramfs -c -k "$kernel"

# --- boot loader -----------------------------------------------------------------------------------------------
for platform in i386-pc x86_64-efi; do
	mkdir -p "$root/boot/grub/$platform"
	cp "$root/usr/lib/grub/$platform"/*.mod "$root/usr/lib/grub/$platform"/*.lst "$root/boot/grub/$platform/"
done
cp "$root/usr/lib/grub/i386-pc/boot.img" "$root/boot/grub/i386-pc/boot.img"
put /boot/grub/load.cfg <<END
search.fs_uuid $TIB_ROOT_UUID root
set prefix=(\$root)/boot/grub
END
chroot "$root" grub-mkimage -O i386-pc -o /boot/grub/i386-pc/core.img -c /boot/grub/load.cfg \
	-p /boot/grub biosdisk part_gpt ext2 search_fs_uuid
chroot "$root" grub-mkimage -O x86_64-efi -o /boot/grub/x86_64-efi/core.efi -c /boot/grub/load.cfg \
	-p /boot/grub part_gpt ext2 search_fs_uuid
rm "$root/boot/grub/load.cfg"

put /etc/default/grub <<END
GRUB_DEFAULT=0
GRUB_TIMEOUT=1
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="$TIB_CMDLINE"
GRUB_DISABLE_OS_PROBER=true
END
# update-grub cannot find the disk from here. This does for the first boot; every new kernel runs update-grub.
put /boot/grub/grub.cfg <<END
set default=0
set timeout=1
menuentry 'Debian GNU/Linux' {
	insmod gzio
	insmod part_gpt
	insmod ext2
	search --no-floppy --fs-uuid --set=root $TIB_ROOT_UUID
	linux /boot/vmlinuz-$kernel root=UUID=$TIB_ROOT_UUID ro $TIB_CMDLINE
	initrd /boot/initrd.img-$kernel
}
END

# --- system ----------------------------------------------------------------------------------------------------
mkdir -p -m 0700 "$root/boot/efi"
put /etc/fstab <<END
UUID=$TIB_ROOT_UUID / ext4 errors=remount-ro 0 1
UUID=$TIB_ESP_ID /boot/efi vfat umask=0077 0 1
END
echo debian | put /etc/hostname
put /etc/hosts <<END
127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
END
# Left alone, cloud-init replaces the package sources and generates a locale on the first boot.
put /etc/cloud/cloud.cfg.d/01_tib.cfg <<END
apt:
  preserve_sources_list: true
locale: C.UTF-8
END
# cloud-init writes netplan's configuration, netplan hands it to networkd; nothing else starts these.
chroot "$root" systemctl --quiet enable systemd-networkd.service systemd-resolved.service systemd-timesyncd.service
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"

if [ -n "$TIB_SOURCES" ]; then
	rm -rf "$root/etc/apt/sources.list" "$root/etc/apt/sources.list.d"/*
	printf '%s' "$TIB_SOURCES" | put /etc/apt/sources.list.d/debian.sources
fi

# --- nothing of this host, nothing twice -----------------------------------------------------------------------
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/var/lib/systemd/random-seed"
# Empty, not `uninitialized`: that would have systemd apply its presets anew.
: >"$root/etc/machine-id"
rm -f "$root"/etc/*- "$root"/var/lib/dpkg/*-old "$root"/var/cache/debconf/*-old "$root/var/cache/ldconfig/aux-cache"
find "$root/var/log" -type f -delete
