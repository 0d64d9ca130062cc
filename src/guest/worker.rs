//! The thread that owns the libguestfs handle, and how to end what it is doing.
//!
//! libguestfs' error handler is thread-local and its handle is not `Send`, so every call of a session happens on
//! one thread of its own. A call cannot be interrupted from within libguestfs (transfers excepted): ending qemu
//! is what makes it return.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use guestfs::Handle;

use super::console::Console;
use super::ffi::{self, CallError, Canceller, Listening};
use super::process;

type Job = Box<dyn FnOnce(&Handle) + Send>;

/// How long the appliance's processes are looked for and killed once the work is to end. Covers the gap between
/// supermin and qemu during launch, when there may be nothing to kill for a moment.
const KILL_FOR: Duration = Duration::from_secs(10);
const KILL_EVERY: Duration = Duration::from_millis(50);

/// Why no result came back.
#[derive(Debug)]
pub(super) enum Lost {
    /// The time given was over; qemu has been ended.
    Timeout,
    /// The thread is gone.
    Worker,
}

/// A thread that owns a handle.
#[derive(Debug)]
pub(super) struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
    terminator: Terminator,
}

/// Ends the appliance from any thread.
#[derive(Debug, Clone)]
pub(super) struct Terminator(Arc<Mutex<Target>>);

#[derive(Debug)]
struct Target {
    tag: String,
    canceller: Option<Canceller>,
    /// The handle is closed: nothing of it is left.
    closed: bool,
    /// Somebody is killing already.
    killing: bool,
}

impl Terminator {
    fn new(tag: &str) -> Self {
        Self(Arc::new(Mutex::new(Target {
            tag: tag.to_owned(),
            canceller: None,
            closed: false,
            killing: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Target> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends qemu, now and for as long as the handle is open. Returns at once.
    pub(super) fn terminate(&self) {
        let tag = {
            let mut target = self.lock();
            if target.closed || std::mem::replace(&mut target.killing, true) {
                return;
            }
            if let Some(canceller) = &target.canceller {
                canceller.cancel();
            }
            target.tag.clone()
        };
        process::kill_appliance(&tag);
        let again = self.clone();
        std::thread::spawn(move || {
            let started = std::time::Instant::now();
            while started.elapsed() < KILL_FOR && !again.lock().closed {
                process::kill_appliance(&tag);
                std::thread::sleep(KILL_EVERY);
            }
        });
    }
}

impl Worker {
    /// Starts the thread and makes a handle whose notices go to `console`. `tag` must stand in the command line of
    /// the handle's qemu, and in no other's.
    pub(super) fn start(console: &Console, tag: &str) -> Result<Self, CallError> {
        let (jobs, queue) = channel::<Job>();
        let (ready, opened) = channel();
        let terminator = Terminator::new(tag);
        let thread = {
            let (console, terminator) = (console.clone(), terminator.clone());
            std::thread::Builder::new()
                .name("libguestfs".to_owned())
                .spawn(move || own_handle(&console, &terminator, &ready, &queue))
                .map_err(|error| CallError {
                    message: format!("cannot start a thread: {error}"),
                    errno: error.raw_os_error().unwrap_or(0),
                })?
        };
        let worker = Self { jobs: Some(jobs), thread: Some(thread), terminator };
        let lost = || CallError { message: "the thread that makes the calls ended".to_owned(), errno: 0 };
        opened.recv().map_err(|_| lost())??;
        Ok(worker)
    }

    pub(super) fn terminator(&self) -> &Terminator {
        &self.terminator
    }

    /// Runs `work` on the thread and waits for it, `timeout` at the most.
    pub(super) fn call<T: Send + 'static>(
        &self,
        timeout: Option<Duration>,
        work: impl FnOnce(&Handle) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (sender, receiver) = channel();
        let job: Job = Box::new(move |handle| {
            // Whoever asked has gone away only if it panicked.
            let _ = sender.send(work(handle));
        });
        self.jobs.as_ref().ok_or(Lost::Worker)?.send(job).map_err(|_| Lost::Worker)?;
        let Some(timeout) = timeout else { return receiver.recv().map_err(|_| Lost::Worker) };
        match receiver.recv_timeout(timeout) {
            Ok(result) => Ok(result),
            Err(RecvTimeoutError::Disconnected) => Err(Lost::Worker),
            Err(RecvTimeoutError::Timeout) => {
                self.terminator.terminate();
                // The call returns now that qemu is gone; its result no longer matters.
                let _ = receiver.recv();
                Err(Lost::Timeout)
            }
        }
    }
}

impl Drop for Worker {
    /// Ends the appliance without waiting for what it may be writing, and closes the handle.
    fn drop(&mut self) {
        self.terminator.terminate();
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic on the thread has been noticed as a lost call.
            let _ = thread.join();
        }
    }
}

fn own_handle(
    console: &Console,
    terminator: &Terminator,
    ready: &Sender<Result<(), CallError>>,
    queue: &Receiver<Job>,
) {
    // Closes before it says so, also when a job panics.
    struct Closed<'a>(&'a Terminator);
    impl Drop for Closed<'_> {
        fn drop(&mut self) {
            self.0.lock().closed = true;
        }
    }
    let _closed = Closed(terminator);
    let listener = {
        let console = console.clone();
        Box::new(move |notice: ffi::Notice<'_>| console.notice(notice))
    };
    // Without the flag libguestfs would close the handle from `exit`, under a running call.
    let flags = guestfs::CreateFlags::new().create_no_close_on_exit_flag(true);
    let listening = Handle::create_flags(flags)
        .map_err(|_| CallError { message: "libguestfs gave no handle".to_owned(), errno: 0 })
        .and_then(|handle| {
            ffi::silence(&handle);
            Listening::new(handle, listener)
        });
    let listening = match listening {
        Ok(listening) => listening,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    // Forgets the canceller before the handle is closed, also when a job panics.
    struct Forget<'a>(&'a Terminator);
    impl Drop for Forget<'_> {
        fn drop(&mut self) {
            self.0.lock().canceller = None;
        }
    }
    let _forget = Forget(terminator);
    terminator.lock().canceller = Some(Canceller::new(listening.handle()));
    if ready.send(Ok(())).is_ok() {
        for job in queue {
            job(listening.handle());
        }
    }
}
