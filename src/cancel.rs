//! Cancellation: one flag for the whole process, and what to do the moment it is raised.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::error::{Diagnose, Exit};

type Action = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Shared {
    raised: AtomicBool,
    /// Held while the flag is raised, and while it cannot be; `true` once the work is done and it never will be.
    done: Mutex<bool>,
    next: AtomicU64,
    actions: Mutex<Vec<(u64, Action)>>,
    /// What raises this flag with its parent's. Dropped with the last handle to this flag.
    parent: OnceLock<OnRaise>,
}

/// A cloneable flag that long work looks at, with actions (such as killing a child process) that run at
/// once when it is raised.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Shared>);

/// The user interrupted the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Cancelled;

impl Diagnose for Cancelled {
    fn exit(&self) -> Exit {
        Exit::Interrupted
    }
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cancel").field("raised", &self.is_raised()).finish_non_exhaustive()
    }
}

impl Cancel {
    /// Creates a flag that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag that is raised when this one is. Raising the child leaves this one alone.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::new();
        // Weak, so that a child that nobody holds any more is forgotten here, too.
        let raised: Weak<Shared> = Arc::downgrade(&child.0);
        let forward = self.on_raise(move || {
            if let Some(shared) = raised.upgrade() {
                Self(shared).raise();
            }
        });
        let _ = child.0.parent.set(forward);
        child
    }

    /// Raises the flag and runs the registered actions, on the calling thread. Later calls do nothing. While the
    /// flag is [held](Self::hold) this waits; if the work was done then, it does nothing.
    pub fn raise(&self) {
        {
            let done = self.done();
            if *done || self.0.raised.swap(true, Ordering::SeqCst) {
                return;
            }
        }
        let actions = std::mem::take(&mut *self.lock());
        for (_, action) in actions {
            action();
        }
    }

    /// Says whether the flag has been raised.
    pub fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::SeqCst)
    }

    /// Returns an error once the flag has been raised.
    ///
    /// # Errors
    /// [`Cancelled`].
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_raised() { Err(Cancelled) } else { Ok(()) }
    }

    /// Keeps the flag from being raised while the result lives, for work that must not be interrupted half-way.
    ///
    /// # Errors
    /// [`Cancelled`], if it has been raised.
    pub fn hold(&self) -> Result<Hold<'_>, Cancelled> {
        let done = self.done();
        self.check()?;
        Ok(Hold(done))
    }

    /// Runs `action` when the flag is raised, or now if it already has been. Dropping the guard forgets it.
    #[must_use = "dropping the guard forgets the action"]
    pub fn on_raise(&self, action: impl FnOnce() + Send + 'static) -> OnRaise {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let mut actions = self.lock();
        if self.is_raised() {
            drop(actions);
            action();
        } else {
            actions.push((id, Box::new(action)));
        }
        OnRaise { cancel: self.clone(), id }
    }

    fn done(&self) -> MutexGuard<'_, bool> {
        self.0.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, Action)>> {
        self.0.actions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the flag of [`Cancel::hold`] from being raised.
#[derive(Debug)]
pub struct Hold<'a>(MutexGuard<'a, bool>);

impl Hold<'_> {
    /// The work is done: there is nothing left that could be interrupted, and the flag is never raised any more.
    pub fn keep(mut self) {
        *self.0 = true;
    }
}

/// Keeps an action registered with [`Cancel::on_raise`].
#[derive(Debug)]
pub struct OnRaise {
    cancel: Cancel,
    id: u64,
}

impl Drop for OnRaise {
    fn drop(&mut self) {
        self.cancel.lock().retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_raised_with_its_parent_and_not_the_other_way_round() {
        let parent = Cancel::new();
        let (one, other) = (parent.child(), parent.child());
        one.raise();
        assert!(one.is_raised() && !parent.is_raised() && !other.is_raised());
        let grandchild = other.child();
        parent.raise();
        assert!(other.is_raised() && grandchild.is_raised());
        assert!(parent.child().is_raised(), "one that comes too late");
    }

    #[test]
    fn a_child_that_is_gone_is_forgotten() {
        let parent = Cancel::new();
        drop(parent.child());
        assert!(parent.lock().is_empty());
    }

    #[test]
    fn actions_run_once_and_only_while_registered() {
        let cancel = Cancel::new();
        let count = Arc::new(AtomicU64::new(0));
        let add = |count: &Arc<AtomicU64>| {
            let count = Arc::clone(count);
            move || {
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        let kept = cancel.on_raise(add(&count));
        drop(cancel.on_raise(add(&count)));
        assert_eq!(cancel.check(), Ok(()));
        cancel.raise();
        cancel.raise();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert_eq!(cancel.check(), Err(Cancelled));
        drop(kept);
        let late = cancel.on_raise(add(&count));
        assert_eq!(count.load(Ordering::SeqCst), 2, "registered after the flag was raised: runs at once");
        drop(late);
    }

    #[test]
    fn what_is_held_cannot_be_interrupted_and_what_is_done_never_can() {
        let cancel = Cancel::new();
        let hold = cancel.hold().unwrap();
        let raising = {
            let cancel = cancel.clone();
            std::thread::spawn(move || cancel.raise())
        };
        assert_eq!(cancel.check(), Ok(()));
        drop(hold);
        raising.join().unwrap();
        assert_eq!(cancel.check(), Err(Cancelled));
        assert_eq!(cancel.hold().unwrap_err(), Cancelled);

        let cancel = Cancel::new();
        cancel.hold().unwrap().keep();
        cancel.raise();
        assert_eq!(cancel.check(), Ok(()));
    }
}
