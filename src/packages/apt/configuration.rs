//! What apt is told in a private root.

use std::fmt::Write as _;
use std::path::Path;

use super::host::HostApt;

/// apt's configuration for one stage.
pub(crate) fn configuration(
    host: &HostApt,
    root: &Path,
    index: usize,
    native: &str,
    architectures: &[String],
) -> String {
    let root = root.display();
    let mut text = format!(
        r#"// Nothing of the host's configuration, and no command from anywhere.
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{root}/sources-{index}";
Dir::Etc::preferences "{root}/etc/preferences";
Dir::Etc::preferencesparts "{root}/preferences-{index}";
Dir::Etc::trusted "{root}/etc/trusted.gpg";
Dir::Etc::trustedparts "{root}/etc/trusted.gpg.d";
Dir::Etc::netrc "{root}/etc/auth.conf";
Dir::Etc::netrcparts "{root}/etc/auth.conf.d";
Dir::State "{root}";
Dir::State::status "{root}/status";
Dir::State::lists "{root}/lists";
Dir::Cache "{root}/cache";
Dir::Cache::archives "{root}/archives";
Dir::Log "{root}/log";
Dir::Bin::methods "{root}/methods";
APT::Architecture "{native}";
APT::Sandbox::User "";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::NeverAutoRemove {{ "^firmware-linux.*"; "^linux-firmware$"; "^linux-image-[a-z0-9]*$"; "^linux-image-[a-z0-9]*-[a-z0-9]*$"; }};
APT::Get::Assume-Yes "true";
APT::Get::Allow-Downgrades "true";
APT::Get::Always-Include-Phased-Updates "true";
APT::Get::Show-User-Simulation-Note "false";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::ForceHash "SHA256";
Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::Retries "2";
"#
    );
    // Writing to a string cannot fail.
    for architecture in architectures {
        let _ = writeln!(text, "APT::Architectures:: \"{architecture}\";");
    }
    for line in &host.network {
        let _ = writeln!(text, "{line}");
    }
    text
}
