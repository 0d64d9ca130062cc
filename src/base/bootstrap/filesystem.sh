# Runs in a namespace whose root owns the tree $1: makes the file $1/tmp/root.ext4 of $2 KiB with the tree in it.
set -eu
root=$1

find "$root/tmp" -mindepth 1 -delete
: >"$root/tmp/root.ext4"
exec 3<>"$root/tmp/root.ext4"
# The file must not end up in itself: an empty /tmp lies over it while the tree is read.
mount --make-rslave /
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
# All features by name: those that a newer host has by default would be unknown to the guest's boot loader and
# tools. What mke2fs leaves out is already zero, so the guest has nothing to initialise.
exec mke2fs -q -F -t ext4 -L root -U "$TIB_ROOT_UUID" -m 1 -b 4096 -I 256 \
	-O none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum \
	-E "lazy_itable_init=0,lazy_journal_init=1,nodiscard,hash_seed=$TIB_ROOT_UUID" \
	-d "$root" /proc/self/fd/3 "${2}k"
