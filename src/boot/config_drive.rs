//! A config drive: the ISO 9660 file system that Nova attaches, made with the programs that Nova uses.

use std::path::Path;
use std::process::Command;

use super::BootError;
use super::background::remove;
use crate::control::Control;
use crate::host::process::{self, ProcessError};

/// Programs that make one, with the arguments that come first.
const PROGRAMS: [(&str, &[&str]); 3] =
    [("xorriso", &["-as", "mkisofs"]), ("genisoimage", &[]), ("mkisofs", &[])];

/// Writes the metadata as a config drive to `iso`. `scratch` is a directory for the files in between.
pub(crate) fn write(
    metadata: &[(&'static str, String)],
    scratch: &Path,
    iso: &Path,
    control: &Control,
) -> Result<(), BootError> {
    let latest = scratch.join("openstack/latest");
    fs_err::create_dir_all(&latest).map_err(BootError::prepare)?;
    for (name, content) in metadata {
        fs_err::write(latest.join(name), content).map_err(BootError::prepare)?;
    }
    remove(iso)?;
    for (program, first) in PROGRAMS {
        let mut command = Command::new(program);
        // As Nova's own call: `ec2` metadata and a publisher are left out.
        command.args(first).args(["-quiet", "-ldots", "-allow-lowercase", "-allow-multidot", "-l"]);
        command.args(["-J", "-r", "-V", "config-2", "-o"]).arg(iso).arg(scratch);
        match process::run(&mut command, control) {
            Ok(_) => return Ok(()),
            Err(ProcessError::Start { .. }) => {}
            Err(source) => return Err(BootError::Process { doing: "making the config drive", source }),
        }
    }
    Err(BootError::Missing {
        what: "a program that makes ISO images",
        hint: "install xorriso (or genisoimage), or boot with `--metadata service`",
    })
}
