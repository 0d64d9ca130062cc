//! The arguments of `tib log` and `tib tail`.

use std::ffi::OsString;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::look::End;
use crate::look::log::{Priority, Text, parse_time, unit_name};
use crate::size::{BadSize, Size};

pub(super) const LOG_HELP: &str = "Examples:
  tib log db.qcow2 -n 50               the journal's newest entries
  tib log db.qcow2 -u mariadb --boot   what MariaDB said since the last boot
  tib log db.qcow2 -p err --since 2024-05-01
  tib log db.qcow2 --list              which logs there are
  tib log db.qcow2 cloud-init          /var/log/cloud-init.log
  tib log db.qcow2 syslog.2.gz -g ntp  lines of an older syslog, unpacked

Times are UTC, of entries too. Without a journal, /var/log/syslog or /var/log/messages is printed.";

pub(super) const TAIL_HELP: &str = "Examples:
  tib tail db.qcow2 /var/log/dpkg.log
  tib tail -n 100 db.qcow2 /var/log/cloud-init.log /var/log/cloud-init-output.log
  tib tail -c 4K db.qcow2 /var/log/mysql/error.log
  tib tail -n +3 db.qcow2 /etc/fstab    all but the first two lines

More than one file is headed by its name; with -v one is too, and with -q none.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LogArgs {
    /// A qcow2 or raw image
    pub(in crate::cli) image: PathBuf,
    /// A log by its name in /var/log, or a file in the image [default: the journal]
    pub(in crate::cli) log: Option<String>,
    /// Only the newest N
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
    pub(in crate::cli) lines: Option<usize>,
    /// Only with TEXT in the message; case counts if TEXT has an upper-case letter
    #[arg(short, long, value_name = "TEXT", value_parser = text)]
    pub(in crate::cli) grep: Option<Text>,
    /// Only of this unit, such as `mariadb` or `ssh.socket`; may be given more than once
    #[arg(short, long, value_name = "UNIT", value_parser = unit, conflicts_with = "log")]
    pub(in crate::cli) unit: Vec<String>,
    /// Only this urgent and more: emerg, alert, crit, err, warning, notice, info or debug; or a range, `err..notice`
    #[arg(short, long, value_name = "PRIORITY", conflicts_with = "log")]
    pub(in crate::cli) priority: Option<Priority>,
    /// Not before, such as `2024-05-01`, `2024-05-01 12:30` or `2024-05-01T12:30:00Z`
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "log")]
    pub(in crate::cli) since: Option<Timestamp>,
    /// Not after
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "log")]
    pub(in crate::cli) until: Option<Timestamp>,
    /// Only of the last boot
    #[arg(short, long, conflicts_with = "log")]
    pub(in crate::cli) boot: bool,
    /// Entries as JSON, one a line, with the journal's names of the fields
    #[arg(long, conflicts_with = "log")]
    pub(in crate::cli) json: bool,
    /// List the logs there are; with --json as JSON
    #[arg(
        long,
        conflicts_with_all = ["log", "lines", "grep", "unit", "priority", "since", "until", "boot"]
    )]
    pub(in crate::cli) list: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TailArgs {
    /// So many lines; with +N, all from line N on
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true, default_value = "10", value_parser = lines)]
    pub(in crate::cli) lines: End,
    /// So many bytes instead, such as `4K`; with +SIZE, all from that byte on
    #[arg(short = 'c', long, value_name = "SIZE", allow_negative_numbers = true, conflicts_with = "lines", value_parser = bytes)]
    pub(in crate::cli) bytes: Option<End>,
    /// A qcow2 or raw image
    pub(in crate::cli) image: PathBuf,
    /// Files in it
    #[arg(required = true)]
    pub(in crate::cli) paths: Vec<OsString>,
    /// On a terminal too, print the bytes as they are: they may command it
    #[arg(long)]
    pub(in crate::cli) raw: bool,
}

#[expect(clippy::unnecessary_wraps, reason = "what clap asks for")]
fn text(text: &str) -> Result<Text, String> {
    Ok(Text::new(text))
}

#[expect(clippy::unnecessary_wraps, reason = "what clap asks for")]
fn unit(name: &str) -> Result<String, String> {
    Ok(unit_name(name))
}

fn lines(text: &str) -> Result<End, String> {
    // Digits alone: `parse` takes a sign too.
    let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true => digits.parse().map_err(|error| format!("{error}")),
        false => Err("invalid digit found in string".to_owned()),
    };
    match text.strip_prefix('+') {
        Some(from) => number(from).map(End::FromLine),
        None => number(text).map(End::Lines),
    }
}

fn bytes(text: &str) -> Result<End, BadSize> {
    match text.strip_prefix('+') {
        Some(from) => from.parse().map(|size: Size| End::FromByte(size.0)),
        None => text.parse().map(|size: Size| End::Bytes(size.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_files_as_tail_has_them() {
        for (text, expected) in [
            ("3", Some(End::Lines(3))),
            ("0", Some(End::Lines(0))),
            ("+3", Some(End::FromLine(3))),
            ("+0", Some(End::FromLine(0))),
            ("++3", None),
            ("+", None),
            ("", None),
            ("-3", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(lines(text).ok(), expected, "{text}");
        }
        for (text, expected) in [
            ("4K", Some(End::Bytes(4096))),
            ("+4K", Some(End::FromByte(4096))),
            ("+3", Some(End::FromByte(3))),
            ("++3", None),
            ("+", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
    }
}
