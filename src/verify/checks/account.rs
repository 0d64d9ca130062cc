//! Users, groups, passwords and sudo.

use super::{Found, Image, sentence};
use crate::check::UserCheck;
use crate::disk::Tree;
use crate::os::User;
use crate::os::files::read_optional;
use crate::os::sudoers;
use crate::os::sudoers::{Person, Verdict, verdict};
use crate::os::{ReadError, groups_of};

impl Image<'_> {
    pub(super) fn user(&mut self, check: &UserCheck) -> Found {
        let Some(user) = self.users()?.iter().find(|user| user.name == check.name).cloned() else {
            return Ok(check.exists.then(|| "no such user".to_owned()));
        };
        if !check.exists {
            return Ok(Some(format!("it exists, with id {}", user.uid)));
        }
        let mut wrong = Vec::new();
        if check.uid.is_some_and(|uid| uid != user.uid) {
            wrong.push(format!("its id is {}", user.uid));
        }
        for (wanted, found, what) in [(&check.home, &user.home, "home"), (&check.shell, &user.shell, "shell")]
        {
            if wanted.as_ref().is_some_and(|wanted| wanted != found) {
                wrong.push(format!("its {what} is `{found}`"));
            }
        }
        if !check.groups.is_empty() {
            let has = groups_of(&user, self.groups()?);
            let missing = check.groups.iter().filter(|group| !has.contains(&group.as_str()));
            wrong.extend(missing.map(|group| format!("not in group {group}")));
        }
        if let Some(locked) = check.locked {
            match (Password::of(self.tree, &check.name)?, locked) {
                (Password::Locked, true) | (Password::Set, false) => {}
                (Password::Locked, false) => wrong.push("no password lets it in".to_owned()),
                (Password::Set, true) => wrong.push("it has a password".to_owned()),
                (Password::Empty, _) => wrong.push("its password is empty: anybody gets in".to_owned()),
            }
        }
        Ok(sentence(&wrong))
    }

    pub(super) fn group(&mut self, name: &str, exists: bool, gid: Option<u32>) -> Found {
        let found = self.groups()?.iter().find(|group| group.name == name).map(|group| group.gid);
        Ok(match (found, exists) {
            (None, true) => Some("no such group".to_owned()),
            (None, false) => None,
            (Some(found), false) => Some(format!("it exists, with id {found}")),
            (Some(found), true) => gid.is_some_and(|gid| gid != found).then(|| format!("its id is {found}")),
        })
    }

    pub(super) fn id_free(&mut self, id: u32) -> Found {
        let users = self.users()?.iter().filter(|user| user.uid == id);
        let mut taken: Vec<_> = users.map(|user| format!("user {}", user.name)).collect();
        let groups = self.groups()?.iter().filter(|group| group.gid == id);
        taken.extend(groups.map(|group| format!("group {}", group.name)));
        Ok((!taken.is_empty()).then(|| format!("{} has it", taken.join(" and "))))
    }

    pub(super) fn sudo(&mut self, who: &str, allowed: bool, password: Option<bool>) -> Found {
        let (users, groups) = (self.users()?.to_vec(), self.groups()?.to_vec());
        let nobody = User::nobody();
        let person = match who.strip_prefix('%') {
            Some(name) => {
                groups.iter().find(|group| group.name == name).map(|group| Person::member(&nobody, group))
            }
            None => Person::all(&users, &groups).into_iter().find(|person| person.user.name == who),
        };
        let Some(person) = person else {
            let what = if who.starts_with('%') { "group" } else { "user" };
            return Ok(Some(format!("no such {what}")));
        };
        let is_installed = self.tree.exists(sudoers::MAIN)?;
        if !is_installed && allowed {
            return Ok(Some("sudo is not installed".to_owned()));
        }
        Ok(match (verdict(&sudoers::read(self.tree)?, &person)?, allowed) {
            (Verdict::Nothing, false) => None,
            (Verdict::Nothing, true) => Some("no rule lets them".to_owned()),
            (Verdict::Something, true) => Some("only some commands, or not as root".to_owned()),
            (Verdict::Something, false) => Some("some commands are allowed".to_owned()),
            (Verdict::Everything { .. }, false) => Some("everything is allowed".to_owned()),
            (Verdict::Everything { asked, free }, true) => match password {
                Some(false) if asked => Some(of_some("a password is asked for", free)),
                Some(true) if free => Some(of_some("no password is asked for", asked)),
                _ => None,
            },
        })
    }
}

/// Says that something is so, but perhaps not always.
fn of_some(what: &str, also_otherwise: bool) -> String {
    if also_otherwise { format!("{what} at times") } else { what.to_owned() }
}

/// Whether a password lets a user in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Password {
    /// None can: `!` or `*` where its hash should be, or no entry at all.
    Locked,
    /// None is needed.
    Empty,
    /// There is one.
    Set,
}

impl Password {
    /// Looks in `/etc/shadow`, where `/etc/passwd` says so.
    fn of(tree: &mut dyn Tree, name: &str) -> Result<Self, ReadError> {
        let field = field(tree, b"/etc/passwd", name)?;
        let field = match field.as_deref() {
            Some("x") => self::field(tree, b"/etc/shadow", name)?,
            _ => field,
        };
        Ok(match field.as_deref() {
            Some("") => Self::Empty,
            // A hash is never so short; such a word is a way of locking, too.
            Some(hash) if hash.starts_with(['!', '*']) || hash.len() < 13 => Self::Locked,
            Some(_) => Self::Set,
            None => Self::Locked,
        })
    }
}

/// The second field of a user's line.
fn field(tree: &mut dyn Tree, path: &[u8], name: &str) -> Result<Option<String>, ReadError> {
    let text = read_optional(tree, path)?.ok_or_else(|| ReadError::malformed(path, "it does not exist"))?;
    let text = String::from_utf8_lossy(&text);
    let mut fields = text.lines().map(|line| line.split(':'));
    let Some(mut fields) = fields.find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))
    else {
        return Ok(None);
    };
    let field =
        fields.next().ok_or_else(|| ReadError::malformed(path, format!("{name} has no second field")))?;
    Ok(Some(field.to_owned()))
}
