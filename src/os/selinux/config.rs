//! `/etc/selinux/config`.

use crate::check::SelinuxMode;

/// Where it lies.
pub(crate) const CONFIG: &str = "/etc/selinux/config";

/// The policy where nothing names one, as in libselinux.
pub(crate) const DEFAULT_POLICY: &str = "targeted";

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// `SELINUX`; none when no line sets it to something libselinux knows.
    pub(crate) mode: Option<SelinuxMode>,
    /// `SELINUXTYPE`, the name of the policy; none when it is missing or no name.
    pub(crate) policy: Option<String>,
}

impl Config {
    /// As libselinux reads it: the first known mode and the last type count. Nothing may stand in front of `SELINUX`;
    /// in front of the type there may be spaces, and it may be written in small letters.
    pub(crate) fn parse(text: &[u8]) -> Self {
        const TYPE: &str = "SELINUXTYPE=";
        let text = String::from_utf8_lossy(text);
        let mode = text.lines().find_map(|line| {
            let value = line.strip_prefix("SELINUX=")?.trim_start().to_ascii_lowercase();
            let modes = [
                ("enforcing", SelinuxMode::Enforcing),
                ("permissive", SelinuxMode::Permissive),
                ("disabled", SelinuxMode::Disabled),
            ];
            modes.into_iter().find(|(name, _)| value.starts_with(name)).map(|(_, mode)| mode)
        });
        let mut policies = text.lines().filter_map(|line| {
            let (key, name) = line.trim_start().split_at_checked(TYPE.len())?;
            key.eq_ignore_ascii_case(TYPE).then_some(name)
        });
        let policy = policies.next_back().map(|name| name.trim().to_owned());
        let is_name =
            |name: &String| !name.is_empty() && !name.contains(['/', '\0']) && name != ".." && name != ".";
        Self { mode, policy: policy.filter(is_name) }
    }

    /// The name of the policy.
    pub(crate) fn policy_name(&self) -> &str {
        self.policy.as_deref().unwrap_or(DEFAULT_POLICY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        use SelinuxMode::{Disabled, Enforcing, Permissive};
        for (text, mode, policy) in [
            ("SELINUX=enforcing\nSELINUXTYPE=targeted\n", Some(Enforcing), Some("targeted")),
            ("# SELINUX=disabled\nSELINUX= Permissive # c\n", Some(Permissive), None),
            ("SELINUX=what\nSELINUX=disabled\nSELINUX=enforcing\n", Some(Disabled), None),
            (" SELINUX=enforcing\nSELINUXTYPE=a\nSELINUXTYPE=mls \n", None, Some("mls")),
            ("SELINUXTYPE=a\n  selinuxtype=targeted\n#SELINUXTYPE=b\n", None, Some("targeted")),
            ("SELINUXTYPE=../x\n", None, None),
            ("SELINUXTYPE=.\n", None, None),
            ("", None, None),
        ] {
            let found = Config::parse(text.as_bytes());
            assert_eq!((found.mode, found.policy.as_deref()), (mode, policy), "{text}");
        }
        assert_eq!(Config::default().policy_name(), "targeted");
    }
}
