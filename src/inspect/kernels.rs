//! Kernels, and what they need beside them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::disk::{FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::{is_directory, join, names, optional, read_start, show, too_much};

/// Where modules are, in one or two places that are usually one.
const MODULES: [&str; 2] = ["/usr/lib/modules", "/lib/modules"];
/// The most entries of a directory that holds kernels or modules.
const ENTRY_LIMIT: usize = 1000;
/// Names of kernels in `/boot`, in front of the version.
const PREFIXES: [&str; 3] = ["vmlinuz-", "vmlinux-", "Image-"];

/// Kernels and initial RAM disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Kernels {
    /// The kernels, sorted by path.
    pub kernels: Vec<Kernel>,
    /// Versions that have modules and no kernel.
    pub modules_without_kernel: Vec<String>,
}

/// A kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Kernel {
    /// Its version, by the name of its file: `6.1.0-40-amd64`.
    pub version: String,
    /// Its file.
    pub path: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// What it says of itself: version, who built it and when. x86 only.
    pub banner: Option<String>,
    /// The directory with its modules.
    pub modules: Option<String>,
    /// Its initial RAM disk.
    pub initramfs: Option<Ramdisk>,
}

/// An initial RAM disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Ramdisk {
    /// Its file.
    pub path: String,
    /// Size of the file in bytes.
    pub size: u64,
}

pub(crate) fn kernels(tree: &mut dyn Tree) -> Result<Kernels, ReadError> {
    let mut kernels: Vec<Kernel> = Vec::new();
    for name in some_names(tree, "/boot")? {
        let shown = show(&name);
        let version = PREFIXES.iter().find_map(|prefix| shown.strip_prefix(prefix));
        if let Some(version) = version.filter(|version| !version.ends_with(".old"))
            && let Some(kernel) = kernel(tree, &join(b"/boot", &name), version)?
        {
            kernels.push(kernel);
        }
    }
    let mut versions = Vec::new();
    for directory in MODULES {
        for name in some_names(tree, directory)? {
            let path = join(directory.as_bytes(), &name);
            let version = show(&name);
            if !versions.contains(&version) && is_directory(tree, &path)? {
                versions.push(version);
            }
        }
    }
    let mut modules_without_kernel = Vec::new();
    for version in versions {
        if kernels.iter().any(|kernel| kernel.version == version) {
            continue;
        }
        // Fedora's kernels are with their modules, and copied to /boot when they are installed.
        match kernel(tree, format!("/usr/lib/modules/{version}/vmlinuz").as_bytes(), &version)? {
            Some(kernel) => kernels.push(kernel),
            None => modules_without_kernel.push(version),
        }
    }
    Ok(Kernels { kernels, modules_without_kernel })
}

/// The names in a directory that never has many.
fn some_names(tree: &mut dyn Tree, directory: &str) -> Result<Vec<Vec<u8>>, ReadError> {
    let names = names(tree, directory.as_bytes())?;
    if names.len() > ENTRY_LIMIT {
        return Err(too_much(directory.as_bytes()).into());
    }
    Ok(names)
}

fn kernel(tree: &mut dyn Tree, path: &[u8], version: &str) -> Result<Option<Kernel>, ReadError> {
    let Some(size) = file_size(tree, path)? else { return Ok(None) };
    let mut modules = None;
    for directory in MODULES {
        let path = format!("{directory}/{version}");
        if modules.is_none() && is_directory(tree, path.as_bytes())? {
            modules = Some(path);
        }
    }
    let mut initramfs = None;
    for path in [
        format!("/boot/initrd.img-{version}"),
        format!("/boot/initramfs-{version}.img"),
        format!("/boot/initrd-{version}"),
        format!("/usr/lib/modules/{version}/initrd"),
        format!("/usr/lib/modules/{version}/initramfs.img"),
    ] {
        if initramfs.is_none() {
            initramfs = file_size(tree, path.as_bytes())?.map(|size| Ramdisk { path, size });
        }
    }
    let banner = banner(&read_start(tree, path, size.min(0x1_0000) as usize)?);
    Ok(Some(Kernel { version: version.to_owned(), path: show(path), size, banner, modules, initramfs }))
}

fn file_size(tree: &mut dyn Tree, path: &[u8]) -> Result<Option<u64>, ReadError> {
    let stat = optional(tree.stat(path))?;
    Ok(stat.filter(|stat| stat.kind == FileKind::File).map(|stat| stat.size))
}

/// What a kernel for x86 says of itself (Linux, `Documentation/arch/x86/boot.rst`, `kernel_version`).
pub(crate) fn banner(start: &[u8]) -> Option<String> {
    if start.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let offset = start.get(0x20e..0x210)?.try_into().map(u16::from_le_bytes).ok()?;
    let text = start.get(usize::from(offset).checked_add(0x200)?..)?;
    let text = text.get(..256).unwrap_or(text).split(|byte| *byte == 0).next()?;
    (offset != 0 && !text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::MemTree;

    /// A file that begins as a kernel for x86 does.
    fn image(text: &str) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x210u16.to_le_bytes());
        image.resize(0x410, 0);
        image.extend(text.as_bytes());
        image.push(0);
        image
    }

    #[test]
    fn what_belongs_to_a_kernel() {
        let mut tree = MemTree::new()
            .link("/lib", "usr/lib")
            .file("/boot/vmlinuz-6.1", image("6.1 (builder) #1"))
            .file("/boot/initrd.img-6.1", "cpio")
            .dir("/usr/lib/modules/6.1/kernel")
            .file("/boot/vmlinuz-5.10", "no kernel")
            .file("/boot/vmlinuz-5.10.old", "")
            .link("/boot/vmlinuz", "vmlinuz-6.1")
            .dir("/usr/lib/modules/4.19")
            .file("/usr/lib/modules/6.9/vmlinuz", image("6.9"));
        let found = kernels(&mut tree).unwrap();
        let rows: Vec<_> = found
            .kernels
            .iter()
            .map(|k| {
                let ramdisk = k.initramfs.as_ref().map(|file| (file.path.as_str(), file.size));
                (k.version.as_str(), k.banner.as_deref(), k.modules.as_deref(), ramdisk)
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("5.10", None, None, None),
                (
                    "6.1",
                    Some("6.1 (builder) #1"),
                    Some("/usr/lib/modules/6.1"),
                    Some(("/boot/initrd.img-6.1", 4))
                ),
                ("6.9", Some("6.9"), Some("/usr/lib/modules/6.9"), None),
            ]
        );
        assert_eq!(found.modules_without_kernel, ["4.19"]);
        assert!(kernels(&mut MemTree::new().dir("/boot").broken("/boot")).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_start_is_survived(mut bytes: Vec<u8>, offset: u16) {
            bytes.resize(bytes.len().max(0x210), 0);
            bytes[0x202..0x206].copy_from_slice(b"HdrS");
            bytes[0x20e..0x210].copy_from_slice(&offset.to_le_bytes());
            banner(&bytes);
        }
    }
}
