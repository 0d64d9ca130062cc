//! The arguments of `tib ls`, `cat`, `stat` and `extract`.

use std::ffi::OsString;
use std::path::PathBuf;

pub(super) const LS_HELP: &str = "Examples:
  tib ls mariadb.qcow2 /etc/mysql
  tib ls -lR --uids --times mariadb.qcow2 /etc
  tib ls -lR --csv --checksum mariadb.qcow2 / > files.csv
  tib ls -R --xattrs --json mariadb.qcow2 /usr | jq '.[] | select(.xattrs != [])'

The columns are those of virt-ls; what it has with -lR only, -l alone has too. Links are followed inside the image only.";

pub(super) const CAT_HELP: &str = "Examples:
  tib cat mariadb.qcow2 /etc/os-release
  tib cat mariadb.qcow2 /etc/passwd /etc/group | grep mysql";

pub(super) const STAT_HELP: &str = "Examples:
  tib stat mariadb.qcow2 /usr/sbin/mariadbd
  tib stat --json mariadb.qcow2 /etc/shadow /etc/sudoers | jq '.[].mode'";

pub(super) const EXTRACT_HELP: &str = "Examples:
  tib extract mariadb.qcow2 /etc/mysql                     as ./mysql
  tib extract mariadb.qcow2 /var/lib/dpkg/status -o status
  tib extract mariadb.qcow2 /etc -o etc.tar                with owners and attributes
  tib extract mariadb.qcow2 / -o - --tar | tar -t

Files get their modes and times, but belong to you, and set-id bits are left out. A tar file has
everything: owners, set-id bits, devices, extended attributes.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LsArgs {
    /// A qcow2 or raw image
    pub(in crate::cli) image: PathBuf,
    /// Directory or file in it
    #[arg(default_value = "/")]
    pub(in crate::cli) path: OsString,
    /// Type, mode and size beside the name
    #[arg(short, long)]
    pub(in crate::cli) long: bool,
    /// With all directories below
    #[arg(short = 'R', long)]
    pub(in crate::cli) recursive: bool,
    /// `.` and `..` too, without -R; other names that begin with a dot are always listed
    #[arg(short, long)]
    pub(in crate::cli) all: bool,
    /// With -l: sizes like `1.5K`
    #[arg(short = 'h', long = "human-readable", visible_alias = "human")]
    pub(in crate::cli) human: bool,
    /// Owner and group, by number; this and the next three mean -l too
    #[arg(long)]
    pub(in crate::cli) uids: bool,
    /// Times of last access, modification and change, UTC
    #[arg(long)]
    pub(in crate::cli) times: bool,
    /// File system, inode, links, device numbers and blocks of 512 bytes
    #[arg(long)]
    pub(in crate::cli) extra_stats: bool,
    /// SHA-256 of files
    #[arg(long)]
    pub(in crate::cli) checksum: bool,
    /// SELinux labels; `?` where there is none
    #[arg(short = 'Z', long)]
    pub(in crate::cli) context: bool,
    /// Extended attributes: labels, capabilities, access control lists
    #[arg(long, requires = "json")]
    pub(in crate::cli) xattrs: bool,
    /// As JSON, with everything but checksums and extended attributes
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// As comma-separated values
    #[arg(long, conflicts_with = "json")]
    pub(in crate::cli) csv: bool,
    // `-h` is what `ls` takes it for.
    /// Print help
    #[arg(long, action = clap::ArgAction::HelpLong)]
    help: Option<bool>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CatArgs {
    /// A qcow2 or raw image
    pub(in crate::cli) image: PathBuf,
    /// Files in it
    #[arg(required = true)]
    pub(in crate::cli) paths: Vec<OsString>,
    /// On a terminal too, print the bytes as they are: they may command it
    #[arg(long)]
    pub(in crate::cli) raw: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct StatArgs {
    /// A qcow2 or raw image
    pub(in crate::cli) image: PathBuf,
    /// Paths in it
    #[arg(required = true)]
    pub(in crate::cli) paths: Vec<OsString>,
    /// Look at what a link leads to
    #[arg(short = 'L', long)]
    pub(in crate::cli) dereference: bool,
    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ExtractArgs {
    /// A qcow2 or raw image
    pub(in crate::cli) image: PathBuf,
    /// File or directory in it
    pub(in crate::cli) path: OsString,
    /// Where to: a new name, a directory to put it into, or `-` for stdout [default: its own name, here]
    #[arg(short, long, value_name = "WHERE")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// As a tar file, which a name that ends in `.tar` means anyway
    #[arg(long)]
    pub(in crate::cli) tar: bool,
    /// With `-o -` on a terminal too, print the bytes as they are: they may command it
    #[arg(long)]
    pub(in crate::cli) raw: bool,
    /// Replace what is there
    #[arg(short, long)]
    pub(in crate::cli) force: bool,
}
