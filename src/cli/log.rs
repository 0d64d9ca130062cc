//! `tib log`

use std::io::Write as _;

use crate::disk::Tree;
use crate::error::{Exit, Result};
use crate::look::log;
use crate::look::log::{Filter, Form, LogFile, Selection};
use crate::shown::Text;
use crate::size::Size;

use super::Context;
use super::args::LogArgs;
use super::stdout::{Stdout, lines, put, put_json};

/// What is printed where there is no journal: the file that everything is written to, by the name of either family.
const MAIN_LOGS: [&str; 2] = ["syslog", "messages"];

pub(super) fn run(args: &LogArgs, context: &Context) -> Result<Exit> {
    context.with_tree(&args.image, |tree| {
        if args.list {
            list(args, tree, context)
        } else if let Some(name) = &args.log {
            file(args, tree, name)
        } else {
            journal(args, tree, context)
        }
    })?;
    Ok(Exit::Done)
}

fn list(args: &LogArgs, tree: &mut dyn Tree, context: &Context) -> Result<()> {
    let logs = log::list(tree)?;
    context.printer.finish();
    if args.json {
        return put_json(&logs);
    }
    if logs.is_empty() {
        context.control.events.note("the image has no logs");
    }
    put(&table(&logs))
}

/// Size, time and path of each log, in columns.
fn table(logs: &[LogFile]) -> Text {
    let lines = logs.iter().map(|log| {
        let modified = log.modified.as_deref().unwrap_or("-");
        format!("{:>10}  {modified:<20}  {}", Size(log.size).to_string(), log.path)
    });
    lines.collect()
}

fn file(args: &LogArgs, tree: &mut dyn Tree, name: &str) -> Result<()> {
    let path = log::find(tree, name)?;
    let mut out = lines();
    Ok(log::print(tree, &path, args.lines, args.grep.as_ref(), &mut out)?)
}

fn journal(args: &LogArgs, tree: &mut dyn Tree, context: &Context) -> Result<()> {
    let files = log::journal_files(tree)?;
    if files.is_empty() {
        return without_journal(args, tree, context);
    }
    let selection = Selection {
        filter: Filter {
            units: args.unit.clone(),
            since: args.since,
            until: args.until,
            priority: args.priority.clone(),
            text: args.grep.clone(),
            last_boot: args.boot,
        },
        lines: args.lines,
        form: if args.json { Form::Json } else { Form::Text },
    };
    let mut out = lines();
    let warnings = log::print_journal(tree, &files, &selection, &mut out)?;
    out.flush().map_err(Stdout)?;
    for warning in warnings {
        context.control.events.warning(warning);
    }
    Ok(())
}

fn without_journal(args: &LogArgs, tree: &mut dyn Tree, context: &Context) -> Result<()> {
    let LogArgs { unit, priority, since, until, boot, json, .. } = args;
    let journal_only =
        !unit.is_empty() || priority.is_some() || since.is_some() || until.is_some() || *boot || *json;
    let logs = log::list(tree)?;
    let main = MAIN_LOGS.iter().find(|name| logs.iter().any(|log| log.path == format!("/var/log/{name}")));
    let talk = match main {
        _ if logs.is_empty() => "the image has no logs: no journal, and nothing in /var/log",
        _ if journal_only => {
            "the image has no journal to select from; `tib log IMAGE --list` tells its other logs"
        }
        None => "the image has no journal; `tib log IMAGE --list` tells its other logs",
        Some(name) => {
            context.control.events.note(format!("the image has no journal; this is /var/log/{name}"));
            return file(args, tree, name);
        }
    };
    context.control.events.warning(talk);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::log::LogKind;

    #[test]
    fn a_table_of_logs() {
        let log = |path: &str, size, modified: Option<&str>| LogFile {
            kind: LogKind::File,
            path: path.to_owned(),
            size,
            modified: modified.map(str::to_owned),
        };
        let logs = [
            log("/var/log/dpkg.log", 2048, Some("2024-05-01T12:30:00Z")),
            log("/var/log/syslog", 8 << 20, None),
        ];
        let expected = "     2 KiB  2024-05-01T12:30:00Z  /var/log/dpkg.log\n     8 MiB  -                     /var/log/syslog\n";
        assert_eq!(&*table(&logs), expected);
    }
}
