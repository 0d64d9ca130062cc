//! Checks over the whole tree, which is walked once for all of them.

use super::{Found, Image, listed, once, resolve::dead_end, show, unusable};
use crate::disk::{FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::{join, matches, optional, walk};

/// The most bytes of paths that are kept; real images need a few hundred KiB.
const PATHS_LIMIT: usize = 32 << 20;

/// What a walk found that some check may ask for.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// World-writable files and directories, with their modes; not sticky directories, in which only the owner of a
    /// file can replace it.
    writable: Vec<(Vec<u8>, u32)>,
    /// Set-uid and set-gid files, with their modes.
    set_id: Vec<(Vec<u8>, u32)>,
    links: Vec<Vec<u8>>,
}

impl Survey {
    fn of(tree: &mut dyn Tree) -> Result<Self, ReadError> {
        let mut survey = Self::default();
        let mut kept = 0;
        walk(tree, b"/", &mut |path, stat| {
            let mut keep = |list: &mut Vec<(Vec<u8>, u32)>| {
                kept += path.len();
                if kept <= PATHS_LIMIT {
                    list.push((path.to_vec(), stat.mode));
                }
            };
            match stat.kind {
                FileKind::Symlink => {
                    kept += path.len();
                    if kept <= PATHS_LIMIT {
                        survey.links.push(path.to_vec());
                    }
                }
                FileKind::File | FileKind::Directory => {
                    if stat.kind == FileKind::File && stat.mode & 0o6000 != 0 {
                        keep(&mut survey.set_id);
                    }
                    let sticky = stat.kind == FileKind::Directory && stat.mode & 0o1000 != 0;
                    if stat.mode & 0o002 != 0 && !sticky {
                        keep(&mut survey.writable);
                    }
                }
                _ => {}
            }
        })?;
        if kept > PATHS_LIMIT {
            let reason = "it has too many links, or files that everybody may change".to_owned();
            return Err(ReadError::Unsupported { what: "the whole tree", reason });
        }
        Ok(survey)
    }
}

impl Image<'_> {
    fn survey(&mut self) -> Result<&Survey, ReadError> {
        once(&mut self.survey, self.tree, "the whole tree", Survey::of)
    }

    pub(super) fn world_writable(&mut self, below: &[String], except: &[String]) -> Found {
        let (below, except) = (directories(self.tree, below)?, Patterns::new(self.tree, except)?);
        let found =
            self.survey()?.writable.iter().filter(|(path, _)| in_any(path, &below) && !except.covers(path));
        Ok(listed(&found.map(with_mode).collect::<Vec<_>>()))
    }

    pub(super) fn setuid(&mut self, allow: &[String]) -> Found {
        let allow = Patterns::new(self.tree, allow)?;
        let found = self.survey()?.set_id.iter().filter(|(path, _)| !allow.covers(path));
        Ok(listed(&found.map(with_mode).collect::<Vec<_>>()))
    }

    pub(super) fn links(&mut self, below: &[String], except: &[String]) -> Found {
        let (below, except) = (directories(self.tree, below)?, Patterns::new(self.tree, except)?);
        let links = self.survey()?.links.iter().filter(|path| in_any(path, &below) && !except.covers(path));
        let links: Vec<_> = links.cloned().collect();
        let mut wrong = Vec::new();
        for path in links {
            if let Some(reason) = dead_end(self.tree, &path)? {
                wrong.push(format!("{} -> {} ({reason})", show(&path), show(&self.tree.read_link(&path)?)));
            }
        }
        Ok(listed(&wrong))
    }
}

fn with_mode((path, mode): &(Vec<u8>, u32)) -> String {
    format!("{} ({mode:04o})", show(path))
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    directory == b"/" || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

fn in_any(path: &[u8], directories: &[Vec<u8>]) -> bool {
    directories.iter().any(|directory| is_below(path, directory))
}

/// The directories without links on the way to them: a walk sees only such paths.
fn directories(tree: &mut dyn Tree, below: &[String]) -> Result<Vec<Vec<u8>>, ReadError> {
    let mut found = Vec::new();
    for directory in below {
        let path = tree.canonicalize(directory.as_bytes())?;
        if tree.lstat(&path)?.kind != FileKind::Directory {
            return Err(unusable(format!("`{directory}` is not a directory")));
        }
        found.push(path);
    }
    Ok(found)
}

/// Patterns of paths: `*` and `?` match within one part, `**` at the end everything below.
struct Patterns(Vec<Vec<Vec<u8>>>);

impl Patterns {
    /// What comes before the first wildcard is freed of links, so that `/bin/su` means `/usr/bin/su` where it is.
    fn new(tree: &mut dyn Tree, patterns: &[String]) -> Result<Self, ReadError> {
        let mut all = Vec::new();
        for pattern in patterns {
            let parts: Vec<_> =
                pattern.as_bytes().split(|&b| b == b'/').filter(|part| !part.is_empty()).collect();
            let plain = |part: &&&[u8]| !part.contains(&b'*') && !part.contains(&b'?');
            // The last part is what is meant itself, even if it is a link.
            let fixed = parts.iter().take_while(plain).count().min(parts.len().saturating_sub(1));
            let directory = parts[..fixed].iter().fold(b"/".to_vec(), |path, part| join(&path, part));
            let directory = optional(tree.canonicalize(&directory))?.unwrap_or(directory);
            let fixed_parts = directory.split(|&b| b == b'/').filter(|part| !part.is_empty());
            all.push(fixed_parts.chain(parts[fixed..].iter().copied()).map(<[u8]>::to_vec).collect());
        }
        Ok(Self(all))
    }

    fn covers(&self, path: &[u8]) -> bool {
        let parts: Vec<_> = path.split(|&b| b == b'/').filter(|part| !part.is_empty()).collect();
        self.0.iter().any(|pattern| match pattern.split_last() {
            Some((last, start)) if last == b"**" => parts.len() > start.len() && all_match(start, &parts),
            _ => parts.len() == pattern.len() && all_match(pattern, &parts),
        })
    }
}

fn all_match(pattern: &[Vec<u8>], parts: &[&[u8]]) -> bool {
    pattern.iter().zip(parts).all(|(pattern, part)| matches(pattern, part))
}
