//! Which entries of a journal are wanted.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::field;
use crate::os::files::matches;
use crate::os::journal::{Field, JournalEntry};

/// Which entries are wanted: those that fit everything that is set.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one of these units; all units if there are none. May hold `*` and `?`.
    pub units: Vec<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
    /// As urgent as this.
    pub priority: Option<Priority>,
    /// With this in the message.
    pub text: Option<Text>,
    /// Of the last boot only.
    pub last_boot: bool,
}

impl Filter {
    /// Whether the time of an entry is wanted, which can be told without reading its fields.
    pub(crate) fn wants_time(&self, entry: &JournalEntry<'_>) -> bool {
        let micros = |time: Timestamp| u64::try_from(time.as_microsecond()).unwrap_or(0);
        self.since.is_none_or(|since| entry.realtime >= micros(since))
            && self.until.is_none_or(|until| entry.realtime <= micros(until))
    }

    /// Whether the fields are wanted.
    pub(crate) fn wants(&self, fields: &[Field<'_>]) -> bool {
        self.wants_unit(fields)
            && self.priority.as_ref().is_none_or(|priority| priority.fits(field(fields, b"PRIORITY")))
            && self
                .text
                .as_ref()
                .is_none_or(|text| field(fields, b"MESSAGE").is_some_and(|message| text.is_in(message)))
    }

    /// As `journalctl -u`: what the unit says, and what others say of it that may be believed.
    fn wants_unit(&self, fields: &[Field<'_>]) -> bool {
        let is = |name: &[u8], value: &[u8]| field(fields, name) == Some(value);
        let root = || is(b"_UID", b"0");
        self.units.is_empty()
            || self.units.iter().any(|unit| {
                let of = |name: &[u8]| {
                    fields.iter().any(|f| f.name() == name && matches(unit.as_bytes(), f.value()))
                };
                of(b"_SYSTEMD_UNIT")
                    || of(b"UNIT") && is(b"_PID", b"1")
                    || of(b"OBJECT_SYSTEMD_UNIT") && root()
                    || of(b"COREDUMP_UNIT") && root()
            })
    }
}

/// A unit's full name: `ssh` is `ssh.service`.
pub fn unit_name(name: &str) -> String {
    const KINDS: [&str; 11] = [
        "service",
        "socket",
        "device",
        "mount",
        "automount",
        "swap",
        "target",
        "path",
        "timer",
        "slice",
        "scope",
    ];
    match name.rsplit_once('.') {
        Some((_, kind)) if KINDS.contains(&kind) => name.to_owned(),
        _ if name.ends_with('*') => name.to_owned(),
        _ => format!("{name}.service"),
    }
}

/// How urgent a message is: 0 is an emergency, 7 is for debugging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priority(RangeInclusive<u8>);

impl Priority {
    fn fits(&self, value: Option<&[u8]>) -> bool {
        matches!(value, Some([digit @ b'0'..=b'7']) if self.0.contains(&(digit - b'0')))
    }
}

impl std::str::FromStr for Priority {
    type Err = String;

    /// `err` or `3` is that and worse; `warning..err` is what lies between.
    fn from_str(text: &str) -> Result<Self, String> {
        const NAMES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
        let level = |text: &str| {
            let number = text.parse().ok().filter(|level| *level <= 7);
            number
                .or_else(|| (0..8).find(|level| NAMES[usize::from(*level)] == text))
                .ok_or_else(|| format!("`{text}` is no priority; they are {}", NAMES.join(", ")))
        };
        Ok(Self(match text.split_once("..") {
            Some((from, to)) => {
                let (from, to) = (level(from)?, level(to)?);
                from.min(to)..=from.max(to)
            }
            None => 0..=level(text)?,
        }))
    }
}

/// Text to look for, literally. Case counts if there is an upper-case letter in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    wanted: Vec<u8>,
    fold: bool,
}

impl Text {
    /// To look for `text`.
    pub fn new(text: &str) -> Self {
        Self { wanted: text.as_bytes().to_vec(), fold: !text.chars().any(char::is_uppercase) }
    }

    /// Whether it is in a message.
    pub fn is_in(&self, message: &[u8]) -> bool {
        if self.wanted.is_empty() {
            return true;
        }
        message.windows(self.wanted.len()).any(|window| {
            if self.fold { window.eq_ignore_ascii_case(&self.wanted) } else { window == self.wanted }
        })
    }
}

/// Reads a time: `2024-05-01`, `2024-05-01 12:30`, `2024-05-01T12:30:00Z`, `2024-05-01T14:30:00+02:00`. UTC where it
/// does not say otherwise.
///
/// # Errors
/// What is wrong with the text, for a person.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let utc = |time: DateTime| TimeZone::UTC.to_timestamp(time).ok();
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| utc(text.parse::<DateTime>().ok()?))
        .or_else(|| utc(text.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::midnight())))
        .ok_or_else(|| {
            format!("`{text}` is no time; write it like 2024-05-01, 2024-05-01 12:30 or 2024-05-01T12:30:00Z")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, expected) in [
            ("2024-05-01", Some("2024-05-01T00:00:00Z")),
            ("2024-05-01 12:30", Some("2024-05-01T12:30:00Z")),
            ("2024-05-01 12:30:05", Some("2024-05-01T12:30:05Z")),
            ("2024-05-01T12:30:00Z", Some("2024-05-01T12:30:00Z")),
            ("2024-05-01T12:30:00+02:00", Some("2024-05-01T10:30:00Z")),
            ("2024-05-01T12:30:00.25Z", Some("2024-05-01T12:30:00.25Z")),
            ("yesterday", None),
            ("2024-13-01", None),
            ("", None),
        ] {
            let found = parse_time(text).ok().map(|time| time.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn priorities() {
        for (text, expected) in [
            ("err", Some(0..=3)),
            ("3", Some(0..=3)),
            ("debug", Some(0..=7)),
            ("warning..err", Some(3..=4)),
            ("0..0", Some(0..=0)),
            ("8", None),
            ("", None),
            ("err..", None),
            ("loud", None),
        ] {
            assert_eq!(text.parse::<Priority>().ok().map(|priority| priority.0), expected, "{text}");
        }
        let priority: Priority = "err".parse().unwrap();
        for (value, expected) in
            [(Some(&b"3"[..]), true), (Some(b"4"), false), (Some(b"33"), false), (None, false)]
        {
            assert_eq!(priority.fits(value), expected, "{value:?}");
        }
    }

    #[test]
    fn texts() {
        for (wanted, message, expected) in [
            ("fail", "It FAILED", true),
            ("Fail", "It failed", false),
            ("Fail", "Failed", true),
            ("", "anything", true),
            ("long", "lon", false),
            ("a.c", "abc", false),
        ] {
            assert_eq!(Text::new(wanted).is_in(message.as_bytes()), expected, "{wanted} {message}");
        }
    }

    #[test]
    fn units() {
        for (name, expected) in [
            ("ssh", "ssh.service"),
            ("ssh.socket", "ssh.socket"),
            ("getty@tty1", "getty@tty1.service"),
            ("dbus-org.freedesktop.timesync1", "dbus-org.freedesktop.timesync1.service"),
            ("mysql*", "mysql*"),
        ] {
            assert_eq!(unit_name(name), expected);
        }
    }
}
