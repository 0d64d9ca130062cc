//! An entry of a directory, which is all that FAT has of inodes.

use super::boot_sector::ENTRY;
use crate::block::bytes::{le16, le32};
use crate::filesystem::{FileKind, Stat, Timestamp};

const READ_ONLY: u8 = 0x01;
const VOLUME: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const LONG_NAME: u8 = 0x0f;
/// In the first byte of a name: the entry is free.
const DELETED: u8 = 0xe5;
const ITSELF: &[u8; 11] = b".          ";
const PARENT: &[u8; 11] = b"..         ";
/// Extensions of programs, which `showexec` leaves executable.
const PROGRAMS: [&[u8]; 3] = [b"EXE", b"COM", b"BAT"];

/// The bytes of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry(pub(super) [u8; ENTRY as usize]);

impl Entry {
    /// One for the root directory, which has none.
    pub(super) fn root() -> Self {
        let mut bytes = [0; ENTRY as usize];
        bytes[11] = DIRECTORY;
        Self(bytes)
    }

    pub(super) fn is_long_name(&self) -> bool {
        self.0[11] == LONG_NAME
    }

    /// Nothing is there, or the label of the file system.
    pub(super) fn is_no_file(&self) -> bool {
        self.is_free() || self.0[11] & VOLUME != 0
    }

    fn is_free(&self) -> bool {
        matches!(self.0[0], 0 | DELETED)
    }

    /// It holds the label of the file system.
    pub(super) fn is_label(&self) -> bool {
        !self.is_free() && !self.is_long_name() && self.0[11] & (VOLUME | DIRECTORY) == VOLUME
    }

    pub(super) fn is_directory(&self) -> bool {
        self.0[11] & DIRECTORY != 0
    }

    /// It stands for the directory it is in, or for that one's parent.
    pub(super) fn is_own(&self) -> bool {
        self.0.starts_with(ITSELF) || self.0.starts_with(PARENT)
    }

    /// The first cluster; 0 for none. FAT12 and FAT16 keep something else in the upper half.
    pub(super) fn first(&self, is_wide: bool) -> u32 {
        let high = if is_wide { u32::from(le16(&self.0, 20)) << 16 } else { 0 };
        u32::from(le16(&self.0, 26)) | high
    }

    /// Length in bytes; zeros for a directory.
    pub(super) fn size(&self) -> u64 {
        le32(&self.0, 28).into()
    }

    /// What is known of it, with [`Stat::size`], `allocated`, `links` and `inode` to be filled in.
    pub(super) fn stat(&self, access: &Access) -> Stat {
        let kind = if self.is_directory() { FileKind::Directory } else { FileKind::File };
        let modified = moment(le16(&self.0, 22), le16(&self.0, 24));
        Stat {
            kind,
            mode: access.mode(self),
            uid: access.uid,
            gid: access.gid,
            size: self.size(),
            allocated: 0,
            links: 1,
            inode: 0,
            device: 0,
            special: (0, 0),
            accessed: moment(0, le16(&self.0, 18)),
            modified,
            // Linux keeps the time of creation apart since 5.19.
            changed: modified,
        }
    }
}

/// A time and a date of FAT, taken as UTC.
fn moment(time: u16, date: u16) -> Timestamp {
    /// Days of a common year before each month; months that do not exist begin with the year, as in Linux.
    const BEFORE: [i64; 16] = [0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 0, 0, 0];
    /// From 1970 to 1980.
    const TO_1980: i64 = 3652;
    let (time, date) = (i64::from(time), i64::from(date));
    let (year, month, day) = (date >> 9, (date >> 5 & 15).max(1), (date & 31).max(1) - 1);
    // 2100, the year 120, has no leap day.
    let past = (year + 3) / 4 - i64::from(year > 120);
    let is_leap = year % 4 == 0 && year != 120;
    let days = TO_1980
        + year * 365
        + past
        + i64::from(is_leap && month > 2)
        + BEFORE.get(month as usize).copied().unwrap_or(0)
        + day;
    let seconds = days * 86400 + (time >> 11) * 3600 + (time >> 5 & 63) * 60 + (time & 31) * 2;
    Timestamp { seconds, nanoseconds: 0 }
}

/// Owners and modes, which FAT has none of: mounting says what they shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    uid: u32,
    gid: u32,
    /// Bits taken from the modes of files, and of directories.
    files: u32,
    directories: u32,
    /// The mark of being read-only counts for directories too (`rodir`).
    read_only_directories: bool,
    /// Only programs are executable (`showexec`).
    only_programs: bool,
}

impl Default for Access {
    /// As root mounts it.
    fn default() -> Self {
        Self {
            uid: 0,
            gid: 0,
            files: 0o022,
            directories: 0o022,
            read_only_directories: false,
            only_programs: false,
        }
    }
}

impl Access {
    /// What options of `mount` ask for; others do not matter here.
    pub(crate) fn new<'a>(options: impl IntoIterator<Item = &'a str>) -> Self {
        let mut access = Self::default();
        for option in options {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let mask = u32::from_str_radix(value, 8).ok().map(|mask| mask & 0o777);
            match name {
                "uid" => access.uid = value.parse().unwrap_or(access.uid),
                "gid" => access.gid = value.parse().unwrap_or(access.gid),
                "umask" => {
                    access.files = mask.unwrap_or(access.files);
                    access.directories = mask.unwrap_or(access.directories);
                }
                "fmask" => access.files = mask.unwrap_or(access.files),
                "dmask" => access.directories = mask.unwrap_or(access.directories),
                "rodir" => access.read_only_directories = true,
                "showexec" => access.only_programs = true,
                _ => {}
            }
        }
        access
    }

    fn mode(&self, entry: &Entry) -> u32 {
        let is_directory = entry.is_directory();
        let is_program = PROGRAMS.iter().any(|end| entry.0[8..11].eq_ignore_ascii_case(end));
        let mut mode = if !is_directory && self.only_programs && !is_program { 0o666 } else { 0o777 };
        if entry.0[11] & READ_ONLY != 0 && (!is_directory || self.read_only_directories) {
            mode &= !0o222;
        }
        mode & !(if is_directory { self.directories } else { self.files })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_linux() {
        // `date -u -d … +%s` is the judge.
        for (date, time, expected) in [
            ((0, 0, 0), (0, 0, 0), 315_532_800),
            ((0, 1, 1), (0, 0, 0), 315_532_800),
            ((20, 2, 29), (23, 59, 58), 951_868_798),
            ((20, 3, 1), (0, 0, 0), 951_868_800),
            ((43, 11, 14), (22, 13, 20), 1_700_000_000),
            ((120, 2, 28), (0, 0, 0), 4_107_456_000),
            ((120, 3, 1), (0, 0, 0), 4_107_542_400),
            ((127, 12, 31), (23, 59, 58), 4_354_819_198),
        ] {
            let (year, month, day): (u16, u16, u16) = date;
            let (hour, minute, second): (u16, u16, u16) = time;
            let found = moment((hour << 11) | (minute << 5) | (second / 2), (year << 9) | (month << 5) | day);
            assert_eq!(found.seconds, expected, "{date:?} {time:?}");
        }
        moment(u16::MAX, u16::MAX);
    }

    #[test]
    fn modes_come_from_the_options() {
        let entry = |name: &[u8; 11], attributes| {
            let mut bytes = [0; 32];
            bytes[..11].copy_from_slice(name);
            bytes[11] = attributes;
            Entry(bytes)
        };
        let (file, fixed) = (entry(b"A       TXT", 0x20), entry(b"A       TXT", READ_ONLY));
        let program = entry(b"A       EXE", 0);
        let (directory, fixed_directory) =
            (entry(b"A          ", DIRECTORY), entry(b"A          ", DIRECTORY | READ_ONLY));
        let modes = |options: &str| {
            let access = Access::new(options.split(','));
            [file, fixed, program, directory, fixed_directory].map(|entry| access.mode(&entry))
        };
        assert_eq!(modes("defaults"), [0o755, 0o555, 0o755, 0o755, 0o755]);
        assert_eq!(modes("umask=0077,ro"), [0o700, 0o500, 0o700, 0o700, 0o700]);
        assert_eq!(modes("fmask=0133,dmask=22"), [0o644, 0o444, 0o644, 0o755, 0o755]);
        assert_eq!(modes("showexec,rodir,umask=9"), [0o644, 0o444, 0o755, 0o755, 0o555]);
        let stat = file.stat(&Access::new(["uid=5", "gid=7", "uid=x"]));
        assert_eq!((stat.uid, stat.gid, stat.kind), (5, 7, FileKind::File));
    }
}
