//! Users and groups of the guest: looking names up, and the scripts that add them.

use crate::guest::Guest;
use crate::recipe::{GroupStep, UserStep};

use super::EngineError;
use crate::shell::quote;

/// The guest's `/etc/passwd` and `/etc/group`, read once.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: Vec<User>,
    groups: Vec<(String, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: String,
}

impl Accounts {
    pub(super) fn read(guest: &mut dyn Guest) -> Result<Self, EngineError> {
        let passwd = guest.read("/etc/passwd")?;
        let group = guest.read("/etc/group")?;
        Ok(Self::parse(&String::from_utf8_lossy(&passwd), &String::from_utf8_lossy(&group)))
    }

    fn parse(passwd: &str, group: &str) -> Self {
        let users = passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            Some(User {
                name: fields.next()?.to_owned(),
                uid: fields.nth(1)?.parse().ok()?,
                gid: fields.next()?.parse().ok()?,
                home: fields.nth(1)?.to_owned(),
            })
        });
        let groups = group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
        });
        Self { users: users.collect(), groups: groups.collect() }
    }

    pub(super) fn user(&self, name: &str) -> Result<&User, EngineError> {
        self.users
            .iter()
            .find(|user| user.name == name)
            .ok_or_else(|| EngineError::NoSuchAccount { kind: "user", name: name.to_owned() })
    }

    pub(super) fn gid(&self, name: &str) -> Result<u32, EngineError> {
        self.groups
            .iter()
            .find_map(|(group, gid)| (group == name).then_some(*gid))
            .ok_or_else(|| EngineError::NoSuchAccount { kind: "group", name: name.to_owned() })
    }
}

/// Shell that makes the group unless it exists.
pub(super) fn group_script(group: &GroupStep) -> String {
    let name = quote(&group.name);
    let gid = group.gid.map(|gid| format!(" --gid {gid}")).unwrap_or_default();
    let system = if group.system { " --system" } else { "" };
    let mut script = format!("getent group {name} >/dev/null || groupadd{system}{gid} {name}\n");
    if let Some(gid) = group.gid {
        script.push_str(&insist(
            &format!("group {name}"),
            &format!("$(getent group {name} | cut -d: -f3)"),
            gid,
        ));
    }
    script
}

/// Shell that fails when an account that was there before has another id.
fn insist(what: &str, actual: &str, id: u32) -> String {
    format!("[ \"{actual}\" = {id} ] || {{ echo \"{what} has id {actual}, not {id}\" >&2; exit 1; }}\n")
}

/// Shell that makes the user unless there is one of that name, which must then have the right id, and adds it to
/// its further groups.
pub(super) fn user_script(user: &UserStep) -> String {
    let name = quote(&user.name);
    let mut options = format!(" --home-dir {} --shell {}", quote(&user.home), quote(&user.shell));
    let group = match &user.group {
        Some(group) => format!(" --gid {}", quote(group)),
        None => " --user-group".to_owned(),
    };
    let uid = user.uid.map(|uid| format!(" --uid {uid}")).unwrap_or_default();
    let system = if user.system { " --system" } else { "" };
    options.push_str(&uid);
    let mut script = format!(
        "if ! getent passwd {name} >/dev/null; then useradd{system} --create-home{options}{group} {name}; fi\n"
    );
    if let Some(uid) = user.uid {
        script.push_str(&insist(&format!("user {name}"), &format!("$(id -u {name})"), uid));
    }
    if let Some(hash) = &user.password_hash {
        // Not as an argument, which every process could read.
        script.push_str(&format!(
            "printf '%s\\n' {} | chpasswd --encrypted\n",
            quote(&format!("{}:{hash}", user.name))
        ));
    }
    if !user.groups.is_empty() {
        script.push_str(&format!("usermod --append --groups {} {name}\n", quote(&user.groups.join(","))));
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_and_group_are_parsed_and_damaged_lines_skipped() {
        let accounts = Accounts::parse(
            "root:x:0:0:root:/root:/bin/bash\nbroken\nubuntu:x:1000:1001::/home/ubuntu:/bin/bash\n",
            "root:x:0:\nubuntu:x:1001:a,b\n:\n",
        );
        assert_eq!(accounts.user("ubuntu").unwrap().home, "/home/ubuntu");
        assert_eq!(accounts.user("ubuntu").unwrap().gid, 1001);
        assert_eq!(accounts.gid("ubuntu").unwrap(), 1001);
        assert_eq!(accounts.gid("none").unwrap_err().to_string(), "the guest has no group named `none`");
    }

    #[test]
    fn scripts_quote_names() {
        let user = UserStep {
            name: "o'neil".to_owned(),
            uid: Some(1000),
            group: None,
            groups: vec!["sudo".to_owned(), "docker".to_owned()],
            home: "/home/o".to_owned(),
            shell: "/bin/bash".to_owned(),
            system: false,
            sudo: false,
            home_given: true,
            shell_given: true,
            password_hash: Some("$5$salt$it'5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8".to_owned()),
        };
        insta::assert_snapshot!(user_script(&user), @r#"
        if ! getent passwd 'o'\''neil' >/dev/null; then useradd --create-home --home-dir /home/o --shell /bin/bash --uid 1000 --user-group 'o'\''neil'; fi
        [ "$(id -u 'o'\''neil')" = 1000 ] || { echo "user 'o'\''neil' has id $(id -u 'o'\''neil'), not 1000" >&2; exit 1; }
        printf '%s\n' 'o'\''neil:$5$salt$it'\''5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8' | chpasswd --encrypted
        usermod --append --groups sudo,docker 'o'\''neil'
        "#);
        let group = GroupStep { name: "docker".to_owned(), gid: None, system: true };
        assert_eq!(group_script(&group), "getent group docker >/dev/null || groupadd --system docker\n");
    }
}
