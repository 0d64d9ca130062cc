//! What a person brings: put in its place, unpacked, or installed.

use crate::distro::Family;
use crate::packages;
use crate::recipe::ArtifactStep;
use crate::shell::quote;

use super::payload::PayloadPath;

/// The script that brings an artifact into a guest of this family.
pub(crate) fn script(step: &ArtifactStep, family: Family) -> String {
    let from = quote(&PayloadPath::artifact(&step.name).in_guest());
    let mut text = String::new();
    match &step.path {
        // Numbers in the archive mean users of another system.
        Some(path) if step.unpack => {
            let path = quote(path);
            text.push_str(&format!("mkdir -p {path}\ntar --no-same-owner -xf {from} -C {path}\n"));
        }
        Some(path) => {
            let path = quote(path);
            text.push_str(&format!(
                "mkdir -p \"$(dirname {path})\"\ncp {from} {path}\nchown root:root {path}\nchmod 0644 {path}\n"
            ));
        }
        None => {}
    }
    if step.install {
        for (name, value) in &step.environment {
            text.push_str(&format!("export {name}={}\n", quote(value)));
        }
        text.push_str(&packages::manager(family).file_script(&from));
    }
    text
}
