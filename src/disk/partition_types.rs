//! What partition types are called, in `sfdisk`'s words.

use super::partition::Kind;

const GPT: [(&str, &str); 25] = [
    ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI System"),
    ("21686148-6449-6e6f-744e-656564454649", "BIOS boot"),
    ("9e1a2d38-c612-4316-aa26-8b49521e5a8b", "PowerPC PReP boot"),
    ("bc13c2ff-59e6-4262-a352-b275fd6f7172", "Linux extended boot"),
    ("0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux filesystem"),
    ("4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "Linux root (x86-64)"),
    ("b921b045-1df0-41c3-af44-4c6f280d3fae", "Linux root (ARM-64)"),
    ("44479540-f297-41b2-9af7-d131d5f0458a", "Linux root (x86)"),
    ("c31c45e6-3f39-412e-80fb-4809c4980599", "Linux root (PPC64LE)"),
    ("5eead9a9-fe09-4a1e-a1d7-520d00531306", "Linux root (S390X)"),
    ("72ec70a6-cf74-40e6-bd49-4bda08e8f224", "Linux root (RISC-V-64)"),
    ("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5", "Linux root verity (x86-64)"),
    ("8484680c-9521-48c6-9c11-b0720656f69e", "Linux /usr (x86-64)"),
    ("b0e01050-ee5f-4390-949a-9101b17104e9", "Linux /usr (ARM-64)"),
    ("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap"),
    ("e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM"),
    ("a19d880f-05fc-4d3b-a006-743f0f84911e", "Linux RAID"),
    ("933ac7e1-2eb4-4f13-b844-0e14e2aef915", "Linux home"),
    ("3b8f8425-20e0-4f3b-907f-1a25a76f98e8", "Linux server data"),
    ("4d21b016-b534-45c2-a9fb-5c16e091fd2d", "Linux variable data"),
    ("7ec6f557-3bc5-4aca-b293-16ef5df639d1", "Linux temporary data"),
    ("8da63339-0007-60c0-c436-083ac8230908", "Linux reserved"),
    ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Microsoft basic data"),
    ("e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved"),
    ("af9b60a0-1431-4f62-bc68-3311714a69ad", "Microsoft LDM data"),
];

const MBR: [(u8, &str); 17] = [
    (0x01, "FAT12"),
    (0x04, "FAT16 <32M"),
    (0x05, "Extended"),
    (0x06, "FAT16"),
    (0x07, "HPFS/NTFS/exFAT"),
    (0x0b, "W95 FAT32"),
    (0x0c, "W95 FAT32 (LBA)"),
    (0x0e, "W95 FAT16 (LBA)"),
    (0x0f, "W95 Ext'd (LBA)"),
    (0x41, "PPC PReP Boot"),
    (0x82, "Linux swap / Solaris"),
    (0x83, "Linux"),
    (0x85, "Linux extended"),
    (0x8e, "Linux LVM"),
    (0xea, "Linux extended boot"),
    (0xef, "EFI (FAT-12/16/32)"),
    (0xfd, "Linux raid autodetect"),
];

impl Kind {
    /// Its name for people, if it is one that Linux images have.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::Gpt(guid) => GPT.iter().find(|(known, _)| known == guid).map(|(_, name)| *name),
            Self::Mbr(byte) => MBR.iter().find(|(known, _)| known == byte).map(|(_, name)| *name),
            Self::Disk => None,
        }
    }

    /// The type as the table has it: a GUID, or a byte like `0x83`.
    pub fn code(&self) -> Option<String> {
        match self {
            Self::Gpt(guid) => Some(guid.clone()),
            Self::Mbr(byte) => Some(format!("0x{byte:02x}")),
            Self::Disk => None,
        }
    }

    /// Whether UEFI firmware looks for boot loaders there.
    pub fn is_efi(&self) -> bool {
        *self == Self::Mbr(0xef) || *self == Self::Gpt(GPT[0].0.to_owned())
    }

    /// Whether a boot loader keeps its code there, without a file system: GRUB's core, on PCs and on POWER.
    pub fn is_boot_code(&self) -> bool {
        *self == Self::Mbr(0x41) || GPT[1..3].iter().any(|(guid, _)| *self == Self::Gpt((*guid).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::testing::Lab;

    #[test]
    fn sfdisk_calls_them_the_same() {
        let lab = Lab::new();
        let listed = |label: &str| -> Vec<(String, String)> {
            let text = lab.run("sfdisk", &["--label", label, "-T"]);
            let pairs = text.lines().filter_map(|line| line.trim().split_once("  "));
            pairs.map(|(id, name)| (id.trim().to_lowercase(), name.trim().to_owned())).collect()
        };
        let (gpt, mbr) = (listed("gpt"), listed("dos"));
        for (guid, name) in GPT {
            assert!(gpt.contains(&(guid.to_owned(), name.to_owned())), "{guid} {name}");
        }
        for (byte, name) in MBR {
            assert!(mbr.contains(&(format!("{byte:x}"), name.to_owned())), "{byte:x} {name}");
        }
    }
}
