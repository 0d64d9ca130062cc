//! `tib doctor`

use std::process::Command;

use crate::boot;
use crate::cache::Cache;
use crate::error::{Exit, Result};
use crate::guest::doctor::{self, Finding, State};
use crate::host::{process, space as room};
use crate::packages;
use crate::shown::{Line, Text};
use crate::size::Size;

use super::args::DoctorArgs;
use super::{Context, put, put_json};

/// A base, its layers and an image of a few gigabytes fit into this.
const CACHE_SPACE: u64 = 10 << 30;
/// libguestfs keeps its appliance in /var/tmp.
const TEMP_SPACE: u64 = 2 << 30;

pub(super) fn run(args: &DoctorArgs, context: &Context) -> Result<Exit> {
    let mut findings = context.control.events.stage("doctor", "trying what a build needs", || {
        doctor::examine(&context.control, &package_sources(context))
    })?;
    findings.push(cache_space(context));
    let appliance = std::path::Path::new("/var/tmp");
    findings.push(space("the appliance", appliance, TEMP_SPACE, "make room in /var/tmp"));
    findings.extend(tools(context));
    findings.push(dnf());
    findings.push(broker());
    findings.push(namespaces(context));
    context.printer.finish();
    let failed = findings.iter().any(|finding| finding.state == State::Failed);
    if args.json {
        put_json(&serde_json::json!({ "version": 1, "able": !failed, "findings": findings }))?;
    } else {
        put(&text(&findings, context.settings.colors.stdout))?;
    }
    Ok(if failed { Exit::Host } else { Exit::Done })
}

fn text(findings: &[Finding], color: bool) -> Text {
    let mut text = Text::default();
    for finding in findings {
        let (word, code) = match finding.state {
            State::Ok => ("ok", "32"),
            State::Warning => ("warning", "33"),
            State::Failed => ("FAILED", "31"),
        };
        let line = Line::default().painted(if color { code } else { "" }, &format!("{word:<8}"));
        text.line(line.with(&format!(" {}: {}", finding.name, finding.detail)));
        if finding.state != State::Ok {
            text.line(format!("         why it matters: {}", finding.why));
        }
        if let Some(fix) = &finding.fix {
            text.line(format!("         fix: {fix}"));
        }
    }
    let failed = findings.iter().filter(|finding| finding.state == State::Failed).count();
    text.line(match failed {
        0 => "This host can build images.".to_owned(),
        n => format!("This host cannot build images yet: {n} to mend."),
    });
    text
}

/// Host names and ports of the package sources that this host, and so a bootstrapped base, uses.
fn package_sources(context: &Context) -> Vec<(String, u16)> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(REPO_URI)"]);
    let Ok(output) = process::run(&mut command, &context.control) else {
        return Vec::new();
    };
    let mut sources: Vec<_> = String::from_utf8_lossy(&output).lines().filter_map(host_and_port).collect();
    sources.sort();
    sources.dedup();
    sources
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split('/').next()?.rsplit('@').next()?;
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => Some((host.to_owned(), port.parse().ok()?)),
        _ => Some((authority.to_owned(), default)),
    }
}

fn cache_space(context: &Context) -> Finding {
    match Cache::open(context.settings.cache_dir.clone()) {
        Ok(cache) => {
            space("cache", cache.root(), CACHE_SPACE, "set TIB_CACHE_DIR to a larger place, or remove layers")
        }
        Err(error) => Finding {
            name: "cache".to_owned(),
            state: State::Failed,
            detail: error.to_string(),
            why: "bases, layers and packages are kept there".to_owned(),
            fix: Some("set TIB_CACHE_DIR to a place that you can write".to_owned()),
        },
    }
}

fn space(name: &str, path: &std::path::Path, wanted: u64, fix: &str) -> Finding {
    let (state, detail) = match room::free(path) {
        Ok(free) => {
            let state = if free >= wanted { State::Ok } else { State::Warning };
            (state, format!("{} has {} free", path.display(), Size(free)))
        }
        Err(error) => (State::Failed, format!("cannot look at {}: {error}", path.display())),
    };
    Finding {
        name: format!("space for {name}"),
        why: format!("a build may need {}", Size(wanted)),
        fix: (state != State::Ok).then(|| fix.to_owned()),
        state,
        detail,
    }
}

/// Programs that builds run on the host.
fn tools(context: &Context) -> Vec<Finding> {
    let tools: [(&str, &[&str], &str, State, &str); 5] = [
        (
            "mke2fs",
            &["-V"],
            "packages reach the guest on a small file system",
            State::Failed,
            "install e2fsprogs",
        ),
        (
            "mmdebstrap",
            &["--version"],
            "`--base bootstrap:debian-12` is made with it",
            State::Warning,
            "install mmdebstrap, or give `--base FILE`",
        ),
        (
            "python3",
            &["-m", "pip", "--version"],
            "the guest agent's code is resolved with pip",
            State::Warning,
            "install python3-pip, or build with `--agent none`",
        ),
        (
            "apt-get",
            &["--version"],
            "packages of Debian and Ubuntu guests are resolved on the host, which is faster than in the guest",
            State::Warning,
            "nothing: without it the guest's own apt does the work",
        ),
        (
            "xorriso",
            &["--version"],
            "`tib boot` makes config drives with it",
            State::Warning,
            "install xorriso, or boot with `--metadata service`",
        ),
    ];
    tools
        .into_iter()
        .map(|(program, arguments, why, missing, fix)| {
            let mut command = Command::new(program);
            command.args(arguments);
            let (state, detail) = match process::run(&mut command, &context.control) {
                Ok(output) => {
                    let text = String::from_utf8_lossy(&output);
                    let version = text.lines().next().unwrap_or("found").to_owned();
                    (State::Ok, if version.is_empty() { "found".to_owned() } else { version })
                }
                Err(error) => (missing, error.to_string()),
            };
            Finding {
                name: format!("{program} {}", arguments.join(" ")),
                state,
                detail,
                why: why.to_owned(),
                fix: (state != State::Ok).then(|| fix.to_owned()),
            }
        })
        .collect()
}

/// Whether packages of guests of Red Hat's family can be resolved here.
fn dnf() -> Finding {
    let (state, detail) = match packages::dnf_version() {
        Ok(version) => (State::Ok, format!("dnf {version}, by its Python modules")),
        Err(error) => (State::Warning, error.to_string()),
    };
    Finding {
        name: "dnf".to_owned(),
        state,
        detail,
        why: "packages of Enterprise Linux and Fedora guests are resolved on the host, which is faster than in the guest"
            .to_owned(),
        fix: (state != State::Ok).then(|| {
            "install python3-dnf and rpm; without them the guest's own dnf does the work, over the network".to_owned()
        }),
    }
}

/// Whether agents can be tried out.
fn broker() -> Finding {
    let found = boot::rabbitmq();
    Finding {
        name: "RabbitMQ".to_owned(),
        state: if found.is_some() { State::Ok } else { State::Warning },
        detail: found.unwrap_or("not found").to_owned(),
        why: "`tib boot` sees whether a guest agent registers".to_owned(),
        fix: found
            .is_none()
            .then(|| "install rabbitmq-server (it need not run), or give `--broker`".to_owned()),
    }
}

/// Makes a user namespace with a range of ids, as mmdebstrap does.
fn namespaces(context: &Context) -> Finding {
    let mut command = Command::new("unshare");
    command.args(["--map-auto", "--map-root-user", "--user", "--mount", "true"]);
    let root = rustix::process::geteuid().is_root();
    let (state, detail) = match process::run(&mut command, &context.control) {
        _ if root => (State::Ok, "not needed by root".to_owned()),
        Ok(_) => (State::Ok, "can be made, with a range of ids".to_owned()),
        Err(error) => (State::Warning, error.tail().last().cloned().unwrap_or_else(|| error.to_string())),
    };
    Finding {
        name: "user namespaces".to_owned(),
        state,
        detail,
        why: "a base is bootstrapped in one, so that nobody needs root".to_owned(),
        fix: (state != State::Ok).then(|| {
            "install uidmap, give yourself ids with `sudo usermod --add-subuids 100000-165535 --add-subgids \
             100000-165535 $USER`; on Ubuntu 24.04 see docs/host.md"
                .to_owned()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_of_urls() {
        for (url, expected) in [
            ("http://archive.example/debian/", Some(("archive.example", 80))),
            ("https://user:secret@mirror.example:8443/x", Some(("mirror.example", 8443))),
            ("file:/srv/mirror", None),
            ("", None),
        ] {
            assert_eq!(host_and_port(url), expected.map(|(host, port)| (host.to_owned(), port)), "{url}");
        }
    }
}
