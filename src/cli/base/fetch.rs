//! `tib base fetch`

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use crate::base;
use crate::base::{BaseRequest, BaseSpec};
use crate::cache::{Base, Cache, Origin};
use crate::clock;
use crate::digest::Digest;
use crate::distro::Arch;
use crate::error::{Exit, Result};
use crate::size::Size;

use super::super::args::BaseFetchArgs;
use super::super::{Context, put, put_json};
use super::{Failed, open_cache, open_catalogue};

/// Images that are fetched at the same time; each has up to four connections of its own.
const AT_ONCE: usize = 3;

/// An image that is in the cache now.
#[derive(Debug, Serialize)]
struct Fetched {
    what: String,
    digest: Digest,
    virtual_size: u64,
    path: std::path::PathBuf,
    origin: Origin,
}

#[derive(Debug, Serialize)]
struct Outcome {
    fetched: Vec<Fetched>,
    failed: Vec<Failed>,
}

pub(super) fn run(args: BaseFetchArgs, context: &Context) -> Result<Exit> {
    let BaseFetchArgs { ids, all_current, refresh, arch, key, checksum, offline, insecure_skip_verify, json } =
        args;
    let arch = arch.or_else(Arch::host).unwrap_or(Arch::X86_64);
    let specs = if all_current { current(context, arch)? } else { ids };
    let requests: Vec<BaseRequest> = specs
        .into_iter()
        .map(|spec| BaseRequest {
            checksum,
            arch,
            offline,
            refresh,
            skip_verify: insecure_skip_verify,
            key_files: key.clone(),
            catalogue_dirs: context.settings.catalogue_dirs.clone(),
            ..BaseRequest::new(spec)
        })
        .collect();
    let cache = open_cache(context)?;
    let mut results = Vec::new();
    // One that failed is told of below; the stage is finished if none did.
    let _ = context.control.events.stage("fetch", "images", || {
        results = all(&requests, &cache, context);
        if results.iter().all(Result::is_ok) { Ok(()) } else { Err(()) }
    });
    context.control.cancel.check()?;
    context.printer.finish();

    let mut outcome = Outcome { fetched: Vec::new(), failed: Vec::new() };
    let mut exit = Exit::Done;
    for (request, result) in requests.iter().zip(results) {
        let what = request.spec.to_string();
        match result {
            Ok(base) => outcome.fetched.push(fetched(what, base)),
            Err(failure) => {
                if exit == Exit::Done {
                    exit = failure.exit();
                }
                context.printer.failure(&failure);
                outcome.failed.push(Failed::new(what, &failure));
            }
        }
    }
    if json {
        put_json(&outcome)?;
    } else {
        put(&outcome.fetched.iter().map(line).collect())?;
    }
    Ok(exit)
}

/// Every image of the catalogue that its maker still looks after and that can be fetched.
fn current(context: &Context, arch: Arch) -> Result<Vec<BaseSpec>> {
    let today = clock::today();
    let catalogue = open_catalogue(context)?;
    let entries = catalogue.entries().iter().filter(|entry| {
        !entry.is_past_end_of_life(today) && entry.image(arch, &base::catalogue::Selection::Default).is_ok()
    });
    entries.map(|entry| Ok(entry.id().parse()?)).collect()
}

/// Fetches all of them, a few at the same time. Results are in the order of the requests.
fn all(requests: &[BaseRequest], cache: &Cache, context: &Context) -> Vec<Result<Base>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<Base>>>> = Mutex::new(requests.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(requests.len()) {
            scope.spawn(|| {
                while let Some((index, request)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    requests.get(index).map(|request| (index, request))
                } {
                    let control = match requests {
                        [_] => context.control.clone(),
                        _ => context.control.scoped(&request.spec.to_string()),
                    };
                    let result = base::resolve(request, cache, &control);
                    results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().flatten().collect()
}

fn fetched(what: String, base: Base) -> Fetched {
    Fetched {
        what,
        digest: base.digest,
        virtual_size: base.virtual_size,
        path: base.path.clone(),
        origin: base.origin,
    }
}

fn line(fetched: &Fetched) -> String {
    let trust = fetched.origin.trust().map_or_else(String::new, |trust| format!(", {trust}"));
    let origin = fetched.origin.to_string();
    let origin = if origin == fetched.what { String::new() } else { format!("{origin}, ") };
    let (disk, sha256) = (Size(fetched.virtual_size), fetched.digest.short());
    format!("{}: {origin}disk of {disk}, sha256 {sha256}{trust}", fetched.what)
}
