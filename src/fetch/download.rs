//! A download as a whole: from the request to a verified file.

use std::path::Path;

use super::client::Client;
use super::follow::Digests;
use super::place::Place;
use super::store::Store;
use super::{Downloaded, FetchError, Request, Retrieved, transfer};

/// See [`Fetcher::download`](super::Fetcher::download).
pub(crate) fn download(
    client: &Client,
    request: &Request<'_>,
    place: &Path,
) -> Result<Downloaded, FetchError> {
    let place = Place::open(place)?;
    let (mut bytes, mut again) = (0, false);
    loop {
        let store = Store::open(request, &place, &client.control)?;
        let (mut store, result) = transfer::run(client, request, store);
        bytes += store.received;
        let resumed = store.resumed;
        let from = store.from.clone();
        // However it ended, the next run is to know how far it came.
        let result = result.and(store.save()).and_then(|()| {
            let digests = store.finish()?;
            verify(request, from.as_ref(), &digests)?;
            Ok(digests)
        });
        match result {
            Ok(Digests { served: transferred, content: sha256 }) => {
                let path = publish(request, &place)?;
                let from = from.expect("what is complete has come from somewhere");
                return Ok(Downloaded { path, sha256, transferred, bytes, from });
            }
            Err(error) if error.is_content() => {
                place.clear()?;
                // A power failure may have torn what was resumed from, or two servers have different files.
                if again || !resumed {
                    return Err(error);
                }
                client
                    .control
                    .events
                    .warning(format!("{error}; starting over, since the transfer had been resumed"));
                again = true;
            }
            Err(error) => return Err(error),
        }
    }
}

fn verify(request: &Request<'_>, from: Option<&Retrieved>, digests: &Digests) -> Result<(), FetchError> {
    match request.expected {
        Some(expected) if digests.served != *expected => Err(FetchError::WrongDigest {
            what: request.what.to_owned(),
            url: from.map_or_else(String::new, |from| from.asked().to_owned()),
            expected: Box::new(*expected),
            found: Box::new(digests.served),
        }),
        _ => Ok(()),
    }
}

/// Gives the verified file its name. All bytes are on the disk already.
fn publish(request: &Request<'_>, place: &Place) -> Result<std::path::PathBuf, FetchError> {
    let disk = place.disk();
    if request.compression.is_none() {
        fs_err::rename(place.data(), &disk).map_err(FetchError::io("create", &disk))?;
    }
    place.sync()?;
    Ok(disk)
}
