//! The directories of the search path, each read once, so that the state of every unit costs no further walk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{LINK_LIMIT, SEARCH_PATH, WANTS, instance, may_alias, split};
use crate::disk::{DiskError, FileKind, Stat, Tree};
use crate::os::files::{absolute, base_name, is_directory, join, names, optional, show, too_much};

/// Entries of all directories together; real systems have a thousand.
const ENTRY_LIMIT: usize = 20_000;

/// The unit files and links of an image. Answers are those of systemd, which this asks nothing of.
#[derive(Debug)]
pub struct UnitIndex {
    directories: Vec<Directory>,
}

/// A directory of the search path.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) path: &'static str,
    /// Shared where two names lead to one directory: `/lib` and `/usr/lib`.
    pub(crate) content: Arc<Content>,
}

/// What is in a directory.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) entries: BTreeMap<Vec<u8>, Node>,
    /// Names of links, by the last part of what they point to.
    pub(crate) by_target: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    /// Names of links in `.wants`, `.requires` and `.upholds` directories, and the names of these.
    pub(crate) wanted: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    /// Those of these links that are masks, as directory and link: systemd ignores them.
    pub(crate) masks: BTreeSet<(Vec<u8>, Vec<u8>)>,
    /// Names of `.conf` files, by the unit whose `.d` directory they are in.
    drop_ins: HashMap<Vec<u8>, Vec<Vec<u8>>>,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    File { empty: bool },
    Link(Vec<u8>),
    Directory,
    Character,
    Other,
}

impl Node {
    fn read(tree: &mut dyn Tree, path: &[u8], stat: &Stat) -> Result<Self, DiskError> {
        Ok(match stat.kind {
            FileKind::File => Self::File { empty: stat.size == 0 },
            FileKind::Symlink => Self::Link(tree.read_link(path)?),
            FileKind::Directory => Self::Directory,
            FileKind::Character => Self::Character,
            _ => Self::Other,
        })
    }
}

/// A unit file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Directory of the search path it is in, or is linked from.
    pub(crate) directory: &'static str,
    /// Path of the file itself, as far as its own links were followed.
    pub(crate) path: Vec<u8>,
    /// What kind of entry it is.
    pub(crate) entry: Entry,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A file with content.
    Regular,
    /// An empty file, or a link to `/dev/null`.
    Masked,
    /// A link to a unit of another name in the search path.
    Alias(String),
}

impl UnitIndex {
    /// Reads the directories.
    ///
    /// # Errors
    /// [`DiskError`] for what is there and cannot be read, and for more entries than any system has.
    pub fn read(tree: &mut dyn Tree) -> Result<Self, DiskError> {
        let mut directories = Vec::new();
        let mut known: HashMap<Vec<u8>, Arc<Content>> = HashMap::new();
        let mut budget = ENTRY_LIMIT;
        for path in SEARCH_PATH {
            if !is_directory(tree, path.as_bytes())? {
                continue;
            }
            let real = tree.canonicalize(path.as_bytes())?;
            let content = match known.get(&real) {
                Some(content) => Arc::clone(content),
                None => Arc::new(Content::read(tree, path.as_bytes(), &mut budget)?),
            };
            known.insert(real, Arc::clone(&content));
            directories.push(Directory { path, content });
        }
        Ok(Self { directories })
    }

    /// The directories there are, first match first.
    pub(crate) fn directories(&self) -> &[Directory] {
        &self.directories
    }

    /// Looks for a unit by its exact name.
    pub(crate) fn find(&self, tree: &mut dyn Tree, name: &str) -> Result<Option<Found>, DiskError> {
        for Directory { path: directory, content } in &self.directories {
            if content.entries.contains_key(name.as_bytes()) {
                // A link that leads nowhere hides what comes after it, and is no unit.
                let path = join(directory.as_bytes(), name.as_bytes());
                let found = self.classify(tree, path, name)?;
                return Ok(found.map(|(path, entry)| Found { directory, path, entry }));
            }
        }
        Ok(None)
    }

    /// Says what the unit file at `path` is; `None` when there is none, or a link that leads nowhere.
    fn classify(
        &self,
        tree: &mut dyn Tree,
        mut path: Vec<u8>,
        name: &str,
    ) -> Result<Option<(Vec<u8>, Entry)>, DiskError> {
        for _ in 0..LINK_LIMIT {
            let Some(node) = self.node(tree, &path)? else { return Ok(None) };
            let target = match node {
                Node::Link(target) => absolute(split(&path).0, &target),
                Node::File { empty: false } => return Ok(Some((path, Entry::Regular))),
                // systemd takes a device for a mask, and nothing else for a unit.
                Node::File { empty: true } | Node::Character => return Ok(Some((path, Entry::Masked))),
                Node::Directory | Node::Other => return Ok(None),
            };
            if target == b"/dev/null" {
                return Ok(Some((path, Entry::Masked)));
            }
            let (directory, base) = split(&target);
            let in_search_path = SEARCH_PATH.iter().any(|known| known.as_bytes() == directory);
            if in_search_path && base != name.as_bytes() {
                if !may_alias(split(&path).1, base) {
                    let problem = format!("points to `{}`, which it cannot be another name of", show(base));
                    return Err(DiskError::WrongKind { path: show(&path), problem });
                }
                return Ok(Some((path, Entry::Alias(String::from_utf8_lossy(base).into_owned()))));
            }
            path = target;
        }
        Err(DiskError::WrongKind { path: show(&path), problem: "is a loop of links".to_owned() })
    }

    /// What is at a path: from the index if it is in a directory of the search path, else from the tree.
    fn node(&self, tree: &mut dyn Tree, path: &[u8]) -> Result<Option<Node>, DiskError> {
        let (directory, name) = split(path);
        match self.directories.iter().find(|known| known.path.as_bytes() == directory) {
            Some(known) => Ok(known.content.entries.get(name).cloned()),
            None => match optional(tree.lstat(path))? {
                Some(stat) => Node::read(tree, path, &stat).map(Some),
                None => Ok(None),
            },
        }
    }

    /// The drop-ins in the `.d` directories of some names, sorted by file name: one in a directory that comes
    /// first hides one of the same name.
    pub(crate) fn drop_ins<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<Vec<u8>> {
        let mut found: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
        for name in names {
            for Directory { path, content } in &self.directories {
                for file in content.drop_ins.get(name.as_bytes()).into_iter().flatten() {
                    found.entry(file).or_insert_with(|| join(format!("{path}/{name}.d").as_bytes(), file));
                }
            }
        }
        found.into_values().collect()
    }

    /// The units in whose directories of one kind (`.wants`) a name is linked, sorted.
    pub(crate) fn users_of(&self, name: &str, kind: &str) -> Vec<String> {
        let directories =
            self.directories.iter().filter_map(|known| known.content.wanted.get(name.as_bytes()));
        let mut users: Vec<String> = directories
            .flatten()
            .filter_map(|directory| directory.strip_suffix(kind.as_bytes()))
            .map(|user| String::from_utf8_lossy(user).into_owned())
            .collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// The instances of a template that something is linked to start, sorted.
    pub(crate) fn instances_of(&self, template: &str) -> Vec<String> {
        let mut instances: Vec<String> = self
            .directories
            .iter()
            .flat_map(|known| known.content.wanted_instances(template))
            .map(|(name, _)| name)
            .collect();
        instances.sort_unstable();
        instances.dedup();
        instances
    }
}

impl Content {
    fn read(tree: &mut dyn Tree, path: &[u8], budget: &mut usize) -> Result<Self, DiskError> {
        let mut content = Self::default();
        for name in spend(names(tree, path)?, path, budget)? {
            let at = join(path, &name);
            let Some(stat) = optional(tree.lstat(&at))? else { continue };
            let node = Node::read(tree, &at, &stat)?;
            match &node {
                Node::Link(target) => {
                    let target = base_name(target).to_vec();
                    content.by_target.entry(target).or_default().push(name.clone());
                }
                // systemd follows no link to such a directory.
                Node::Directory if is_wants(&name) => content.read_wants(tree, &at, &name, budget)?,
                _ => {}
            }
            let unit = name.strip_suffix(b".d").filter(|_| matches!(node, Node::Directory | Node::Link(_)));
            if let Some(unit) = unit {
                let files = spend(names(tree, &at)?, &at, budget)?;
                let files = files.into_iter().filter(|file| file.ends_with(b".conf")).collect();
                content.drop_ins.insert(unit.to_vec(), files);
            }
            content.entries.insert(name, node);
        }
        Ok(content)
    }

    fn read_wants(
        &mut self,
        tree: &mut dyn Tree,
        path: &[u8],
        directory: &[u8],
        budget: &mut usize,
    ) -> Result<(), DiskError> {
        for link in spend(names(tree, path)?, path, budget)? {
            let at = join(path, &link);
            if optional(tree.lstat(&at))?.is_some_and(|stat| stat.kind == FileKind::Symlink) {
                if tree.read_link(&at)? == b"/dev/null" {
                    self.masks.insert((directory.to_vec(), link.clone()));
                }
                self.wanted.entry(link).or_default().push(directory.to_vec());
            }
        }
        Ok(())
    }

    /// The instances of a template among the links that start units.
    pub(crate) fn wanted_instances(&self, template: &str) -> impl Iterator<Item = (String, &Vec<Vec<u8>>)> {
        let prefix = template.split_once('@').map_or_else(String::new, |(prefix, _)| format!("{prefix}@"));
        let start = prefix.clone().into_bytes();
        self.wanted
            .range(start..)
            .take_while(move |(link, _)| link.starts_with(prefix.as_bytes()))
            .map(|(link, users)| (String::from_utf8_lossy(link).into_owned(), users))
            .filter(move |(link, _)| instance(link).is_some_and(|(of, _)| of == template))
    }
}

fn is_wants(name: &[u8]) -> bool {
    WANTS.iter().any(|end| name.ends_with(end.as_bytes()))
}

/// Takes the entries of a directory from what may be read in all.
fn spend(names: Vec<Vec<u8>>, path: &[u8], budget: &mut usize) -> Result<Vec<Vec<u8>>, DiskError> {
    *budget = budget.checked_sub(names.len()).ok_or_else(|| too_much(path))?;
    Ok(names)
}
