//! Runs a recipe's checks.

use super::accounts::{Group, User, gid_of, groups, groups_of, uid_of, users};
use super::look::{optional, show};
use super::unit::{UnitState, resolve_alias};
use super::{CheckGroup, CheckResult, Package, VerifyError, datasource_list, packages};
use crate::disk::{FileKind, Stat, Tree};
use crate::error::Failure;
use crate::recipe::{Check, PathKind, ServiceState};

/// The longest file that is searched for text.
const SEARCH_LIMIT: u64 = 16 << 20;

/// What a check found wrong, or why it could not be performed.
type Found = Result<Option<String>, VerifyError>;

/// Runs checks in order. Each gets a result; one that cannot be performed is [`Outcome::NotChecked`]
/// (after an interruption all that remain are).
///
/// [`Outcome::NotChecked`]: super::Outcome::NotChecked
pub fn run_checks(tree: &mut dyn Tree, checks: &[Check]) -> Vec<CheckResult> {
    let mut image = Image { tree, packages: None, users: None, groups: None };
    checks
        .iter()
        .map(|check| CheckResult::new(CheckGroup::Recipe, check.title(), image.check(check)))
        .collect()
}

/// An image, with what many checks ask for read once.
struct Image<'a> {
    tree: &'a mut dyn Tree,
    packages: Option<Result<Vec<Package>, String>>,
    users: Option<Result<Vec<User>, String>>,
    groups: Option<Result<Vec<Group>, String>>,
}

/// Reads a list the first time it is asked for. Its error is kept as text, to be told by every check it stops.
fn once<'a, T>(
    slot: &'a mut Option<Result<Vec<T>, String>>,
    tree: &mut dyn Tree,
    what: &'static str,
    read: fn(&mut dyn Tree) -> Result<Vec<T>, VerifyError>,
) -> Result<&'a [T], VerifyError> {
    slot.get_or_insert_with(|| read(tree).map_err(|error| Failure::from(error).to_string()))
        .as_deref()
        .map_err(|reason| VerifyError::Unsupported { what, reason: reason.clone() })
}

impl Image<'_> {
    fn packages(&mut self) -> Result<&[Package], VerifyError> {
        once(&mut self.packages, self.tree, "the installed packages", packages)
    }

    fn users(&mut self) -> Result<&[User], VerifyError> {
        once(&mut self.users, self.tree, "the users", users)
    }

    fn groups(&mut self) -> Result<&[Group], VerifyError> {
        once(&mut self.groups, self.tree, "the groups", groups)
    }

    fn check(&mut self, check: &Check) -> Found {
        match check {
            Check::Package { name, installed, version } => self.package(name, *installed, version.as_deref()),
            Check::Path { .. } => self.path(check),
            Check::Unit { name, state } => self.unit(name, *state),
            Check::User { name, uid, groups } => self.user(name, *uid, groups),
            Check::Group { name } => {
                let known = gid_of(self.groups()?, name).is_some();
                Ok((!known).then(|| "no such group".to_owned()))
            }
            Check::IdFree { id } => self.id_free(*id),
            Check::Datasources { names } => self.datasources(names),
        }
    }

    fn package(&mut self, name: &str, wanted: bool, version: Option<&str>) -> Found {
        let mut found = self.packages()?.iter().filter(|package| package.name == name);
        let first = found.next();
        Ok(match (first, wanted) {
            (None, true) => Some("not installed".to_owned()),
            (None, false) => None,
            (Some(package), false) => Some(format!("version {} is installed", package.version)),
            (Some(package), true) => match version {
                Some(version) if !package.version_begins(version) => {
                    Some(format!("version {}", package.version))
                }
                _ => None,
            },
        })
    }

    fn path(&mut self, check: &Check) -> Found {
        let Check::Path { path, exists, kind, mode, owner, group, contains, lacks, target } = check else {
            return Ok(None);
        };
        let at = path.as_bytes();
        let follow = matches!(kind, Some(PathKind::File | PathKind::Directory));
        let stat = if follow { self.tree.stat(at) } else { self.tree.lstat(at) };
        let stat = match (optional(stat)?, exists) {
            (None, true) => return Ok(Some(self.why_missing(at)?)),
            (None, false) => return Ok(None),
            (Some(stat), false) => return Ok(Some(format!("{} is there", kind_name(stat.kind)))),
            (Some(stat), true) => stat,
        };
        let mut wrong = Vec::new();
        if kind.is_some_and(|kind| file_kind(kind) != stat.kind) {
            wrong.push(format!("it is {}", kind_name(stat.kind)));
        }
        if let Some(mode) = mode {
            let wanted = u32::from_str_radix(mode.trim_start_matches("0o"), 8)
                .map_err(|_| unusable(format!("`{mode}` is no octal mode")))?;
            if wanted != stat.mode {
                wrong.push(format!("mode {:04o}", stat.mode));
            }
        }
        self.ownership(&stat, owner.as_deref(), group.as_deref(), &mut wrong)?;
        if let Some(wanted) = target {
            if stat.kind == FileKind::Symlink {
                let link = self.tree.read_link(at)?;
                if link != wanted.as_bytes() {
                    wrong.push(format!("it points to {}", show(&link)));
                }
            } else {
                wrong.push(format!("it is {}, not a link", kind_name(stat.kind)));
            }
        }
        if contains.is_some() || lacks.is_some() {
            let content = self.tree.read(at, SEARCH_LIMIT)?;
            let holds = |text: &str| {
                text.is_empty() || content.windows(text.len()).any(|window| window == text.as_bytes())
            };
            if contains.as_deref().is_some_and(|text| !holds(text)) {
                wrong.push("the text is not in it".to_owned());
            }
            if lacks.as_deref().is_some_and(holds) {
                wrong.push("the text is in it".to_owned());
            }
        }
        Ok((!wrong.is_empty()).then(|| wrong.join(", ")))
    }

    fn why_missing(&mut self, path: &[u8]) -> Result<String, VerifyError> {
        Ok(match optional(self.tree.lstat(path))? {
            Some(stat) if stat.kind == FileKind::Symlink => {
                format!("a link to {}, which does not exist", show(&self.tree.read_link(path)?))
            }
            _ => "nothing is there".to_owned(),
        })
    }

    fn ownership(
        &mut self,
        stat: &Stat,
        owner: Option<&str>,
        group: Option<&str>,
        wrong: &mut Vec<String>,
    ) -> Result<(), VerifyError> {
        if let Some(owner) = owner {
            let users = self.users()?;
            if uid_of(users, owner) != Some(stat.uid) {
                let name = users.iter().find(|user| user.uid == stat.uid).map(|user| user.name.as_str());
                wrong.push(format!("it belongs to {} (uid {})", name.unwrap_or("nobody known"), stat.uid));
            }
        }
        if let Some(group) = group {
            let groups = self.groups()?;
            if gid_of(groups, group) != Some(stat.gid) {
                let name = groups.iter().find(|group| group.gid == stat.gid).map(|group| group.name.as_str());
                wrong.push(format!("its group is {} (gid {})", name.unwrap_or("none known"), stat.gid));
            }
        }
        Ok(())
    }

    fn unit(&mut self, name: &str, wanted: ServiceState) -> Found {
        let state = resolve_alias(self.tree, name)?;
        let right = match wanted {
            ServiceState::Enabled => state == UnitState::Enabled,
            // A masked unit does not start by itself either. A missing one is more likely a misspelt name.
            ServiceState::Disabled => matches!(state, UnitState::Disabled | UnitState::Masked),
            ServiceState::Masked => state == UnitState::Masked,
        };
        Ok((!right).then(|| state.to_string()))
    }

    fn user(&mut self, name: &str, uid: Option<u32>, wanted: &[String]) -> Found {
        let Some(user) = self.users()?.iter().find(|user| user.name == name).cloned() else {
            return Ok(Some("no such user".to_owned()));
        };
        let mut wrong = Vec::new();
        if uid.is_some_and(|uid| uid != user.uid) {
            wrong.push(format!("its id is {}", user.uid));
        }
        if !wanted.is_empty() {
            let has = groups_of(&user, self.groups()?);
            let missing = wanted.iter().filter(|group| !has.contains(&group.as_str()));
            wrong.extend(missing.map(|group| format!("not in group {group}")));
        }
        Ok((!wrong.is_empty()).then(|| wrong.join(", ")))
    }

    fn id_free(&mut self, id: u32) -> Found {
        let users = self.users()?.iter().filter(|user| user.uid == id);
        let mut taken: Vec<_> = users.map(|user| format!("user {}", user.name)).collect();
        let groups = self.groups()?.iter().filter(|group| group.gid == id);
        taken.extend(groups.map(|group| format!("group {}", group.name)));
        Ok((!taken.is_empty()).then(|| format!("{} has it", taken.join(" and "))))
    }

    fn datasources(&mut self, names: &[String]) -> Found {
        let Some(list) = datasource_list(self.tree)? else {
            return Ok(Some("no file sets datasource_list".to_owned()));
        };
        let complete = names.iter().all(|name| list.contains(name));
        Ok((!complete).then(|| format!("[{}]", list.join(", "))))
    }
}

fn unusable(reason: String) -> VerifyError {
    VerifyError::Unsupported { what: "the check", reason }
}

fn file_kind(kind: PathKind) -> FileKind {
    match kind {
        PathKind::File => FileKind::File,
        PathKind::Directory => FileKind::Directory,
        PathKind::Symlink => FileKind::Symlink,
    }
}

fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "a file",
        FileKind::Directory => "a directory",
        FileKind::Symlink => "a link",
        FileKind::Block => "a block device",
        FileKind::Character => "a character device",
        FileKind::Fifo => "a named pipe",
        FileKind::Socket => "a socket",
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::testing::MemTree;
    use super::*;

    fn tree() -> MemTree {
        MemTree::new()
            .file(
                "/var/lib/dpkg/status",
                "Package: redis\nStatus: install ok installed\nVersion: 5:7.0.15-1\nArchitecture: amd64\n",
            )
            .file("/etc/passwd", "root:x:0:0::/root:/bin/sh\ntrove:x:1000:1000::/home/trove:/bin/sh\n")
            .file("/etc/group", "root:x:0:\ntrove:x:1000:\ndocker:x:998:trove\n")
            .file("/etc/redis.conf", "port 6379\n")
            .access("/etc/redis.conf", 0o640, 1000, 998)
            .link("/etc/alias.conf", "redis.conf")
            .link("/etc/dangling", "gone")
            .link("/etc/loop", "loop")
            .dir("/srv")
            .file("/usr/lib/systemd/system/redis.service", "[Install]\nWantedBy=multi-user.target\n")
            .link("/usr/lib/systemd/system/redis-server.service", "redis.service")
            .link(
                "/etc/systemd/system/multi-user.target.wants/redis.service",
                "/usr/lib/systemd/system/redis.service",
            )
            .file("/usr/lib/systemd/system/off.service", "[Install]\nWantedBy=multi-user.target\n")
            .link("/etc/systemd/system/apt-daily.timer", "/dev/null")
            .file("/etc/cloud/cloud.cfg", "datasource_list: [ConfigDrive, OpenStack]\n")
    }

    /// `ok`, `failed: what`, or `not checked: why`.
    fn run(tree: &MemTree, check: &str) -> String {
        let check: Check = toml::from_str(check).unwrap_or_else(|error| panic!("{check}: {error}"));
        match run_checks(&mut tree.clone(), &[check]).remove(0).outcome {
            Outcome::Passed => "ok".to_owned(),
            Outcome::Failed { found } => format!("failed: {found}"),
            Outcome::NotChecked { reason } => format!("not checked: {reason}"),
        }
    }

    #[test]
    fn every_check_passes_and_fails() {
        for (check, expected) in [
            ("check='package'\nname='redis'", "ok"),
            ("check='package'\nname='redis'\nversion='7.0'", "ok"),
            ("check='package'\nname='redis'\nversion='7.2'", "failed: version 5:7.0.15-1"),
            ("check='package'\nname='valkey'", "failed: not installed"),
            ("check='package'\nname='redis'\ninstalled=false", "failed: version 5:7.0.15-1 is installed"),
            ("check='package'\nname='valkey'\ninstalled=false", "ok"),
            ("check='path'\npath='/etc/redis.conf'", "ok"),
            ("check='path'\npath='/etc/none'", "failed: nothing is there"),
            ("check='path'\npath='/etc/none'\nexists=false", "ok"),
            ("check='path'\npath='/srv'\nexists=false", "failed: a directory is there"),
            ("check='path'\npath='/srv'\nkind='file'", "failed: it is a directory"),
            ("check='path'\npath='/etc/alias.conf'\nkind='file'\nmode='0640'", "ok"),
            ("check='path'\npath='/etc/alias.conf'\nkind='symlink'\ntarget='redis.conf'", "ok"),
            (
                "check='path'\npath='/etc/alias.conf'\ntarget='/etc/redis.conf'",
                "failed: it points to redis.conf",
            ),
            ("check='path'\npath='/srv'\ntarget='x'", "failed: it is a directory, not a link"),
            (
                "check='path'\npath='/etc/dangling'\nkind='file'",
                "failed: a link to gone, which does not exist",
            ),
            ("check='path'\npath='/etc/dangling'", "ok"),
            ("check='path'\npath='/etc/redis.conf'\nmode='0640'\nowner='trove'\ngroup='docker'", "ok"),
            (
                "check='path'\npath='/etc/redis.conf'\nmode='0644'\nowner='root'\ngroup='trove'",
                "failed: mode 0640, it belongs to trove (uid 1000), its group is docker (gid 998)",
            ),
            ("check='path'\npath='/etc/redis.conf'\ncontains='6379'\nlacks='6380'", "ok"),
            (
                "check='path'\npath='/etc/redis.conf'\ncontains='6380'\nlacks='port'",
                "failed: the text is not in it, the text is in it",
            ),
            ("check='unit'\nname='redis.service'\nstate='enabled'", "ok"),
            ("check='unit'\nname='redis-server.service'\nstate='enabled'", "ok"),
            ("check='unit'\nname='redis.service'\nstate='disabled'", "failed: enabled"),
            ("check='unit'\nname='off.service'\nstate='disabled'", "ok"),
            ("check='unit'\nname='off.service'\nstate='enabled'", "failed: disabled"),
            ("check='unit'\nname='apt-daily.timer'\nstate='masked'", "ok"),
            ("check='unit'\nname='apt-daily.timer'\nstate='disabled'", "ok"),
            ("check='unit'\nname='none.service'\nstate='disabled'", "failed: not-found"),
            ("check='user'\nname='trove'\nuid=1000\ngroups=['docker','trove']", "ok"),
            (
                "check='user'\nname='trove'\nuid=1001\ngroups=['sudo']",
                "failed: its id is 1000, not in group sudo",
            ),
            ("check='user'\nname='ubuntu'", "failed: no such user"),
            ("check='group'\nname='docker'", "ok"),
            ("check='group'\nname='sudo'", "failed: no such group"),
            ("check='id-free'\nid=1001", "ok"),
            ("check='id-free'\nid=1000", "failed: user trove and group trove has it"),
            ("check='datasources'\nnames=['OpenStack']", "ok"),
            ("check='datasources'\nnames=['NoCloud']", "failed: [ConfigDrive, OpenStack]"),
        ] {
            assert_eq!(run(&tree(), check), expected, "{check}");
        }
    }

    #[test]
    fn what_cannot_be_looked_at_never_passes() {
        for (broken, check) in [
            ("/var/lib/dpkg", "check='package'\nname='valkey'\ninstalled=false"),
            ("/etc/none", "check='path'\npath='/etc/none'\nexists=false"),
            ("/etc/passwd", "check='user'\nname='trove'"),
            ("/etc/group", "check='group'\nname='docker'"),
            ("/etc/group", "check='id-free'\nid=1001"),
            ("/etc/passwd", "check='path'\npath='/etc/redis.conf'\nowner='trove'"),
            ("/etc/systemd", "check='unit'\nname='off.service'\nstate='disabled'"),
            ("/etc/cloud", "check='datasources'\nnames=[]"),
            ("/x", "check='path'\npath='/etc/loop'\nkind='file'"),
            ("/x", "check='path'\npath='/srv'\ncontains='a'"),
            ("/x", "check='path'\npath='/srv'\nmode='rwx'"),
        ] {
            let result = run(&tree().broken(broken), check);
            assert!(result.starts_with("not checked: "), "{check}: {result}");
        }
        let result = run(
            &MemTree::new().file("/var/lib/rpm/rpmdb.sqlite", ""),
            "check='package'\nname='x'\ninstalled=false",
        );
        assert!(result.contains("RPM database"), "{result}");
    }
}
