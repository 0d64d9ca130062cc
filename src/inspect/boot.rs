//! How firmware starts the system, and with which command line.

use schemars::JsonSchema;
use serde::Serialize;

use super::grub::{GrubConfig, environment};
use super::loader_entries;
use crate::disk::{Layout, Tree};
use crate::os::ReadError;
use crate::os::files::read_optional;

/// Where GRUB's files are.
const GRUB: [&str; 2] = ["/boot/grub", "/boot/grub2"];

/// How firmware starts the system, and with which command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Boot {
    /// Whether a BIOS can start it.
    pub bios: Firmware,
    /// Whether UEFI firmware can, without having been told of it before.
    pub uefi: Firmware,
    /// The boot loader's configuration.
    pub config: Option<String>,
    /// What the boot loader offers, in its order.
    pub entries: Vec<BootEntry>,
}

/// Whether a kind of firmware can start the system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Firmware {
    /// It finds something to start; absent when the disk was not looked at.
    pub boots: Option<bool>,
    /// What it starts, or what is missing.
    pub how: String,
}

/// Something the boot loader offers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct BootEntry {
    /// Its title, after those of the menus it is in.
    pub title: String,
    /// The file it stands in.
    pub source: String,
    /// It is started when nobody chooses.
    pub default: bool,
    /// The kernel, as the boot loader names it.
    pub kernel: Option<String>,
    /// The kernel is where it should be; absent for entries that start none.
    pub kernel_present: Option<bool>,
    /// Initial RAM disks.
    pub initrd: Vec<String>,
    /// The kernel's command line.
    pub command_line: String,
}

pub(crate) fn boot(tree: &mut dyn Tree, layout: Option<&Layout>) -> Result<Boot, ReadError> {
    let mut boot = Boot::default();
    if let Some(layout) = layout {
        (boot.bios, boot.uefi) = (bios(layout), uefi(layout));
    }
    for directory in GRUB {
        let path = format!("{directory}/grub.cfg");
        let Some(text) = read_optional(tree, path.as_bytes())? else { continue };
        let config = GrubConfig::parse(&String::from_utf8_lossy(&text));
        let remembered = read_optional(tree, format!("{directory}/grubenv").as_bytes())?.unwrap_or_default();
        let remembered = environment(&String::from_utf8_lossy(&remembered));
        if config.uses_loader_entries {
            let wanted = remembered.get("saved_entry").map(String::as_str);
            boot.entries = from_files(loader_entries::read(tree, &remembered)?, wanted);
        }
        let default = config.default_entry(&remembered).filter(|_| boot.entries.is_empty());
        boot.entries.extend(config.entries.into_iter().enumerate().map(|(number, entry)| BootEntry {
            title: entry.place.iter().map(|place| place.title.as_str()).collect::<Vec<_>>().join(" > "),
            source: path.clone(),
            default: default == Some(number),
            kernel: entry.kernel,
            kernel_present: None,
            initrd: entry.initrd,
            command_line: entry.command_line,
        }));
        boot.config = Some(path);
        break;
    }
    if boot.config.is_none() {
        boot.entries = from_files(loader_entries::read(tree, &Default::default())?, None);
        boot.config = (!boot.entries.is_empty()).then(|| loader_entries::DIRECTORY.to_owned());
    }
    for entry in &mut boot.entries {
        if let Some(kernel) = &entry.kernel {
            // The boot loader's paths begin where /boot is a file system of its own.
            let present =
                tree.exists(kernel.as_bytes())? || tree.exists(format!("/boot{kernel}").as_bytes())?;
            entry.kernel_present = Some(present);
        }
    }
    Ok(boot)
}

fn from_files(entries: Vec<loader_entries::LoaderEntry>, wanted: Option<&str>) -> Vec<BootEntry> {
    let number = wanted.and_then(|wanted| wanted.parse().ok());
    let default = entries.iter().position(|entry| Some(entry.id.as_str()) == wanted).or(number).unwrap_or(0);
    let entries = entries.into_iter().enumerate().map(|(at, entry)| BootEntry {
        title: entry.title.unwrap_or(entry.id),
        source: entry.path,
        default: at == default,
        kernel: entry.kernel,
        kernel_present: None,
        initrd: entry.initrd,
        command_line: entry.command_line,
    });
    entries.collect()
}

pub(crate) fn bios(layout: &Layout) -> Firmware {
    let Some(sector) = &layout.boot_sector else {
        return Firmware { boots: Some(false), how: "no program in the boot sector".to_owned() };
    };
    let loader = sector.loader.as_deref().unwrap_or("an unknown boot loader");
    let (boots, how) = match &sector.core {
        Some(core) if !core.present => (
            false,
            format!(
                "{loader} in the boot sector, but nothing where it looks for its core (byte {})",
                core.start
            ),
        ),
        Some(core) => match core.partition {
            Some(number) => (true, format!("{loader} in the boot sector, core in partition {number}")),
            None => (true, format!("{loader} in the boot sector, core in front of the partitions")),
        },
        None => (true, format!("{loader} in the boot sector")),
    };
    Firmware { boots: Some(boots), how }
}

pub(crate) fn uefi(layout: &Layout) -> Firmware {
    let partitions = layout.partitions.iter().filter_map(|partition| {
        partition.content.as_ref().map(|content| (partition.number, &content.efi_programs))
    });
    let programs: Vec<_> =
        partitions.flat_map(|(number, all)| all.iter().map(move |one| (number, one))).collect();
    let removable = programs.iter().find(|(_, program)| program.is_removable());
    let vendor = programs.iter().find(|(_, program)| program.machine.is_some());
    let (boots, how) = match (removable, vendor) {
        (Some((number, program)), _) => {
            let loader = program.loader.as_deref().unwrap_or("an unknown program");
            (true, format!("{loader} in partition {number}, {}", program.path))
        }
        (None, Some((number, program))) => {
            (false, format!("only {} in partition {number}, which firmware must be told of", program.path))
        }
        (None, None) => (false, "no program in an EFI system partition".to_owned()),
    };
    Firmware { boots: Some(boots), how }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{BootSector, CoreImage};
    use crate::os::testing::{MemTree, layout};

    #[test]
    fn what_a_bios_finds() {
        let grub = |partition, present| {
            let core = CoreImage { start: 512, partition, present };
            Some(BootSector { loader: Some("GRUB".to_owned()), core: Some(core) })
        };
        for (sector, boots, how) in [
            (None, false, "no program"),
            (grub(Some(1), true), true, "core in partition 1"),
            (grub(None, true), true, "in front of the partitions"),
            (grub(None, false), false, "nothing where it looks for its core (byte 512)"),
            (Some(BootSector { loader: None, core: None }), true, "an unknown boot loader"),
        ] {
            let found = bios(&layout(sector, &[]));
            assert_eq!(found.boots, Some(boots), "{how}");
            assert!(found.how.contains(how), "{}", found.how);
        }
    }

    #[test]
    fn what_uefi_firmware_finds() {
        let debian = ("/EFI/debian/grubx64.efi", "x86_64");
        for (programs, boots, how) in [
            (&[][..], false, "no program"),
            (&[debian, ("/EFI/BOOT/BOOTX64.EFI", "x86_64")], true, "partition 15, /EFI/BOOT/BOOTX64.EFI"),
            (&[debian, ("/EFI/BOOT/BOOTX64.EFI", "aarch64")], false, "only /EFI/debian/grubx64.efi"),
        ] {
            let found = uefi(&layout(None, programs));
            assert_eq!(found.boots, Some(boots), "{how}");
            assert!(found.how.contains(how), "{}", found.how);
        }
    }

    fn titles(tree: &MemTree) -> Vec<(String, bool, Option<bool>)> {
        let found = boot(&mut tree.clone(), None).unwrap();
        found.entries.into_iter().map(|entry| (entry.title, entry.default, entry.kernel_present)).collect()
    }

    #[test]
    fn entries_in_files() {
        let tree = MemTree::new()
            .file("/boot/loader/entries/a-5.14.conf", "title New\nlinux /vmlinuz-5.14\noptions $kernelopts\n")
            .file("/boot/loader/entries/a-4.18.conf", "title Old\nlinux /vmlinuz-4.18\n")
            .file("/boot/vmlinuz-5.14", "");
        let entry = |title: &str, default, present| (title.to_owned(), default, Some(present));
        let grub = tree.clone().file("/boot/grub2/grub.cfg", "set default=\"${saved_entry}\"\nblscfg\n");
        for (tree, default) in [
            (tree.clone(), 0),
            (grub.clone(), 0),
            (grub.clone().file("/boot/grub2/grubenv", "saved_entry=a-4.18\n"), 1),
            (grub.clone().file("/boot/grub2/grubenv", "saved_entry=1\n"), 1),
            (grub.clone().file("/boot/grub2/grubenv", "saved_entry=gone\n"), 0),
        ] {
            assert_eq!(titles(&tree), [entry("New", default == 0, true), entry("Old", default == 1, false)]);
        }
        let tree = grub.file("/boot/grub2/grubenv", "kernelopts=root=UUID=1 ro\n");
        assert_eq!(boot(&mut tree.clone(), None).unwrap().entries[0].command_line, "root=UUID=1 ro");
        assert_eq!(titles(&MemTree::new()), []);
        assert!(boot(&mut tree.broken("/boot/grub2"), None).is_err());
    }
}
