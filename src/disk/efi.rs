//! The programs of an EFI system partition.

use schemars::JsonSchema;
use serde::Serialize;

use super::DiskError;
use crate::filesystem::fat::Fat;

/// Largest program looked at whole.
const MAX_PROGRAM: u64 = 4 << 20;
/// The most programs; real partitions have a dozen.
const MAX_PROGRAMS: usize = 64;

/// What tells boot loaders apart: text that each has in it.
const LOADERS: [(&[u8], &str); 4] = [
    (b"UEFI SHIM", "shim"),
    (b"#### LoaderInfo: systemd-boot", "systemd-boot"),
    (b"#### LoaderInfo: systemd-stub", "unified kernel image"),
    (b"GRUB ", "GRUB"),
];

/// A program that UEFI firmware can start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct EfiProgram {
    /// Its path in the partition, with slashes.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// The processors it is for, such as `x86_64`; absent if it is no program.
    pub machine: Option<String>,
    /// Which boot loader it is, if tib knows it.
    pub loader: Option<String>,
}

impl EfiProgram {
    /// Firmware starts it without being told of it: `/EFI/BOOT/BOOTX64.EFI` and the like for other processors.
    pub fn is_removable(&self) -> bool {
        let expected = match self.machine.as_deref() {
            Some("x86_64") => "BOOTX64",
            Some("aarch64") => "BOOTAA64",
            Some("i386") => "BOOTIA32",
            Some("riscv64") => "BOOTRISCV64",
            _ => return false,
        };
        self.path.eq_ignore_ascii_case(&format!("/EFI/BOOT/{expected}.EFI"))
    }
}

/// Finds the programs in a file system.
pub(super) fn programs(fat: &mut Fat) -> Result<Vec<EfiProgram>, DiskError> {
    let is_program = |path: &str| {
        path.get(path.len().saturating_sub(4)..).is_some_and(|end| end.eq_ignore_ascii_case(".efi"))
    };
    let mut programs = Vec::new();
    for file in fat.files()?.iter().filter(|file| is_program(&file.path)) {
        if programs.len() == MAX_PROGRAMS {
            return Err(DiskError::Damaged(format!("FAT: more than {MAX_PROGRAMS} programs")));
        }
        let content = fat.read(file, MAX_PROGRAM)?;
        programs.push(EfiProgram {
            path: file.path.clone(),
            size: file.size,
            machine: machine(&content),
            loader: loader(&content).map(str::to_owned),
        });
    }
    Ok(programs)
}

/// The processor a PE program is for (Microsoft's specification of PE, "COFF File Header").
fn machine(content: &[u8]) -> Option<String> {
    let offset = content.get(0x3c..0x40)?.try_into().map(u32::from_le_bytes).ok()? as usize;
    let header = content.get(offset..)?.get(..6)?;
    let number = header.strip_prefix(b"PE\0\0")?.try_into().map(u16::from_le_bytes).ok()?;
    Some(match number {
        0x8664 => "x86_64".to_owned(),
        0xaa64 => "aarch64".to_owned(),
        0x014c => "i386".to_owned(),
        0x5064 => "riscv64".to_owned(),
        other => format!("PE machine {other:#06x}"),
    })
}

fn loader(content: &[u8]) -> Option<&'static str> {
    LOADERS.iter().find(|(mark, _)| contains(content, mark)).map(|(_, name)| *name)
}

/// Whether a text is somewhere in some bytes.
pub(super) fn contains(bytes: &[u8], text: &[u8]) -> bool {
    let Some((first, rest)) = text.split_first() else { return true };
    bytes.iter().enumerate().any(|(at, byte)| byte == first && bytes[at + 1..].starts_with(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pe(number: u16, text: &str) -> Vec<u8> {
        let mut program = vec![0; 0x80];
        program[..2].copy_from_slice(b"MZ");
        program[0x3c] = 0x80;
        program.extend(b"PE\0\0");
        program.extend(number.to_le_bytes());
        program.extend(text.as_bytes());
        program
    }

    #[test]
    fn programs_and_what_they_are() {
        for (content, expected) in [
            (pe(0x8664, "…$Version: UEFI SHIM\n"), (Some("x86_64"), Some("shim"))),
            (pe(0xaa64, "\0GRUB \0"), (Some("aarch64"), Some("GRUB"))),
            (pe(0x14c, "#### LoaderInfo: systemd-boot 252 ####"), (Some("i386"), Some("systemd-boot"))),
            (pe(0x9999, ""), (Some("PE machine 0x9999"), None)),
            (b"MZ".to_vec(), (None, None)),
            (vec![0xff; 0x100], (None, None)),
        ] {
            assert_eq!((machine(&content).as_deref(), loader(&content)), expected);
        }
    }

    #[test]
    fn what_firmware_starts_by_itself() {
        for (path, machine, expected) in [
            ("/EFI/BOOT/BOOTX64.EFI", Some("x86_64"), true),
            ("/efi/boot/bootx64.efi", Some("x86_64"), true),
            ("/EFI/BOOT/BOOTX64.EFI", Some("aarch64"), false),
            ("/EFI/BOOT/BOOTAA64.EFI", Some("aarch64"), true),
            ("/EFI/debian/shimx64.efi", Some("x86_64"), false),
            ("/EFI/BOOT/BOOTX64.EFI", None, false),
        ] {
            let program =
                EfiProgram { path: path.into(), size: 0, machine: machine.map(str::to_owned), loader: None };
            assert_eq!(program.is_removable(), expected, "{path}");
        }
    }
}
