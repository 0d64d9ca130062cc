//! A rule, as it is read and as it is shown.

use schemars::JsonSchema;
use serde::Serialize;

use crate::os::files::escape;

/// Some people may run some commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) who: Vec<String>,
    pub(crate) hosts: Vec<String>,
    /// As whom; without it, as root.
    pub(crate) run_as: Option<RunAs>,
    /// What its tag says: `NOPASSWD`, `PASSWD`; without one, `Defaults` say it.
    pub(crate) free: Option<bool>,
    pub(crate) commands: Vec<String>,
}

/// `(USERS:GROUPS)`. Without users it means whoever calls sudo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunAs {
    pub(crate) users: Vec<String>,
    pub(crate) groups: Vec<String>,
}

/// A rule of sudo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Grant {
    /// Who, as written: `root`, `%sudo`, `#1000`, `ALL`, an alias; `!` in front excludes.
    pub who: Vec<String>,
    /// On which hosts.
    pub hosts: Vec<String>,
    /// As whom, `USERS:GROUPS` as written; none means root, an empty text the caller.
    pub run_as: Option<String>,
    /// Whether somebody it means is not asked for a password: by `NOPASSWD`, or by `Defaults`.
    pub without_password: bool,
    /// Which commands, as written.
    pub commands: Vec<String>,
}

impl Rule {
    /// The rule, safe to print.
    pub(crate) fn shown(&self, without_password: bool) -> Grant {
        let all = |texts: &[String]| texts.iter().map(|text| escape(text)).collect::<Vec<_>>();
        let run_as = |run_as: &RunAs| {
            let (users, groups) = (all(&run_as.users).join(","), all(&run_as.groups).join(","));
            if groups.is_empty() { users } else { format!("{users}:{groups}") }
        };
        Grant {
            who: all(&self.who),
            hosts: all(&self.hosts),
            run_as: self.run_as.as_ref().map(run_as),
            without_password,
            commands: all(&self.commands),
        }
    }
}
