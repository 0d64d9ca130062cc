//! cloud-init's configuration of an image, as a whole, and what its first run would do.

use super::accounts::{Group, User, groups, users};
use super::datasource::config_files;
use super::error::ReadError;
use super::files::read_optional;
use super::yaml::Yaml;
use crate::disk::Tree;

/// The files that set one of `keys`, merged in cloud-init's order. Files without any of these words are not even parsed:
/// what they say is no matter here.
pub(crate) fn settings(tree: &mut dyn Tree, keys: &[&str]) -> Result<Yaml, ReadError> {
    let mut merged = Yaml::Map(Vec::new());
    for path in config_files(tree)? {
        let Some(text) = read_optional(tree, &path)? else { continue };
        let has = |key: &&str| text.windows(key.len()).any(|part| part == key.as_bytes());
        if keys.iter().any(has) {
            let value = Yaml::parse(&text).map_err(|reason| ReadError::malformed(&path, reason))?;
            merged.merge(value);
        }
    }
    Ok(merged)
}

/// Users and groups that are made at the first boot, with the ids that they get.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FirstBoot {
    pub(crate) users: Vec<(String, u32)>,
    /// With the user for whom each is made.
    pub(crate) groups: Vec<(String, u32, String)>,
}

/// What cloud-init makes of `users`, `user` and `system_info.default_user`, numbered as useradd and groupadd do.
pub(crate) fn first_boot(tree: &mut dyn Tree) -> Result<FirstBoot, ReadError> {
    let settings = settings(tree, &["users", "user", "default_user"])?;
    let mut made = FirstBoot::default();
    let (mut users, mut groups) = (users(tree)?, groups(tree)?);
    let range = Range::read(tree)?;
    let default = settings.get("system_info").and_then(|info| info.get("default_user"));
    let named = settings.get("user");
    let items = settings.get("users").map_or(&[][..], Yaml::items);
    for item in items {
        let is_default = item.text() == Some("default");
        let name = match is_default {
            true => named
                .and_then(|user| user.text().or_else(|| user.get("name").and_then(Yaml::text)))
                .or_else(|| default.and_then(|user| user.get("name")).and_then(Yaml::text)),
            false => item.text().or_else(|| item.get("name").and_then(Yaml::text)),
        };
        let Some(name) = name.filter(|name| !users.iter().any(|user| user.name == *name)) else { continue };
        let source = if is_default { default } else { Some(item) };
        for group in source.map(group_names).unwrap_or_default() {
            if !groups.iter().any(|known| known.name == group) {
                let gid = range.next(groups.iter().map(|group| group.gid));
                groups.push(Group { name: group.clone(), gid, members: Vec::new() });
                made.groups.push((group, gid, name.to_owned()));
            }
        }
        let asked =
            source.and_then(|user| user.get("uid")).and_then(Yaml::text).and_then(|uid| uid.parse().ok());
        let uid = asked.unwrap_or_else(|| range.next(users.iter().map(|user| user.uid)));
        let taken = groups.iter().any(|group| group.gid == uid);
        let gid = if taken { range.next(groups.iter().map(|group| group.gid)) } else { uid };
        groups.push(Group { name: name.to_owned(), gid, members: Vec::new() });
        made.groups.push((name.to_owned(), gid, name.to_owned()));
        users.push(User { name: name.to_owned(), uid, gid, home: String::new(), shell: String::new() });
        made.users.push((name.to_owned(), uid));
    }
    Ok(made)
}

/// `groups` of a user: a list, or a text with commas.
fn group_names(user: &Yaml) -> Vec<String> {
    let items = user.get("groups").map_or(&[][..], Yaml::items);
    let names = items.iter().filter_map(Yaml::text).flat_map(|text| text.split(','));
    names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The ids that new accounts get, of `/etc/login.defs`.
struct Range {
    first: u32,
    last: u32,
}

impl Range {
    fn read(tree: &mut dyn Tree) -> Result<Self, ReadError> {
        let text = read_optional(tree, b"/etc/login.defs")?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(key));
            lines.find_map(|rest| rest.trim().parse().ok())
        };
        let (first, last) = (value("UID_MIN").unwrap_or(1000), value("UID_MAX").unwrap_or(60000));
        Ok(Self { first, last })
    }

    /// The one after the highest that is taken, or the lowest that is free.
    fn next(&self, taken: impl Iterator<Item = u32>) -> u32 {
        let taken: Vec<u32> = taken.filter(|id| (self.first..=self.last).contains(id)).collect();
        match taken.iter().max() {
            None => self.first,
            Some(&highest) if highest < self.last => highest + 1,
            Some(_) => (self.first..=self.last).find(|id| !taken.contains(id)).unwrap_or(self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemTree;
    use super::*;

    const CFG: &str =
        "users:\n  - default\nsystem_info:\n  default_user:\n    name: debian\n    groups: [sudo, netdev]\n";

    fn tree(passwd: &str, cfg: &str) -> MemTree {
        MemTree::new()
            .file("/etc/passwd", format!("root:x:0:0::/root:/bin/sh\n{passwd}"))
            .file("/etc/group", "root:x:0:\nsudo:x:27:\ntrove:x:1000:\n")
            .file("/etc/cloud/cloud.cfg", CFG)
            .file("/etc/cloud/cloud.cfg.d/90.cfg", cfg)
    }

    #[test]
    fn who_is_made_and_with_which_id() {
        const TROVE: &str = "trove:x:1000:1000::/:/bin/sh\n";
        for (passwd, cfg, users) in [
            (TROVE, "", &[("debian", 1001)][..]),
            (TROVE, "users: []\n", &[]),
            (TROVE, "system_info:\n  default_user:\n    name: trove\n", &[]),
            (TROVE, "user: trove\n", &[]),
            (TROVE, "user: {name: ubuntu}\n", &[("ubuntu", 1001)]),
            (TROVE, "users: [default, {name: op, uid: 2000}, trove]\n", &[("debian", 1001), ("op", 2000)]),
            ("", "", &[("debian", 1000)]),
            ("x:x:1005:1::/:/bin/sh\n", "", &[("debian", 1006)]),
        ] {
            let made = first_boot(&mut tree(passwd, cfg)).unwrap();
            let found: Vec<_> = made.users.iter().map(|(name, uid)| (name.as_str(), *uid)).collect();
            assert_eq!(found, users, "{passwd:?} {cfg:?}");
        }
        // The group of the user's own finds its number taken by one that was made before.
        let made = first_boot(&mut tree(TROVE, "")).unwrap();
        let group = |name: &str, gid| (name.to_owned(), gid, "debian".to_owned());
        assert_eq!(made.groups, [group("netdev", 1001), group("debian", 1002)]);
        assert!(first_boot(&mut tree("", "users: [\n")).is_err());
        assert!(first_boot(&mut tree("", "datasource_list: [\n")).is_ok(), "it says nothing of users");
    }
}
