//! Goes through all directories below one, in several threads where a tree can be forked: most of the time goes into
//! unpacking the clusters that hold directories.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::files::{DEPTH_LIMIT, ENTRY_LIMIT, join, too_much, two_parents};
use crate::disk::{DiskError, FileKind, Stat, Tree};

/// Threads at the most: each has a memory of its own of the disk's last pieces.
const THREADS: usize = 4;

/// A path, and what is there.
pub(crate) struct Found {
    pub(crate) path: Vec<u8>,
    pub(crate) stat: Stat,
}

/// Hands every directory at and below `root` to `visit`, in no particular order, with what is in it in byte order.
/// Links are not followed. Every thread has a value of its own to put its findings into; all of them are returned.
///
/// A directory that is met twice is an error: no real file system has one, and a hostile one would be endless.
pub(crate) fn each_directory<S: Default + Send>(
    tree: &mut dyn Tree,
    root: &[u8],
    visit: impl Fn(&mut S, &Found, &[Found]) + Sync,
) -> Result<Vec<S>, DiskError> {
    let stat = tree.stat(root)?;
    let work = Work {
        state: Mutex::new(State {
            pending: vec![(Found { path: root.to_vec(), stat }, 1)],
            busy: 0,
            met: HashSet::from([(stat.device, stat.inode)]),
            entries: 0,
            error: None,
        }),
        changed: Condvar::new(),
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let mut found = with_forks(tree, threads, &work, &visit);
    if found.is_empty() {
        found.push(work.join_in(tree, &visit));
    }
    match work.state.into_inner().unwrap_or_else(PoisonError::into_inner).error {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

/// Does all the work in threads; none, and nothing is found, where one thread has to do.
fn with_forks<S: Default + Send>(
    tree: &dyn Tree,
    threads: usize,
    work: &Work,
    visit: &(impl Fn(&mut S, &Found, &[Found]) + Sync),
) -> Vec<S> {
    if threads < 2 {
        return Vec::new();
    }
    let forks: Vec<_> = (0..threads).map_while(|_| tree.fork()).collect();
    thread::scope(|scope| {
        let threads: Vec<_> =
            forks.into_iter().map(|mut tree| scope.spawn(move || work.join_in(&mut *tree, visit))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// What threads have to do together.
struct Work {
    state: Mutex<State>,
    /// There is more to do, or nothing any more.
    changed: Condvar,
}

struct State {
    /// Directories to look at, each with its depth below the root's parent.
    pending: Vec<(Found, usize)>,
    /// Threads that look at one.
    busy: usize,
    met: HashSet<(u64, u64)>,
    entries: usize,
    /// The first that went wrong: nobody goes on.
    error: Option<DiskError>,
}

impl Work {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at directories until there are no more.
    fn join_in<S: Default>(&self, tree: &mut dyn Tree, visit: &impl Fn(&mut S, &Found, &[Found])) -> S {
        let mut found = S::default();
        while let Some((directory, depth, turn)) = self.next() {
            match children(tree, &directory.path) {
                Ok(children) => {
                    visit(&mut found, &directory, &children);
                    turn.add(children, depth);
                }
                Err(error) => turn.fail(error),
            }
        }
        found
    }

    /// The next directory; waits while others may still find some.
    fn next(&self) -> Option<(Found, usize, Turn<'_>)> {
        let mut state = self.state();
        loop {
            if state.error.is_some() {
                return None;
            }
            if let Some((directory, depth)) = state.pending.pop() {
                state.busy += 1;
                return Some((directory, depth, Turn(self)));
            }
            if state.busy == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A thread that is busy. Dropped, even in a panic, it no longer is: the others must not wait for it.
struct Turn<'a>(&'a Work);

impl Turn<'_> {
    fn add(&self, children: Vec<Found>, depth: usize) {
        let mut state = self.0.state();
        state.entries += children.len();
        // Taken from the end: neighbours, in their order, often lie beside each other.
        for found in children.into_iter().filter(|found| found.stat.kind == FileKind::Directory).rev() {
            if !state.met.insert((found.stat.device, found.stat.inode)) {
                state.error.get_or_insert_with(|| two_parents(&found.path));
            }
            if state.entries > ENTRY_LIMIT || depth > DEPTH_LIMIT {
                state.error.get_or_insert_with(|| too_much(&found.path));
            }
            state.pending.push((found, depth + 1));
        }
    }

    fn fail(&self, error: DiskError) {
        self.0.state().error.get_or_insert(error);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state().busy -= 1;
        self.0.changed.notify_all();
    }
}

/// What is in a directory, in byte order.
fn children(tree: &mut dyn Tree, directory: &[u8]) -> Result<Vec<Found>, DiskError> {
    let mut names = tree.read_dir(directory)?;
    names.sort_unstable();
    names
        .iter()
        .map(|name| {
            let path = join(directory, name);
            let stat = tree.lstat(&path)?;
            Ok(Found { path, stat })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::files::show;
    use super::super::testing::MemTree;
    use super::*;

    fn all(mut tree: MemTree, root: &str) -> Result<Vec<String>, DiskError> {
        let found =
            each_directory(&mut tree, root.as_bytes(), |found: &mut Vec<String>, directory, inside| {
                let names = inside.iter().map(|found| show(&found.path)).collect::<Vec<_>>();
                found.push(format!("{}: {}", show(&directory.path), names.join(" ")));
            })?;
        let mut all: Vec<String> = found.into_iter().flatten().collect();
        all.sort_unstable();
        Ok(all)
    }

    #[test]
    fn one_thread_or_several_find_the_same() {
        let mut tree = MemTree::new().link("/a/link", "/b").file("/a/file", "");
        let mut expected = vec![];
        for number in 100..300 {
            tree = tree.dir(&format!("/a/{number}/x"));
            expected.push(format!("/a/{number}: /a/{number}/x"));
            expected.push(format!("/a/{number}/x: "));
        }
        let found = all(tree.clone(), "/a").unwrap();
        assert!(found.contains(&format!(
            "/a: {} /a/file /a/link",
            (100..300).map(|number| format!("/a/{number}")).collect::<Vec<_>>().join(" ")
        )));
        assert_eq!(found.len(), 401);
        assert!(expected.iter().all(|line| found.contains(line)));
        assert_eq!(all(tree.clone().single(), "/a").unwrap(), found);
        assert_eq!(all(MemTree::new(), "/").unwrap(), ["/: "]);
        assert!(matches!(all(tree.clone(), "/nothing"), Err(DiskError::NotFound(_))));
        assert!(matches!(all(tree.broken("/a/200/x"), "/"), Err(DiskError::Damaged(_))));
    }

    #[test]
    fn an_endless_tree_ends() {
        let tree = MemTree::new().dir("/a/b/c").hard_link("/a", "/a/b/c");
        let error = all(tree, "/").unwrap_err().to_string();
        assert!(error.contains("`/a/b/c` is a directory with two parents"), "{error}");
        let tree = MemTree::new().dir(&"/d".repeat(DEPTH_LIMIT + 1));
        assert!(all(tree.clone(), "/").unwrap_err().to_string().contains("too deeply nested"));
        assert_eq!(all(tree, "/d").unwrap().len(), DEPTH_LIMIT + 1);
    }

    #[test]
    fn a_panic_does_not_leave_the_others_waiting() {
        let mut tree = MemTree::new().dir("/a").dir("/b");
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            each_directory(&mut tree, b"/", |_: &mut (), directory, _| assert_ne!(directory.path, b"/a"))
        }));
        assert!(result.is_err());
    }
}
