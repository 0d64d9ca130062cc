//! Which release of OpenStack a version of Trove belongs to.

use super::ResolvedAgent;

/// Major versions and releases, oldest first (releases.openstack.org).
const SERIES: [(u32, &str, &str); 13] = [
    (14, "victoria", "2020.2"),
    (15, "wallaby", "2021.1"),
    (16, "xena", "2021.2"),
    (17, "yoga", "2022.1"),
    (18, "zed", "2022.2"),
    (19, "antelope", "2023.1"),
    (20, "bobcat", "2023.2"),
    (21, "caracal", "2024.1"),
    (22, "dalmatian", "2024.2"),
    (23, "epoxy", "2025.1"),
    (24, "flamingo", "2025.2"),
    (25, "gazpacho", "2026.1"),
    (26, "hibiscus", "2026.2"),
];

/// A release of OpenStack, by number or name: `2025.1`, `epoxy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    major: u32,
    number: &'static str,
}

impl std::str::FromStr for Release {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = text.trim().to_ascii_lowercase();
        let found = SERIES.iter().find(|(_, name, number)| [*name, *number].contains(&wanted.as_str()));
        found.map(|&(major, _, number)| Self { major, number }).ok_or_else(|| {
            let known: Vec<_> = SERIES.iter().map(|(_, _, number)| *number).collect();
            format!("tib knows the releases {}", known.join(", "))
        })
    }
}

impl Release {
    /// The number: `2025.1`.
    pub(crate) fn number(self) -> &'static str {
        self.number
    }

    /// What is wrong with a package of the agent for a control plane of this release, for people. An epoch and what a
    /// distribution adds say nothing of that.
    pub(crate) fn misfit_of_package(self, name: &str, version: &str) -> Option<String> {
        let upstream = version.split_once(':').map_or(version, |(_, rest)| rest);
        let of = release_of_package(version);
        let known = of.map_or(String::new(), |of| format!(", of {of}"));
        (of != Some(self.number)).then(|| {
            format!(
                "the package {name} is Trove {upstream}{known}, and the control plane is to be {}: messages between releases may \
                 not be understood; take another source, such as `--agent pypi:{}.0.0`",
                self.number, self.major
            )
        })
    }

    /// What is wrong with an agent whose source is of a series for a control plane of this release, for people.
    pub(crate) fn misfit_of(self, series: &str, source: &str) -> Option<String> {
        // What comes after the last release belongs to the next, and to nothing that runs anywhere.
        let of = match series {
            "master" => "what is to become the next release".to_owned(),
            series => match series.parse::<Self>() {
                Ok(release) if release == self => return None,
                _ => series.to_owned(),
            },
        };
        Some(format!(
            "the agent `{source}` is of {of}, and the control plane is to be {}: messages between releases may not be \
             understood; take `--agent git:stable/{}` or `--agent pypi:{}.0.0`",
            self.number, self.number, self.major
        ))
    }
}

/// The series that a branch or tag of an OpenStack repository belongs to, as its constraints are called: `stable/2026.1`,
/// `unmaintained/zed`, `master`, `zed-eol`, `25.0.0`.
pub(crate) fn of_reference(name: &str) -> Option<String> {
    if name == "master" {
        return Some(name.to_owned());
    }
    let branch = ["stable/", "unmaintained/"].into_iter().find_map(|prefix| name.strip_prefix(prefix));
    let ended = ["-eol", "-eom"].into_iter().find_map(|suffix| name.strip_suffix(suffix));
    match branch.or(ended) {
        Some(series) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
            (!series.is_empty() && series.chars().all(plain)).then(|| series.to_owned())
        }
        None => of_version(name),
    }
}

/// The series of a version of Trove. Until `zed` series were called by their names.
pub(crate) fn of_version(version: &str) -> Option<String> {
    let major = version.split('.').next()?.parse::<u32>().ok()?;
    let found = SERIES.iter().find(|(known, ..)| *known == major && version.contains('.'));
    found.map(|(major, name, number)| if *major < 19 { *name } else { *number }.to_owned())
}

/// The number of the release that a version of Trove belongs to.
pub(crate) fn release_of(version: &str) -> Option<&'static str> {
    let major = version.split('.').next()?.parse::<u32>().ok()?;
    SERIES.iter().find(|(known, ..)| *known == major).map(|(_, _, number)| *number)
}

/// The number of the release that a package of Trove belongs to. An epoch says nothing of that.
pub fn release_of_package(version: &str) -> Option<&'static str> {
    release_of(version.split_once(':').map_or(version, |(_, rest)| rest))
}

impl ResolvedAgent {
    /// The number of the release that this agent belongs to, if it is a known one of Trove.
    pub(crate) fn release(&self) -> Option<&'static str> {
        (self.name == "trove").then(|| release_of(&self.version)).flatten()
    }

    /// What is wrong with this agent for a control plane of a release, for people.
    pub(crate) fn misfit(&self, release: Release) -> Option<String> {
        if self.name != "trove" {
            return Some(format!(
                "the agent is {} and not Trove's: whether it fits {} is not known",
                self.name, release.number
            ));
        }
        let major = self.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major == Some(release.major) {
            return None;
        }
        let of = SERIES.iter().find(|(known, ..)| Some(*known) == major);
        let of = of.map_or(String::new(), |(_, _, number)| format!(", of {number}"));
        Some(format!(
            "the agent is Trove {}{of}, and the control plane is to be {}: messages between releases may not be understood; take \
             Trove {}, such as `--agent pypi:{}.0.0`",
            self.version, release.number, release.major, release.major
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_series() {
        for (name, series) in [
            ("master", Some("master")),
            ("stable/2026.1", Some("2026.1")),
            ("stable/2031.1", Some("2031.1")),
            ("unmaintained/zed", Some("zed")),
            ("zed-eol", Some("zed")),
            ("18.0.0", Some("zed")),
            ("25.0.0", Some("2026.1")),
            ("25.0.0.0rc1", Some("2026.1")),
            ("99.0.0", None),
            ("my-fix", None),
            ("stable/../../x", None),
            ("25", None),
        ] {
            assert_eq!(of_reference(name).as_deref(), series, "{name}");
        }
        let release: Release = "2025.1".parse().unwrap();
        assert_eq!(release.misfit_of("2025.1", "x"), None);
        assert_eq!(release.misfit_of("epoxy", "x"), None);
        assert!(release.misfit_of("2026.1", "x").unwrap().contains("is of 2026.1"));
        assert!(release.misfit_of("master", "x").unwrap().contains("next release"));
    }

    #[test]
    fn agents_and_releases() {
        let agent = |name: &str, version: &str| ResolvedAgent {
            name: name.to_owned(),
            version: version.to_owned(),
            python_minor: 11,
            layout: 1,
            files: Vec::new(),
        };
        for (agent, release, expected) in [
            (agent("trove", "26.0.0"), "2026.2", None),
            (agent("trove", "23.1.0.dev7"), "Epoxy", None),
            (
                agent("trove", "26.0.0"),
                "2025.1",
                Some("the agent is Trove 26.0.0, of 2026.2, and the control plane is to be 2025.1"),
            ),
            (agent("trove", "99.0"), "2025.1", Some("the agent is Trove 99.0, and the control plane")),
            (agent("my-agent", "1.0"), "2025.1", Some("the agent is my-agent and not Trove's")),
        ] {
            let found = agent.misfit(release.parse().unwrap());
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.is_none_or(|found| found.starts_with(expected.unwrap())));
        }
        assert!("2031.1".parse::<Release>().unwrap_err().contains("2026.2"));
    }
}
