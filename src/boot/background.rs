//! What answers and watches while the machine runs: the metadata service and the view of the broker, on one thread.

use std::path::Path;
use std::thread::JoinHandle;

use tokio::net::UnixListener;
use tokio::sync::oneshot;

use super::BootError;
use super::broker::{self, BrokerState, Shared, Wanted};
use super::machine::{METADATA_SOCKET, short};
use super::metadata::{self, Requests};

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    seen: Shared,
    requests: Option<Requests>,
}

impl Background {
    pub(crate) fn start(
        directory: &Path,
        files: Vec<(&'static str, String)>,
        serve: bool,
        wanted: Option<Wanted>,
    ) -> Result<Self, BootError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(BootError::prepare)?;
        let requests = serve.then(Requests::default);
        let listener = match serve {
            true => {
                let handle = fs_err::File::open(directory).map_err(BootError::prepare)?;
                // An earlier instance of the same boot may have left its own.
                remove(&directory.join(METADATA_SOCKET))?;
                let _inside = runtime.enter();
                Some(UnixListener::bind(short(&handle, METADATA_SOCKET)).map_err(BootError::prepare)?)
            }
            false => None,
        };
        let (stop, stopped) = oneshot::channel();
        let seen = Shared::default();
        let (shared, asked) = (seen.clone(), requests.clone());
        let thread = std::thread::Builder::new()
            .name("boot".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    if let Some((listener, asked)) = listener.zip(asked) {
                        tokio::spawn(metadata::serve(listener, files, asked));
                    }
                    if let Some(wanted) = wanted {
                        tokio::spawn(broker::watch(wanted, shared));
                    }
                    // An error means that the other end is gone.
                    let _ = stopped.await;
                });
                runtime.shutdown_background();
            })
            .map_err(BootError::prepare)?;
        Ok(Self { stop: Some(stop), thread: Some(thread), seen, requests })
    }

    pub(crate) fn broker(&self) -> BrokerState {
        self.seen.get()
    }

    pub(crate) fn requests(&self) -> Option<Vec<String>> {
        self.requests.as_ref().map(Requests::lines)
    }
}

/// Removes what may not be there.
pub(crate) fn remove(path: &Path) -> Result<(), BootError> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(BootError::prepare(error)),
        _ => Ok(()),
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
