//! Who can log in, and who may become root.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::shadow::{self, Entry, Password};
use crate::clock;
use crate::disk::Tree;
use crate::os::files::{escape, read_optional};
use crate::os::sudoers;
use crate::os::sudoers::{Person, Shown};
use crate::os::{Grant, ReadError, groups, users};

/// The most users, and groups, that are looked at.
const ENTRY_LIMIT: usize = 10_000;

/// Users, groups, and what sudo lets them do.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Accounts {
    /// The users, in the order of `/etc/passwd`.
    pub users: Vec<UserAccount>,
    /// The groups, in the order of `/etc/group`.
    pub groups: Vec<GroupAccount>,
    /// What sudo lets people do, in the order in which it counts: the last that fits wins.
    pub sudo: Vec<SudoGrant>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct UserAccount {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Id of the primary group.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Login shell; empty means `/bin/sh`.
    pub shell: String,
    /// Names of all groups, the primary one first.
    pub groups: Vec<String>,
    /// Whether a password opens the account.
    pub password: Password,
    /// The day the password was last changed, `YYYY-MM-DD`, if known.
    pub last_change: Option<String>,
    /// Whether the password must be changed at the next login.
    pub must_change: bool,
    /// The day from which the account is closed, `YYYY-MM-DD`, if there is one.
    pub expires: Option<String>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct GroupAccount {
    /// Name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Users who have it as a further group.
    pub members: Vec<String>,
}

/// A rule of sudo, and to whom in this image it applies.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct SudoGrant {
    /// The rule.
    #[serde(flatten)]
    pub grant: Grant,
    /// The users of this image whom it means.
    pub users: Vec<String>,
    /// The file it is in.
    pub file: String,
    /// The line it begins at.
    pub line: usize,
}

/// Reads users, groups and sudo's rules.
///
/// # Errors
/// [`ReadError::Malformed`] for a file that would be understood only in part, [`ReadError::Disk`].
pub(crate) fn accounts(tree: &mut dyn Tree) -> Result<Accounts, ReadError> {
    let (users, groups) = (users(tree)?, groups(tree)?);
    for (path, entries) in [("/etc/passwd", users.len()), ("/etc/group", groups.len())] {
        if entries > ENTRY_LIMIT {
            return Err(ReadError::malformed(path, format!("it has more than {ENTRY_LIMIT} lines")));
        }
    }
    let people = Person::all(&users, &groups);
    let sudo = sudo(tree, &people)?;
    let shadow = shadow_entries(tree)?;
    let fields = password_fields(tree)?;
    let accounts = people.iter().map(|person| account(person, &fields, &shadow)).collect();
    let groups = groups.iter().map(|group| GroupAccount {
        name: escape(&group.name),
        gid: group.gid,
        members: group.members.iter().map(|name| escape(name)).collect(),
    });
    Ok(Accounts { users: accounts, groups: groups.collect(), sudo })
}

fn account(
    person: &Person,
    fields: &BTreeMap<String, Password>,
    shadow: &BTreeMap<String, Entry>,
) -> UserAccount {
    let user = person.user;
    let entry = shadow.get(&user.name);
    // A password that is in /etc/passwd itself counts; everybody may read it there.
    let password = fields.get(&user.name).copied();
    let password = password.or_else(|| entry.map(|entry| entry.password)).unwrap_or(Password::Missing);
    let day = |days: Option<i64>| days.and_then(clock::day).map(|day| day.to_string());
    let changed = entry.and_then(|entry| entry.changed);
    UserAccount {
        name: escape(&user.name),
        uid: user.uid,
        gid: user.gid,
        home: escape(&user.home),
        shell: escape(&user.shell),
        groups: person.groups.iter().map(|group| escape(&group.name)).collect(),
        password,
        last_change: day(changed.filter(|days| *days > 0)),
        must_change: changed == Some(0),
        expires: day(entry.and_then(|entry| entry.expires)),
    }
}

/// The first entry of each user, as the C library takes it.
fn shadow_entries(tree: &mut dyn Tree) -> Result<BTreeMap<String, Entry>, ReadError> {
    const PATH: &str = "/etc/shadow";
    let text = read_optional(tree, PATH.as_bytes())?.unwrap_or_default();
    let entries = shadow::parse(&text)
        .map_err(|line| ReadError::malformed(PATH, format!("line {line} has the wrong form")))?;
    let mut first = BTreeMap::new();
    for entry in entries {
        first.entry(entry.name.clone()).or_insert(entry);
    }
    Ok(first)
}

/// Passwords in `/etc/passwd` itself; `x` there refers to `/etc/shadow`.
fn password_fields(tree: &mut dyn Tree) -> Result<BTreeMap<String, Password>, ReadError> {
    let text = read_optional(tree, b"/etc/passwd")?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(field)) = (fields.next(), fields.next())
            && field != "x"
        {
            found.entry(name.to_owned()).or_insert(Password::of(field));
        }
    }
    Ok(found)
}

fn sudo(tree: &mut dyn Tree, people: &[Person]) -> Result<Vec<SudoGrant>, ReadError> {
    let rules = sudoers::shown(&sudoers::read(tree)?, people)?;
    let grants =
        rules.into_iter().map(|Shown { grant, users, file, line }| SudoGrant { grant, users, file, line });
    Ok(grants.collect())
}

/// For the fuzzer: reads any text as `/etc/shadow` and as sudoers.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn any_text(text: &[u8]) {
    let _ = shadow::parse(text);
    let _ = sudoers::statements(text);
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::inspect::HashScheme;
    use crate::os::testing::MemTree;

    const SHADOW: &str = "root:*:19000:0:99999:7:::\nops:$6$a$b:19500:0:99999:7::20089:\nopen::0:0:99999:7:::\n\
                          shut:!$y$j9T$a$b:19000::::::\ndaemon:!*:19000::::::\n";
    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nops:x:1000:1000:,,,:/home/ops:/bin/sh\n\
                          open:x:1001:1001::/:/bin/sh\nshut:x:1002:1002::/:\ndaemon:x:1:1::/:/usr/sbin/nologin\n";

    fn tree() -> MemTree {
        MemTree::new()
            .file("/etc/passwd", PASSWD)
            .file("/etc/shadow", SHADOW)
            .file("/etc/group", "root:x:0:\nops:x:1000:\nsudo:x:27:ops,open\nempty:x:5:\n")
    }

    #[test]
    fn passwd_says_the_same() {
        let directory = tempfile::tempdir().unwrap();
        tree().write_below(directory.path());
        // An ordinary user may not ask about a root directory; in a user namespace he is root.
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "passwd", "--root"])
            .arg(directory.path())
            .args(["--status", "--all"])
            .output()
            .unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let mut expected: Vec<_> = output
            .lines()
            .map(|line| line.split(' ').take(3).map(str::to_owned).collect::<Vec<_>>())
            .collect();
        assert_eq!(expected.len(), 5, "{output}");
        let mut found: Vec<_> = accounts(&mut tree())
            .unwrap()
            .users
            .into_iter()
            .map(|user| {
                let state = match user.password {
                    Password::Locked { .. } => "L",
                    Password::Empty => "NP",
                    Password::Set { .. } => "P",
                    Password::Missing => "?",
                };
                let day = if user.must_change { "1970-01-01".to_owned() } else { user.last_change.unwrap() };
                vec![user.name, state.to_owned(), day]
            })
            .collect();
        for line in &mut expected {
            line[2] = iso(&line[2]);
        }
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }

    /// Older versions of passwd write `01/08/2022`.
    fn iso(day: &str) -> String {
        match day.split('/').collect::<Vec<_>>()[..] {
            [month, day, year] => format!("{year}-{month}-{day}"),
            _ => day.to_owned(),
        }
    }

    #[test]
    fn all_of_a_user() {
        let found = accounts(&mut tree()).unwrap();
        let ops = &found.users[1];
        assert_eq!(ops.groups, ["ops", "sudo"]);
        assert_eq!(ops.password, Password::Set { scheme: HashScheme::Sha512Crypt });
        assert_eq!(
            (ops.last_change.as_deref(), ops.expires.as_deref()),
            (Some("2023-05-23"), Some("2025-01-01"))
        );
        assert_eq!(found.users[3].password, Password::Locked { scheme: Some(HashScheme::Yescrypt) });
        assert_eq!(found.groups[2].members, ["ops", "open"]);
        let json = serde_json::to_string(&found).unwrap();
        assert!(!json.contains("$6$") && !json.contains("j9T"), "hashes go nowhere: {json}");
    }

    #[test]
    fn passwords_outside_of_shadow() {
        let passwd = "a::0:0::/:/bin/sh\nb:$1$a$b:1:1::/:/bin/sh\nc:x:2:2::/:/bin/sh\n";
        let mut tree = tree().file("/etc/passwd", passwd).without("/etc/shadow");
        let found: Vec<_> = accounts(&mut tree).unwrap().users.iter().map(|user| user.password).collect();
        assert_eq!(
            found,
            [Password::Empty, Password::Set { scheme: HashScheme::Md5Crypt }, Password::Missing]
        );
    }

    #[test]
    fn sudo_names_people() {
        let mut tree = tree()
            .file(
                "/etc/sudoers",
                "root ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n",
            )
            .file("/etc/sudoers.d/90", "# ops\nops ALL=(ALL) NOPASSWD:ALL\n");
        let found = accounts(&mut tree).unwrap().sudo;
        let short: Vec<_> = found
            .iter()
            .map(|g| (g.users.join(","), g.grant.without_password, g.file.as_str(), g.line))
            .collect();
        assert_eq!(
            short,
            [
                ("root".to_owned(), false, "/etc/sudoers", 1),
                ("ops,open".to_owned(), false, "/etc/sudoers", 2),
                ("ops".to_owned(), true, "/etc/sudoers.d/90", 2)
            ]
        );
    }

    #[test]
    fn defaults_decide_about_passwords() {
        let sudoers = "Defaults:ops !authenticate\nDefaults!/bin/ls !authenticate\n%sudo ALL=(ALL) ALL\n\
                       open ALL=(ALL) /bin/cat\nopen ALL=(ALL) /bin/ls\nops ALL=(ALL) PASSWD: ALL\n\
                       open ALL=() /bin/cat\n";
        let mut tree = tree().file("/etc/sudoers", sudoers);
        let found = accounts(&mut tree).unwrap().sudo;
        let free: Vec<_> = found.iter().map(|grant| grant.grant.without_password).collect();
        assert_eq!(free, [true, false, true, false, false]);
        assert_eq!(found[4].grant.run_as.as_deref(), Some(""));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for tree in [
            tree().file("/etc/shadow", "root\n"),
            tree().broken("/etc/shadow"),
            tree().file("/etc/sudoers", "a ALL\n"),
            tree().without("/etc/passwd"),
        ] {
            assert!(accounts(&mut tree.clone()).is_err());
        }
    }
}
