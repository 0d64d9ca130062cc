//! What a person brings: put in its place, unpacked, or installed.

use crate::distro::Family;
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
        text.push_str(&match family {
            Family::Debian => format!(
                "export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true\n\
                 dpkg --force-confdef --force-confold --force-unsafe-io -i {from}\n"
            ),
            // Signed by nobody that the guest knows, perhaps: its digest says what it is.
            Family::Rhel | Family::Suse => format!("rpm -U --replacepkgs --nosignature {from}\n"),
        });
    }
    text
}
