//! Users and groups of an image.

use super::ReadError;
use super::files::read_optional;
use crate::disk::Tree;

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

impl User {
    /// A user that no image has, and no rule can name.
    pub(crate) fn nobody() -> Self {
        Self { name: String::new(), uid: u32::MAX, gid: u32::MAX, home: String::new(), shell: String::new() }
    }
}

/// A line of `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Users who have it as a further group.
    pub members: Vec<String>,
}

/// The users of an image, in the order of `/etc/passwd`.
///
/// # Errors
/// [`ReadError::Malformed`], [`ReadError::Disk`]; a missing file too, as every image has one.
pub fn users(tree: &mut dyn Tree) -> Result<Vec<User>, ReadError> {
    read_lines(tree, "/etc/passwd", parse_user)
}

/// The groups of an image, in the order of `/etc/group`.
///
/// # Errors
/// As [`users`].
pub fn groups(tree: &mut dyn Tree) -> Result<Vec<Group>, ReadError> {
    read_lines(tree, "/etc/group", parse_group)
}

/// The id of a user.
pub fn uid_of(users: &[User], name: &str) -> Option<u32> {
    users.iter().find(|user| user.name == name).map(|user| user.uid)
}

/// The id of a group.
pub fn gid_of(groups: &[Group], name: &str) -> Option<u32> {
    groups.iter().find(|group| group.name == name).map(|group| group.gid)
}

/// Names of the groups a user is in, the primary one first.
pub fn groups_of<'a>(user: &User, groups: &'a [Group]) -> Vec<&'a str> {
    let primary = groups.iter().filter(|group| group.gid == user.gid);
    let further = groups.iter().filter(|g| g.gid != user.gid && g.members.contains(&user.name));
    primary.chain(further).map(|group| group.name.as_str()).collect()
}

fn read_lines<T>(tree: &mut dyn Tree, path: &str, parse: fn(&str) -> Option<T>) -> Result<Vec<T>, ReadError> {
    let text = read_optional(tree, path.as_bytes())?
        .ok_or_else(|| ReadError::malformed(path, "it does not exist"))?;
    parse_lines(&text, parse)
        .map_err(|line| ReadError::malformed(path, format!("line {line} has the wrong form")))
}

/// Skips what glibc skips: empty lines, comments and NIS entries. Anything else must be right, because a check
/// that silently overlooks a user is worth nothing.
fn parse_lines<T>(text: &[u8], parse: fn(&str) -> Option<T>) -> Result<Vec<T>, usize> {
    String::from_utf8_lossy(text)
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with(['#', '+', '-']))
        .map(|(number, line)| parse(line).ok_or(number + 1))
        .collect()
}

fn parse_user(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let user = User {
        name: fields.next().filter(|name| !name.is_empty())?.to_owned(),
        uid: fields.nth(1)?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
        home: fields.nth(1)?.to_owned(),
        shell: fields.next()?.trim_end().to_owned(),
    };
    fields.next().is_none().then_some(user)
}

fn parse_group(line: &str) -> Option<Group> {
    let mut fields = line.split(':');
    let group = Group {
        name: fields.next().filter(|name| !name.is_empty())?.to_owned(),
        gid: fields.nth(1)?.parse().ok()?,
        members: fields
            .next()?
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
    };
    fields.next().is_none().then_some(group)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::MemTree;
    use super::*;

    fn tree() -> MemTree {
        MemTree::new()
            .file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n# old\n\n+::::::\ntrove:x:1000:1000:,,,:/home/trove:/bin/sh\n")
            .file("/etc/group", "root:x:0:\ntrove:x:1000:\ndocker:x:998:ubuntu, trove\nadm:x:4:ubuntu\n")
    }

    #[test]
    fn ids_and_memberships() {
        let mut tree = tree();
        let (users, groups) = (users(&mut tree).unwrap(), groups(&mut tree).unwrap());
        assert_eq!(uid_of(&users, "trove"), Some(1000));
        assert_eq!(uid_of(&users, "nobody"), None);
        assert_eq!(gid_of(&groups, "docker"), Some(998));
        assert_eq!(groups_of(&users[1], &groups), ["trove", "docker"]);
        assert_eq!((users[1].home.as_str(), users[1].shell.as_str()), ("/home/trove", "/bin/sh"));
    }

    #[test]
    fn a_line_that_is_wrong_is_never_overlooked() {
        for bad in ["root:x:0\n", "a:x:b:0::/:/bin/sh\n", ":x:0:0::/:/bin/sh\n", "a:x:-1:0::/:/\n", "\u{0}\n"]
        {
            let error = users(&mut MemTree::new().file("/etc/passwd", bad)).unwrap_err();
            assert!(error.to_string().contains("line 1 has the wrong form"), "{bad}: {error}");
        }
        assert!(users(&mut MemTree::new()).unwrap_err().to_string().contains("does not exist"));
        assert!(groups(&mut tree().broken("/etc/group")).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = parse_lines(&bytes, parse_user);
            let _ = parse_lines(&bytes, parse_group);
        }

        #[test]
        fn any_fields_are_survived(text in "([a-z0-9:]{0,20}\\n){0,8}") {
            for user in parse_lines(text.as_bytes(), parse_user).unwrap_or_default() {
                prop_assert!(!user.name.is_empty());
            }
        }
    }
}
