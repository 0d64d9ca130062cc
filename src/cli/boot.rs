//! `tib boot`

use std::process::ExitCode;

use crate::boot::{self, Afterwards, BootRequest};
use crate::cache::Cache;
use crate::error::{Diagnose, Exit, Result, io_exit};
use crate::given;

use crate::evidence;
use crate::verify::Goss;

use super::args::{BootArgs, RelayArgs};
use super::reports::Reports;
use super::{Context, put, put_json};

#[derive(Debug, thiserror::Error)]
#[error("cannot read `{path}`")]
struct ConfError {
    path: String,
    source: std::io::Error,
}

impl Diagnose for ConfError {
    fn exit(&self) -> Exit {
        io_exit(&self.source, Exit::Usage)
    }
}

pub(super) fn run(args: &BootArgs, context: &Context) -> Result<Exit> {
    let reports = Reports { junit: args.junit.as_deref(), html: args.html.as_deref() };
    let read = [args.image.as_path()].into_iter().chain(args.conf.as_deref());
    reports.check(&read.chain(args.goss.iter().map(AsRef::as_ref)))?;
    let goss = args.goss.iter().map(|file| Goss::load(file)).collect::<Result<Vec<_>, _>>()?;
    let conf = match &args.conf {
        Some(path) => Some(
            given::read_to_string(path)
                .map_err(|source| ConfError { path: path.display().to_string(), source })?,
        ),
        None => None,
    };
    let afterwards = match (args.keep, args.ssh, args.shell) {
        (true, ..) => Afterwards::Keep,
        (_, true, _) => Afterwards::Ssh,
        (.., true) => Afterwards::Console,
        _ => Afterwards::End,
    };
    let request = BootRequest {
        image: args.image.clone(),
        datastore: args.datastore.clone(),
        datastore_version: args.datastore_version.clone(),
        conf,
        broker: args.broker.clone(),
        exchange: args.control_exchange.clone(),
        rpc_key: args.rpc_key.clone(),
        owner: args.owner.clone(),
        metadata: args.metadata.into(),
        firmware: args.firmware.into(),
        network: args.network.into(),
        memory: args.memory,
        volume: (!args.no_volume).then_some(args.volume),
        prepare: args.prepare,
        twice: args.twice,
        leases: args.leases,
        listens: evidence::beside(&args.image).listens,
        goss,
        timeout: args.timeout,
        afterwards,
        logs: args.logs.clone(),
    };
    let cache = Cache::open(context.settings.cache_dir.clone())?;
    let outcome = boot::boot(&request, &context.policy(&args.image), &cache, &context.control)?;
    context.printer.finish();
    reports.write(&outcome.report)?;
    if args.json {
        put_json(&outcome.to_json())?;
    } else {
        put(&outcome.report.to_text(context.settings.colors.stdout))?;
    }
    Ok(if outcome.report.passed() { Exit::Done } else { Exit::Checks })
}

/// Passes a connection on. Whoever started it sees the connection end; its stderr is the connection too.
pub(super) fn relay(args: &RelayArgs) -> ExitCode {
    match boot::relay(&args.target) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
