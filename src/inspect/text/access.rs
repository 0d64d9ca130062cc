//! Who gets in, and what keeps programs apart.

use serde::Serialize;

use crate::check::ProfileMode;
use crate::inspect::page::{Cell, Page, Tone};
use crate::inspect::{Accounts, Apparmor, Password, Selinux, Ssh, UserAccount};

/// A word as JSON has it.
pub(crate) fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

pub(crate) fn accounts(page: &mut Page, accounts: &Accounts) {
    let password = |user: &UserAccount| match user.password {
        Password::Locked { .. } => Cell::toned("locked", Tone::Quiet),
        Password::Missing => Cell::toned("none", Tone::Quiet),
        Password::Empty => Cell::toned("empty: anybody may log in", Tone::Bad),
        Password::Set { scheme } => Cell::from(format!("set ({})", word(scheme))),
    };
    let rows = accounts.users.iter().map(|user| {
        vec![
            Cell::from(user.name.as_str()),
            Cell::from(user.uid.to_string()),
            Cell::from(user.groups.join(",")),
            password(user),
            Cell::from(user.home.as_str()),
            Cell::from(user.shell.as_str()),
            Cell::from(user.expires.clone()),
        ]
    });
    page.table(&["USER", ">UID", "GROUPS", "PASSWORD", "HOME", "SHELL", "EXPIRES"], rows.collect());
    let rows = accounts.sudo.iter().map(|grant| {
        vec![
            Cell::from(grant.grant.who.join(",")),
            Cell::from(grant.users.join(",")),
            Cell::from(match grant.grant.run_as.as_deref() {
                None => "root",
                Some("") => "the caller",
                Some(users) => users,
            }),
            Cell::from(if grant.grant.without_password { "no" } else { "yes" }),
            Cell::from(grant.grant.commands.join(",")),
            Cell::from(format!("{}:{}", grant.file, grant.line)),
        ]
    });
    page.table(&["SUDO", "WHO THAT IS", "AS", "PASSWORD", "COMMANDS", "FROM"], rows.collect());
}

pub(crate) fn ssh(page: &mut Page, ssh: &Ssh) {
    if !ssh.installed {
        page.line("no SSH server");
    }
    let rows = ssh.settings.iter().map(|setting| {
        vec![
            Cell::from(setting.name.as_str()),
            Cell::from(setting.values.join(" ")),
            Cell::from(setting.file.clone().unwrap_or_else(|| "built in".to_owned())),
            Cell::from(setting.matching.as_ref().map(|condition| format!("Match {condition}"))),
        ]
    });
    page.table(&["SETTING", "VALUE", "FROM", "ONLY FOR"], rows.collect());
    let rows = ssh.host_keys.iter().map(|key| {
        let public = key.public.as_ref();
        vec![
            Cell::from(key.file.as_str()),
            Cell::from(public.map(|key| key.kind.clone())),
            Cell::from(public.map(|key| key.fingerprint.clone())),
            if key.private {
                Cell::toned("private: instances would share it", Tone::Bad)
            } else {
                Cell::from("")
            },
        ]
    });
    page.table(&["HOST KEY", "TYPE", "FINGERPRINT", ""], rows.collect());
    let rows = ssh.authorized.iter().flat_map(|file| {
        file.keys.iter().map(|key| {
            vec![
                Cell::from(file.user.as_str()),
                Cell::from(key.key.kind.as_str()),
                Cell::from(key.key.fingerprint.as_str()),
                Cell::from(key.key.comment.as_str()),
                Cell::from(key.options.join(",")),
                Cell::from(format!("{}:{}", file.file, key.line)),
            ]
        })
    });
    page.table(&["MAY LOG IN", "TYPE", "FINGERPRINT", "COMMENT", "OPTIONS", "FROM"], rows.collect());
    for file in ssh.authorized.iter().filter(|file| !file.wrong_lines.is_empty()) {
        let lines: Vec<String> = file.wrong_lines.iter().map(ToString::to_string).collect();
        let text = format!("{}: no key in line {}", file.file, lines.join(", "));
        page.line(Cell::toned(text, Tone::Bad));
    }
}

pub(crate) fn selinux(page: &mut Page, selinux: &Option<Selinux>) {
    let Some(selinux) = selinux else { return page.line("not configured") };
    let labels = &selinux.labels;
    let labelled = match labels.missing.as_slice() {
        [] => Cell::from(format!("there, on all of {} files looked at", labels.checked)),
        missing => Cell::toned(format!("missing: {}", missing.join(", ")), Tone::Bad),
    };
    page.facts(vec![
        ("mode", Cell::from(selinux.mode.map(word))),
        (
            "because of",
            Cell::from(selinux.kernel_argument.as_ref().map(|argument| {
                let configured = selinux.configured.map_or("nothing".to_owned(), word);
                format!("{argument} on the kernel's command line; configured is {configured}")
            })),
        ),
        ("policy", Cell::from(selinux.policy.clone())),
        ("policy file", Cell::from(selinux.policy_file.clone())),
        ("labels", labelled),
        ("at next boot", Cell::from(if selinux.autorelabel { "all files are labelled anew" } else { "" })),
    ]);
}

pub(crate) fn apparmor(page: &mut Page, apparmor: &Option<Apparmor>) {
    let Some(apparmor) = apparmor else { return page.line("not installed") };
    page.facts(vec![
        ("parser", Cell::from(if apparmor.parser { "installed" } else { "not installed" })),
        ("apparmor.service", Cell::from(apparmor.service.as_str())),
    ]);
    let rows = apparmor.profiles.iter().map(|profile| {
        let mode = word(profile.mode);
        vec![
            Cell::from(profile.name.as_str()),
            if profile.mode == ProfileMode::Enforce {
                Cell::from(mode)
            } else {
                Cell::toned(mode, Tone::Quiet)
            },
            Cell::from(profile.attachment.clone().filter(|path| *path != profile.name)),
            Cell::from(profile.file.as_str()),
            Cell::from((!profile.local.is_empty()).then(|| profile.local.join(" "))),
        ]
    });
    page.table(&["PROFILE", "MODE", "FOR", "FILE", "LOCAL RULES"], rows.collect());
}
