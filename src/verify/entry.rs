//! Whether what the boot loader starts by default is there and whole: kernel, initial RAM disks, modules, root.

use super::part::{Found, joined};
use super::volumes::is_missing;
use crate::disk::fstab;
use crate::disk::{FileKind, Layout, Tree};
use crate::inspect::BootEntry;
use crate::os::files::{names, optional, read_optional, read_start, show};
use crate::report::{CheckGroup, CheckResult};

/// How initial RAM disks begin: archives of cpio, and what Linux unpacks.
const RAM_DISKS: [&[u8]; 11] = [
    b"070701",
    b"070702",
    b"\x1f\x8b",
    b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd",
    b"\x02\x21\x4c\x18",
    b"\x03\x21\x4c\x18",
    b"\x04\x22\x4d\x18",
    b"BZh",
    b"\x5d\0\0",
    b"\x89LZO",
];
/// Fewer bytes hold no program that finds a root: those of the smallest kind of Debian's have three times as many.
const SMALLEST_RAM_DISK: u64 = 16 << 10;
/// As far as a kernel tells what it is.
const HEADER: usize = 0x210;
const MODULES: [&str; 2] = ["/usr/lib/modules", "/lib/modules"];

/// Checks a boot loader's entry; what it does not name is not asked for.
pub(super) fn check(tree: &mut dyn Tree, layout: &Layout, entry: &BootEntry) -> Vec<CheckResult> {
    let mut results = vec![
        result("the kernel that starts by default is there", kernel(tree, entry))
            .why("the boot loader would stop at an error that nobody sees")
            .fix("install a kernel, and have the boot loader's configuration written again"),
    ];
    // Where the kernel is not found either, paths begin in a place that tib does not know.
    if entry.kernel_present == Some(true) && !entry.initrd.is_empty() {
        results.push(
            result("its initial RAM disk is there", ram_disks(tree, entry))
                .why("the kernel would find no root, and panic")
                .fix("have it made again: `update-initramfs -c -k all` (Debian's family) or `dracut --regenerate-all -f`"),
        );
    }
    if let Some(version) = version(entry) {
        results.push(
            result("its kernel has its modules", modules(tree, version))
                .why("the kernel finds no drivers beside those in its initial RAM disk")
                .fix("install the kernel's packages again"),
        );
    }
    if let Some(found) = root(layout, entry) {
        results.push(
            result("its kernel is told of a root that is there", Ok(found))
                .why("an instance would wait for a disk that never comes, and end in a shell of the initial RAM disk")
                .fix("have the boot loader's configuration written again"),
        );
    }
    results
}

/// Where a file of the boot loader's is: its paths begin where /boot is a file system of its own.
fn place(tree: &mut dyn Tree, path: &str) -> Result<Option<Vec<u8>>, crate::os::ReadError> {
    for path in [path.to_owned(), format!("/boot{path}")] {
        if tree.exists(path.as_bytes())? {
            return Ok(Some(path.into_bytes()));
        }
    }
    Ok(None)
}

fn kernel(tree: &mut dyn Tree, entry: &BootEntry) -> Found {
    let kernel = entry.kernel.as_deref().unwrap_or_default();
    if entry.kernel_present == Some(false) {
        return Ok(Some(format!("{} starts {kernel}, which does not exist", entry.source)));
    }
    if entry.kernel_present.is_none() {
        return Ok(None);
    }
    let Some(path) = place(tree, kernel)? else { return Ok(None) };
    let wrong = |what: &str| Ok(Some(format!("{} starts {kernel}, which {what}", entry.source)));
    let Some(stat) = optional(tree.stat(&path))? else { return wrong("is a link to nothing") };
    if stat.kind != FileKind::File {
        return wrong("is no file");
    }
    if stat.size == 0 {
        return wrong("is empty");
    }
    let start = read_start(tree, &path, HEADER)?;
    Ok(match whole_size(&start) {
        Some(size) if stat.size.saturating_add(4096) < size => {
            wrong(&format!("is cut: it has {} of {size} bytes", stat.size))?
        }
        _ => None,
    })
}

/// How large a kernel for x86 says that it is (`setup_sects` and `syssize` of Linux' boot protocol).
fn whole_size(start: &[u8]) -> Option<u64> {
    if start.get(0x202..0x206) != Some(b"HdrS") {
        return None;
    }
    let sectors = match start[0x1f1] {
        0 => 4,
        sectors => u64::from(sectors),
    };
    let size = u32::from_le_bytes(start[0x1f4..0x1f8].try_into().ok()?);
    Some((sectors + 1) * 512 + u64::from(size) * 16)
}

fn ram_disks(tree: &mut dyn Tree, entry: &BootEntry) -> Found {
    let mut wrong = Vec::new();
    for name in entry.initrd.iter().filter(|name| !name.contains('$')) {
        let mut say = |what: String| wrong.push(format!("{} names {name}, which {what}", entry.source));
        let stat = match place(tree, name)? {
            Some(path) => optional(tree.stat(&path))?.map(|stat| (path, stat)),
            None => None,
        };
        let Some((path, stat)) = stat else {
            say("does not exist".to_owned());
            continue;
        };
        let start = if stat.kind == FileKind::File { read_start(tree, &path, 6)? } else { Vec::new() };
        // Microcode alone is small, and stands in front of another.
        let is_alone = entry.initrd.len() == 1;
        if start.is_empty() {
            say("is empty".to_owned());
        } else if !RAM_DISKS.iter().any(|magic| start.starts_with(magic)) {
            say("is no archive that Linux unpacks".to_owned());
        } else if is_alone && stat.size < SMALLEST_RAM_DISK {
            say(format!("is cut: it has only {} bytes", stat.size));
        }
    }
    Ok(joined(&wrong))
}

fn version(entry: &BootEntry) -> Option<&str> {
    let name = entry.kernel.as_deref()?.rsplit('/').next()?;
    name.strip_prefix("vmlinuz-").filter(|version| !version.is_empty() && entry.kernel_present == Some(true))
}

/// Whether a kernel that is made to have modules has any. One may have everything built in.
fn modules(tree: &mut dyn Tree, version: &str) -> Found {
    let mut others = false;
    for directory in MODULES {
        let own = format!("{directory}/{version}");
        if !names(tree, own.as_bytes())?.is_empty() {
            return Ok(None);
        }
        for other in names(tree, directory.as_bytes())? {
            others |= tree.exists(format!("{directory}/{}/modules.dep", show(&other)).as_bytes())?;
        }
    }
    let configuration =
        read_optional(tree, format!("/boot/config-{version}").as_bytes())?.unwrap_or_default();
    let is_modular = configuration.split(|byte| *byte == b'\n').any(|line| line.ends_with(b"=m"));
    Ok((others || is_modular).then(|| format!("there is nothing in /lib/modules/{version}")))
}

/// What is wrong with the root on the command line, if one is named there in a way that can be judged.
fn root(layout: &Layout, entry: &BootEntry) -> Option<Option<String>> {
    let name = entry.command_line.split_whitespace().rev().find_map(|word| word.strip_prefix("root="))?;
    // A kernel calls volumes as fstab does.
    let entries = fstab::parse(&format!("{name} / auto defaults 0 0\n"));
    let is_missing = is_missing(layout, &entries.first()?.spec);
    Some(is_missing.then(|| format!("{} says root={name}, which no volume of the image is", entry.source)))
}

fn result(title: &str, found: Found) -> CheckResult {
    CheckResult::new(CheckGroup::Image, title, found)
}
