//! What the owners and permission bits of an image let a user do. ACLs and capabilities are not looked at.

use super::accounts::{Group, User, groups, users};
use super::error::ReadError;
use super::files::show;
use crate::disk::{Stat, Tree};

/// To list a directory, or to read a file.
pub(crate) const READ: u32 = 4;
/// To change a file, or what a directory holds.
pub(crate) const WRITE: u32 = 2;
/// To pass a directory, or to execute a file.
pub(crate) const ENTER: u32 = 1;

/// A user as the kernel knows him.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gids: Vec<u32>,
}

impl Identity {
    /// Looks a user up; `None` if the image has none of that name.
    pub(crate) fn find(tree: &mut dyn Tree, name: &str) -> Result<Option<Self>, ReadError> {
        let users = users(tree)?;
        let Some(user) = users.iter().find(|user| user.name == name) else { return Ok(None) };
        Ok(Some(Self::of(user, &groups(tree)?)))
    }

    fn of(user: &User, groups: &[Group]) -> Self {
        let further = groups.iter().filter(|group| group.members.contains(&user.name)).map(|group| group.gid);
        let gids = std::iter::once(user.gid).chain(further).collect();
        Self { name: user.name.clone(), uid: user.uid, gids }
    }

    /// Whether he may do all of `wanted` ([`READ`], [`WRITE`], [`ENTER`]) with what has this status. The first of owner, group
    /// and others that he is decides, however much the next would let him do.
    pub(crate) fn may(&self, stat: &Stat, wanted: u32) -> bool {
        let bits = if stat.uid == self.uid {
            stat.mode >> 6
        } else if self.gids.contains(&stat.gid) {
            stat.mode >> 3
        } else {
            stat.mode
        };
        self.uid == 0 || bits & wanted == wanted
    }

    /// Why he may not do `wanted` with what a path leads to, if he may not: the first directory on the way that he may not pass,
    /// or the thing itself.
    pub(crate) fn obstacle(
        &self,
        tree: &mut dyn Tree,
        path: &[u8],
        wanted: u32,
    ) -> Result<Option<String>, ReadError> {
        if self.uid == 0 {
            return Ok(None);
        }
        let path = tree.canonicalize(path)?;
        if let Some(obstacle) = self.obstacle_at(tree, b"/", ENTER)? {
            return Ok(Some(obstacle));
        }
        let ends = path.iter().enumerate().filter(|&(at, &byte)| byte == b'/' && at > 0).map(|(at, _)| at);
        for end in ends.collect::<Vec<_>>() {
            if let Some(obstacle) = self.obstacle_at(tree, &path[..end], ENTER)? {
                return Ok(Some(obstacle));
            }
        }
        self.obstacle_at(tree, &path, wanted)
    }

    fn obstacle_at(
        &self,
        tree: &mut dyn Tree,
        path: &[u8],
        wanted: u32,
    ) -> Result<Option<String>, ReadError> {
        let stat = tree.lstat(path)?;
        let words = [
            (ENTER, if stat.kind == crate::disk::FileKind::Directory { "enter" } else { "execute" }),
            (READ, "read"),
            (WRITE, "write to"),
        ];
        let refused = words.iter().find(|(bit, _)| wanted & bit != 0 && !self.may(&stat, *bit));
        Ok(refused.map(|(_, word)| {
            let (name, shown) = (&self.name, show(path));
            format!("{name} may not {word} {shown} (mode {:04o}, owner {}:{})", stat.mode, stat.uid, stat.gid)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemTree;
    use super::*;

    #[test]
    fn the_first_that_fits_decides() {
        let user = |uid, gids: &[u32]| Identity { name: "u".to_owned(), uid, gids: gids.to_vec() };
        let mut tree =
            MemTree::new().dir("/a").file("/a/f", "").access("/a/f", 0o460, 10, 20).link("/l", "a/f");
        let stat = tree.stat(b"/a/f").unwrap();
        for (who, wanted, may) in [
            (user(10, &[20]), READ, true),
            (user(10, &[20]), WRITE, false),
            (user(11, &[1, 20]), READ | WRITE, true),
            (user(11, &[1]), READ, false),
            (user(0, &[0]), WRITE, true),
        ] {
            assert_eq!(who.may(&stat, wanted), may, "{who:?} {wanted}");
        }
        let obstacle =
            |tree: &mut MemTree, who: &Identity, wanted| who.obstacle(tree, b"/l", wanted).unwrap();
        assert_eq!(obstacle(&mut tree, &user(10, &[]), READ), None, "by way of a link");
        let told = obstacle(&mut tree, &user(11, &[]), READ).unwrap();
        assert_eq!(told, "u may not read /a/f (mode 0460, owner 10:20)");
        let mut closed = tree.access("/a", 0o700, 0, 0);
        let told = obstacle(&mut closed, &user(10, &[]), READ).unwrap();
        assert_eq!(told, "u may not enter /a (mode 0700, owner 0:0)");
        assert!(user(1, &[]).obstacle(&mut closed, b"/none", READ).is_err());
        let told = obstacle(&mut closed.access("/", 0o750, 0, 0), &user(11, &[]), READ).unwrap();
        assert_eq!(told, "u may not enter / (mode 0750, owner 0:0)");
    }

    #[test]
    fn a_user_has_his_groups() {
        let mut tree = MemTree::new()
            .file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nu:x:10:20::/:/bin/sh\n")
            .file("/etc/group", "u:x:20:\nd:x:30:u\ne:x:40:x\n");
        assert_eq!(Identity::find(&mut tree, "u").unwrap().unwrap().gids, [20, 30]);
        assert_eq!(Identity::find(&mut tree, "x").unwrap(), None);
    }
}
