//! The arguments of `tib log` and `tib tail`.

use std::ffi::OsString;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::size::Size;
use crate::verify::log::{Priority, Text, parse_time, unit_name};

pub(super) const LOG_HELP: &str = "Examples:
  tib log db.qcow2 -n 50              the journal's newest entries
  tib log db.qcow2 -u mariadb --boot  what MariaDB said since the last boot
  tib log db.qcow2 -p err --since 2024-05-01
  tib log db.qcow2 --list             which logs there are
  tib log db.qcow2 cloud-init         /var/log/cloud-init.log
  tib log db.qcow2 syslog.2.gz -g ntp lines of an older syslog, unpacked

Times are UTC, of entries too. Without a journal, /var/log/syslog or /var/log/messages is printed.";

pub(super) const TAIL_HELP: &str = "Examples:
  tib tail db.qcow2 /var/log/dpkg.log
  tib tail -n 100 db.qcow2 /var/log/cloud-init.log /var/log/cloud-init-output.log
  tib tail -c 4K db.qcow2 /var/log/mysql/error.log

More than one file is headed by its name; with -v one is too, and with -q none.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LogArgs {
    /// A qcow2 or raw image
    pub(in crate::cli) image: PathBuf,
    /// A log by its name in /var/log, or a file in the image [default: the journal]
    pub(in crate::cli) log: Option<String>,
    /// Only the newest N
    #[arg(short = 'n', long, value_name = "N")]
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
    /// So many lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub(in crate::cli) lines: u64,
    /// So many bytes instead, such as `4K`
    #[arg(short = 'c', long, value_name = "SIZE", conflicts_with = "lines")]
    pub(in crate::cli) bytes: Option<Size>,
    /// A qcow2 or raw image
    pub(in crate::cli) image: PathBuf,
    /// Files in it
    #[arg(required = true)]
    pub(in crate::cli) paths: Vec<OsString>,
}

#[expect(clippy::unnecessary_wraps, reason = "what clap asks for")]
fn text(text: &str) -> Result<Text, String> {
    Ok(Text::new(text))
}

#[expect(clippy::unnecessary_wraps, reason = "what clap asks for")]
fn unit(name: &str) -> Result<String, String> {
    Ok(unit_name(name))
}
