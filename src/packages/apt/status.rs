//! dpkg's database as text: what is installed, and what it will look like after a stage.

use std::collections::{BTreeSet, HashSet};

/// Fields of an index that have no place in the database.
const INDEX_FIELDS: [&str; 6] = ["Filename", "Size", "MD5sum", "SHA1", "SHA256", "SHA512"];

/// The database of a guest at some point of the plan.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    native: &'static str,
    stanzas: Vec<String>,
    /// Names of what came as a dependency only, which apt removes again when nothing needs it any more.
    automatic: BTreeSet<String>,
}

/// The value of a field in a stanza, its first line.
pub(crate) fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The stanzas of a control file.
pub(crate) fn stanzas(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").map(|stanza| stanza.trim_matches('\n')).filter(|stanza| !stanza.is_empty())
}

impl Status {
    /// Reads the text of `/var/lib/dpkg/status`, and of apt's `extended_states`; `native` is the guest's own
    /// architecture.
    pub(crate) fn parse(text: &str, extended: &str, native: &'static str) -> Self {
        let mut status =
            Self { native, stanzas: stanzas(text).map(str::to_owned).collect(), automatic: BTreeSet::new() };
        let automatic = stanzas(extended).filter(|stanza| field(stanza, "Auto-Installed") == Some("1"));
        status.automatic = automatic.map(|stanza| status.name(stanza)).collect();
        status
    }

    /// The name apt uses for the package of a stanza: with the architecture when it is a foreign one.
    pub(crate) fn name(&self, stanza: &str) -> String {
        name_in(self.native, stanza)
    }

    /// Names of what is installed.
    pub(crate) fn installed(&self) -> HashSet<String> {
        self.installed_stanzas().map(|stanza| self.name(stanza)).collect()
    }

    /// The stanzas of what is installed.
    pub(crate) fn installed_stanzas(&self) -> impl Iterator<Item = &str> {
        let installed =
            |stanza: &&str| field(stanza, "Status").is_some_and(|status| status.ends_with(" installed"));
        self.stanzas.iter().map(String::as_str).filter(installed)
    }

    /// Names and versions of what is installed, sorted.
    pub(crate) fn versions(&self) -> Vec<(String, String)> {
        let version = |stanza| field(stanza, "Version").unwrap_or_default().to_owned();
        let mut all: Vec<_> =
            self.installed_stanzas().map(|stanza| (self.name(stanza), version(stanza))).collect();
        all.sort_unstable();
        all
    }

    /// The stanza of an installed package, by the name apt uses.
    pub(crate) fn installed_stanza(&self, name: &str) -> Option<&str> {
        self.installed_stanzas().find(|stanza| self.name(stanza) == name)
    }

    /// Whether dpkg knows anything of a package, if only configuration files that it left.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.stanzas.iter().any(|stanza| self.name(stanza) == name)
    }

    /// Names of what is installed and on hold: an administrator wants it to stay as it is.
    pub(crate) fn held(&self) -> BTreeSet<String> {
        let held = |stanza: &&str| field(stanza, "Status").is_some_and(|status| status.starts_with("hold "));
        self.installed_stanzas().filter(held).map(|stanza| self.name(stanza)).collect()
    }

    /// Records whether a package came as a dependency only.
    pub(crate) fn set_automatic(&mut self, name: &str, automatic: bool) {
        if automatic {
            self.automatic.insert(name.to_owned());
        } else {
            self.automatic.remove(name);
        }
    }

    /// What apt's `extended_states` says.
    pub(crate) fn extended_states(&self) -> String {
        let stanza = |name: &String| {
            let (bare, arch) = name.split_once(':').unwrap_or((name, self.native));
            format!("Package: {bare}\nArchitecture: {arch}\nAuto-Installed: 1\n\n")
        };
        self.automatic.iter().map(stanza).collect()
    }

    /// Records that a package was installed, from its stanza in an index.
    pub(crate) fn install(&mut self, stanza: &str) {
        let name = self.name(stanza);
        self.stanzas.retain(|old| name_in(self.native, old) != name);
        let mut keep = true;
        let mut kept: Vec<&str> = Vec::new();
        for line in stanza.lines() {
            if !line.starts_with([' ', '\t']) {
                let name = line.split(':').next().unwrap_or_default();
                keep = !INDEX_FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name));
            }
            if keep {
                kept.push(line);
            }
        }
        kept.insert(1.min(kept.len()), "Status: install ok installed");
        self.stanzas.push(kept.join("\n"));
    }

    /// Records that a package was removed, by the name apt uses.
    pub(crate) fn remove(&mut self, name: &str) {
        self.stanzas.retain(|stanza| name_in(self.native, stanza) != name);
        self.automatic.remove(name);
    }
}

fn name_in(native: &str, stanza: &str) -> String {
    let name = field(stanza, "Package").unwrap_or_default();
    match field(stanza, "Architecture") {
        Some(arch) if arch != native && arch != "all" => format!("{name}:{arch}"),
        _ => name.to_owned(),
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.stanzas.iter().try_for_each(|stanza| write!(f, "{stanza}\n\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n\
        Package: a\nStatus: install ok installed\nArchitecture: i386\nVersion: 1\n\n\
        Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n";

    #[test]
    fn what_is_installed_before_and_after() {
        let extended = "Package: a\nArchitecture: i386\nAuto-Installed: 1\n\nPackage: a\nArchitecture: amd64\nAuto-Installed: 0\n\nPackage: gone\nArchitecture: amd64\nAuto-Installed: 1\n";
        let mut status = Status::parse(TEXT, extended, "amd64");
        let sorted = |status: &Status| {
            let mut names: Vec<_> = status.installed().into_iter().collect();
            names.sort();
            names
        };
        assert_eq!(sorted(&status), ["a", "a:i386"]);
        status.install("Package: gone\nVersion: 2\nArchitecture: all\nFilename: pool/gone.deb\nSHA256:\n 00\nDescription: x\n more");
        assert_eq!(status.extended_states().matches("Package: a\nArchitecture: i386\n").count(), 1);
        assert!(status.knows("gone") && !status.knows("b") && status.held().is_empty());
        status.remove("a:i386");
        status.set_automatic("a", true);
        assert_eq!(
            status.extended_states(),
            "Package: a\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: gone\nArchitecture: amd64\nAuto-Installed: 1\n\n"
        );
        assert_eq!(sorted(&status), ["a", "gone"]);
        insta::assert_snapshot!(status.to_string(), @r"
        Package: a
        Status: install ok installed
        Architecture: amd64
        Version: 1

        Package: gone
        Status: install ok installed
        Version: 2
        Architecture: all
        Description: x
         more
        ");
    }
}
