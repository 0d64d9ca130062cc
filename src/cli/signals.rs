//! Ctrl-C and SIGTERM raise the cancel flag; the work then ends by itself, soon. While files get their names, raising
//! the flag waits: no signal ends the process in between.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::cancel::Cancel;
use crate::error::Exit;

/// How long the work may take to clean up before the process ends regardless. What is left behind then is
/// removed by the next start.
const GRACE: Duration = Duration::from_millis(4500);

/// Watches for signals on a thread of its own, for as long as the process lives. From the return of this on, signals
/// are watched.
pub(super) fn watch(cancel: &Cancel) {
    let cancel = cancel.clone();
    let (watched, watching) = std::sync::mpsc::channel::<()>();
    let watcher = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return;
        };
        runtime.block_on(async {
            // A limit on the size of files is an error of the write then (EFBIG), and does not end the process.
            let _limit = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            drop(watched);
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            cancel.raise();
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = tokio::time::sleep(GRACE) => {}
            }
            // The flag is not raised any more once the image is there: then that is what the code says.
            let exit = if cancel.is_raised() { Exit::Interrupted } else { Exit::Done };
            #[expect(clippy::exit, reason = "the work did not end by itself")]
            std::process::exit(exit as i32);
        });
    };
    // Without the thread Ctrl-C ends the process at once, as it does by default.
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(watcher);
    // Ends when the thread says so, and also when there is none.
    let _ = watching.recv();
}
