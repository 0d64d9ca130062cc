//! Whether the kernel can read a config drive.

use super::part::{Found, ReportPart, joined};
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{names, read_optional, show};

/// Where modules are, in one or two places that are usually one.
const MODULES: [&str; 2] = ["/usr/lib/modules", "/lib/modules"];

/// The drivers between a config drive and its files: Nova attaches it as a CD-ROM, on SATA with the machine type q35.
const DRIVERS: [(&str, &str); 3] = [("ahci", "SATA"), ("sr_mod", "CD-ROMs"), ("isofs", "their file system")];

pub(crate) fn check(tree: &mut dyn Tree) -> ReportPart {
    let mut part = ReportPart::default();
    part.warn(
        "the kernel cannot read a config drive on a SATA CD-ROM",
        lacking(tree),
        "where Nova attaches config drives so (machine type q35), the agent gets no configuration; the metadata service works",
        "install the distribution's general kernel: linux-image-amd64 instead of linux-image-cloud-amd64",
    );
    part
}

/// The drivers that no kernel of the image has.
pub(crate) fn lacking(tree: &mut dyn Tree) -> Found {
    let mut best: Option<Vec<String>> = None;
    for directory in MODULES {
        for version in names(tree, directory.as_bytes())? {
            let path = format!("{directory}/{}", show(&version));
            let Some(known) = modules(tree, &path)? else { continue };
            let lacking = DRIVERS.iter().filter(|(driver, _)| !known.iter().any(|name| name == driver));
            let lacking: Vec<_> = lacking
                .map(|(driver, what)| format!("{} has no {driver} ({what})", show(&version)))
                .collect();
            if best.as_ref().is_none_or(|best| lacking.len() < best.len()) {
                best = Some(lacking);
            }
        }
    }
    Ok(best.and_then(|lacking| joined(&lacking)))
}

/// Names of a kernel's modules, built in or not; `None` if nothing lists them.
fn modules(tree: &mut dyn Tree, directory: &str) -> Result<Option<Vec<String>>, ReadError> {
    let mut known = Vec::new();
    let mut listed = false;
    for list in ["modules.dep", "modules.builtin"] {
        let Some(text) = read_optional(tree, format!("{directory}/{list}").as_bytes())? else { continue };
        listed |= list == "modules.dep";
        let text = String::from_utf8_lossy(&text);
        known.extend(text.lines().filter_map(|line| {
            let path = line.split(':').next()?;
            let file = path.rsplit('/').next()?;
            Some(file.split('.').next()?.replace('-', "_"))
        }));
    }
    Ok(listed.then_some(known))
}
