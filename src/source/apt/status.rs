//! dpkg's database as text: what is installed, and what it will look like after a stage.

use std::collections::HashSet;

/// Fields of an index that have no place in the database.
const INDEX_FIELDS: [&str; 6] = ["Filename", "Size", "MD5sum", "SHA1", "SHA256", "SHA512"];

/// The database of a guest at some point of the plan.
#[derive(Debug, Clone)]
pub(super) struct Status {
    native: &'static str,
    stanzas: Vec<String>,
}

/// The value of a field in a stanza, its first line.
pub(super) fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The stanzas of a control file.
pub(super) fn stanzas(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").map(|stanza| stanza.trim_matches('\n')).filter(|stanza| !stanza.is_empty())
}

impl Status {
    /// Reads the text of `/var/lib/dpkg/status`; `native` is the guest's own architecture.
    pub(super) fn parse(text: &str, native: &'static str) -> Self {
        Self { native, stanzas: stanzas(text).map(str::to_owned).collect() }
    }

    /// The name apt uses for the package of a stanza: with the architecture when it is a foreign one.
    pub(super) fn name(&self, stanza: &str) -> String {
        let name = field(stanza, "Package").unwrap_or_default();
        match field(stanza, "Architecture") {
            Some(arch) if arch != self.native && arch != "all" => format!("{name}:{arch}"),
            _ => name.to_owned(),
        }
    }

    /// Names of what is installed.
    pub(super) fn installed(&self) -> HashSet<String> {
        let installed =
            |stanza: &&String| field(stanza, "Status").is_some_and(|status| status.ends_with(" installed"));
        self.stanzas.iter().filter(installed).map(|stanza| self.name(stanza)).collect()
    }

    /// Records that a package was installed, from its stanza in an index.
    pub(super) fn install(&mut self, stanza: &str) {
        self.remove(&self.name(stanza));
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
    pub(super) fn remove(&mut self, name: &str) {
        let stanzas = std::mem::take(&mut self.stanzas);
        self.stanzas = stanzas.into_iter().filter(|stanza| self.name(stanza) != name).collect();
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
        let mut status = Status::parse(TEXT, "amd64");
        let sorted = |status: &Status| {
            let mut names: Vec<_> = status.installed().into_iter().collect();
            names.sort();
            names
        };
        assert_eq!(sorted(&status), ["a", "a:i386"]);
        status.install("Package: gone\nVersion: 2\nArchitecture: all\nFilename: pool/gone.deb\nSHA256:\n 00\nDescription: x\n more");
        status.remove("a:i386");
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
