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

impl ResolvedAgent {
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
