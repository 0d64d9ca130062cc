//! What answers and watches while the machine runs: the metadata service and the view of the broker, on one thread.

use std::path::Path;
use std::thread::JoinHandle;

use tokio::net::UnixListener;
use tokio::sync::oneshot;

use super::BootError;
use super::broker::{self, BrokerState, Shared, Wanted};
use super::leases::{self, LeaseState, SharedLeases};
use super::machine::{LEASES_SOCKET, METADATA_SOCKET, short};
use super::metadata::{self, Requests};

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    seen: Shared,
    requests: Option<Requests>,
    leases: SharedLeases,
}

impl Background {
    pub(crate) fn start(
        directory: &Path,
        files: Vec<(&'static str, String)>,
        serve: bool,
        lease: bool,
        wanted: Option<Wanted>,
    ) -> Result<Self, BootError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(BootError::prepare)?;
        let requests = serve.then(Requests::default);
        let listen = |name: &str| -> Result<UnixListener, BootError> {
            let handle = fs_err::File::open(directory).map_err(BootError::prepare)?;
            // An earlier instance of the same boot may have left its own.
            remove(&directory.join(name))?;
            let _inside = runtime.enter();
            UnixListener::bind(short(&handle, name)).map_err(BootError::prepare)
        };
        let listener = serve.then(|| listen(METADATA_SOCKET)).transpose()?;
        let lessor = lease.then(|| listen(LEASES_SOCKET)).transpose()?;
        let (stop, stopped) = oneshot::channel();
        let seen = Shared::default();
        let leases = SharedLeases::default();
        let (shared, asked, leased) = (seen.clone(), requests.clone(), leases.clone());
        let thread = std::thread::Builder::new()
            .name("boot".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    if let Some((listener, asked)) = listener.zip(asked) {
                        tokio::spawn(metadata::serve(listener, files, asked));
                    }
                    if let Some(lessor) = lessor {
                        tokio::spawn(leases::serve(lessor, leased));
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
        Ok(Self { stop: Some(stop), thread: Some(thread), seen, requests, leases })
    }

    pub(crate) fn broker(&self) -> BrokerState {
        self.seen.get()
    }

    pub(crate) fn leases(&self) -> LeaseState {
        self.leases.get()
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
