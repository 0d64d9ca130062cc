//! What a check asserts, in one line for people and reports.

use super::ServiceState;
use super::{ApparmorCheck, Check, ConfigCheck, PathCheck, PathKind, UserCheck, Wins, rules};

impl Check {
    /// One line for people and reports: `package mariadb-server is installed`.
    pub fn title(&self) -> String {
        match self {
            Self::Package { name, installed: true, version: None } => format!("package {name} is installed"),
            Self::Package { name, installed: true, version: Some(v) } => {
                format!("package {name} is version {v}")
            }
            Self::Package { name, installed: false, .. } => format!("package {name} is not installed"),
            Self::Path(check) => path(check),
            Self::Unit { name, exists: false, .. } => format!("there is no unit {name}"),
            Self::Unit { name, state: None, .. } => format!("unit {name} exists"),
            Self::Unit { name, state: Some(state), .. } => format!("{name} is {}", state.adjective()),
            Self::User(check) => user(check),
            Self::Group { name, exists: false, .. } => format!("there is no group {name}"),
            Self::Group { name, gid: None, .. } => format!("group {name} exists"),
            Self::Group { name, gid: Some(gid), .. } => format!("group {name} has id {gid}"),
            Self::IdFree { id } => format!("no user or group has id {id}"),
            Self::Sudo { who, allowed: false, .. } => format!("sudo has no rule for {who}"),
            Self::Sudo { who, password, .. } => {
                let how = match password {
                    None => "",
                    Some(false) => " without a password",
                    Some(true) => " with a password",
                };
                format!("sudo lets {who} do everything{how}")
            }
            Self::Datasources { names } => format!("cloud-init reads {}", names.join(", ")),
            Self::Sysctl { key, value } => format!("{key} is {value} after boot"),
            Self::Config(check) => config(check),
            Self::WorldWritable { below, except } => {
                format!("nothing{} is world-writable{}", place(below), exceptions(except))
            }
            Self::Setuid { allow } => format!("no file is set-uid or set-gid{}", exceptions(allow)),
            Self::Links { below, except } => {
                format!("every link{} leads somewhere{}", place(below), exceptions(except))
            }
            Self::UnitLinks {} => "every link of systemd stands for a unit that exists".to_owned(),
            Self::SelinuxLabel { path, label } if label == "policy" => {
                format!("{path} has the SELinux label of the image's policy")
            }
            Self::SelinuxLabel { path, label } if label.contains(':') => {
                format!("{path} has SELinux label {label}")
            }
            Self::SelinuxLabel { path, label } => format!("{path} has SELinux type {label}"),
            Self::Apparmor(check) => apparmor(check),
            Self::Listens(listens) => listens.to_string(),
        }
    }
}

fn path(check: &PathCheck) -> String {
    let PathCheck { path, exists, kind, mode, owner, group, sha256, contains, lacks, matches, target } =
        check;
    if !exists {
        return format!("{path} does not exist");
    }
    let kind = match kind {
        Some(PathKind::File) => "is a file",
        Some(PathKind::Directory) => "is a directory",
        Some(PathKind::Symlink) => "is a link",
        None => "exists",
    };
    let mut wants = vec![kind.to_owned()];
    wants.extend(mode.as_ref().map(|m| format!("has mode {m}")));
    wants.extend(owner.as_ref().map(|o| format!("belongs to {o}")));
    wants.extend(group.as_ref().map(|g| format!("has group {g}")));
    wants.extend(sha256.as_ref().map(|s| format!("has SHA-256 {}…", s.get(..12).unwrap_or(s))));
    wants.extend(contains.as_ref().map(|c| format!("contains `{c}`")));
    wants.extend(lacks.as_ref().map(|c| format!("does not contain `{c}`")));
    wants.extend(matches.as_ref().map(|m| format!("matches `{m}`")));
    wants.extend(target.as_ref().map(|t| format!("points to {t}")));
    format!("{path} {}", wants.join(", "))
}

fn user(check: &UserCheck) -> String {
    let UserCheck { name, exists, uid, groups, home, shell, locked } = check;
    if !exists {
        return format!("there is no user {name}");
    }
    let mut wants = vec!["exists".to_owned()];
    wants.extend(uid.map(|uid| format!("has id {uid}")));
    wants.extend((!groups.is_empty()).then(|| format!("is in {}", groups.join(" and "))));
    wants.extend(home.as_ref().map(|home| format!("has home {home}")));
    wants.extend(shell.as_ref().map(|shell| format!("has shell {shell}")));
    wants.extend(
        locked.map(|locked| if locked { "has no usable password" } else { "has a password" }.to_owned()),
    );
    format!("user {name} {}", wants.join(", "))
}

fn config(check: &ConfigCheck) -> String {
    let ConfigCheck { path, section, key, set, value, wins } = check;
    let what = match (set, value) {
        (false, _) => "is not set".to_owned(),
        (true, None) => "is set".to_owned(),
        (true, Some(value)) => format!("is {value}"),
    };
    let order = if *wins == Wins::First { " (the first counts)" } else { "" };
    let sections: String = section.iter().map(|name| format!("[{name}] ")).collect();
    format!("{sections}{key} {what} in {}{order}", path.join(", "))
}

fn apparmor(check: &ApparmorCheck) -> String {
    let ApparmorCheck { profile, exists, mode, local } = check;
    if !exists {
        return format!("there is no AppArmor profile {profile}");
    }
    let mut wants = vec!["exists".to_owned()];
    wants.extend(mode.map(|mode| format!("is in mode {}", mode.name())));
    wants.extend(local.as_ref().map(|text| {
        let rules: Vec<_> = rules(text).map(|rule| format!("`{rule}`")).collect();
        format!("has the local rules {}", rules.join(" "))
    }));
    format!("AppArmor profile {profile} {}", wants.join(", "))
}

fn place(below: &[String]) -> String {
    if below == ["/"] { String::new() } else { format!(" below {}", below.join(", ")) }
}

/// A few exceptions are named, many are counted.
fn exceptions(except: &[String]) -> String {
    match except.len() {
        0 => String::new(),
        1..=3 => format!(", except {}", except.join(", ")),
        many => format!(", except {many} listed"),
    }
}

impl ServiceState {
    /// `enabled`, `disabled`, `masked`.
    pub fn adjective(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Masked => "masked",
        }
    }
}
