//! Every cause of `causes.toml` that can be seen at rest: a good image is broken by it, and `tib verify` names it first.

#[path = "../common/mod.rs"]
mod common;
mod image;

use std::fmt::Write as _;
use std::path::Path;

use common::run_tib;
use common::sample::Sample;
use fs_err as fs;
use serde::Deserialize;
use serde_json::Value;

/// The causes, and what tib says of each.
const CAUSES: &str = "tests/contract/causes.toml";

/// The page with the table made of them, and the lines around it.
const PAGE: &str = "docs/contract.md";
const BEGIN: &str = "<!-- Made of tests/contract/causes.toml: `make generate` -->\n";
const END: &str = "<!-- End of what is made -->\n";

/// What makes `the_table_is_made_of_the_causes` write the table instead of comparing it.
const GENERATE: &str = "CONTRACT_GENERATE";

/// Files that fit the good image and each other.
const CONF: &str = "[DEFAULT]\ntransport_url = rabbit://trove:s3cr3t@192.0.2.1:5672/\ncontrol_exchange = trove\n\
                    log_dir = /var/log/trove\n[mariadb]\ndocker_image = registry.example/mariadb\n[DEFAULT]\n";
const TROVE_CONF: &str = "[DEFAULT]\ntransport_url = rabbit://trove:s3cr3t@192.0.2.1:5672/\ncontrol_exchange = trove\n\
                          docker_bridge_network_ip = 192.168.254.1/24\n";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Causes {
    cause: Vec<Cause>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Cause {
    cause: String,
    #[serde(default)]
    seen: Seen,
    #[serde(default)]
    image: Kind,
    #[serde(default)]
    change: Vec<Change>,
    conf: Option<String>,
    trove_conf: Option<String>,
    agent_commit: Option<String>,
    words: String,
    /// Of what is seen at boot: the test that sees it, as `file::function`.
    test: Option<String>,
}

#[derive(Deserialize, Default, PartialEq)]
enum Seen {
    #[default]
    #[serde(rename = "at rest")]
    AtRest,
    #[serde(rename = "at boot")]
    AtBoot,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Container,
    Classic,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Change {
    Write { write: String, text: String },
    Remove { remove: String },
    Link { link: String, to: String },
    Copy { copy: String, to: String },
    Replace { replace: String, from: String, to: String },
    Mode { mode: String, to: String },
    Owner { owner: String, to: String },
}

impl Change {
    fn apply(&self, sample: Sample) -> Sample {
        match self {
            Self::Write { write, text } => sample.file(write, text),
            Self::Remove { remove } => sample.without(remove),
            Self::Link { link, to } => sample.link(link, to),
            Self::Copy { copy, to } => sample.copy(copy, to),
            Self::Replace { replace, from, to } => sample.changed(replace, from, to),
            Self::Mode { mode, to } => sample.debugfs_mode(mode, u32::from_str_radix(to, 8).unwrap()),
            Self::Owner { owner, to } => {
                let (uid, gid) = to.split_once(':').unwrap();
                sample.owner(owner, uid.parse().unwrap(), gid.parse().unwrap())
            }
        }
    }
}

fn causes() -> Vec<Cause> {
    let causes: Causes = toml::from_str(&fs::read_to_string(CAUSES).unwrap()).unwrap();
    causes.cause
}

/// What `tib verify` finds, failed checks before warnings, as `TITLE: WHAT WAS FOUND`.
fn findings(directory: &Path, sample: &Sample, cause: Option<&Cause>) -> Vec<String> {
    let image = sample.write(directory, "image");
    let mut arguments = vec!["verify".to_owned(), image.to_str().unwrap().to_owned(), "--json".to_owned()];
    let mut give = |option: &str, good: &str, text: Option<&String>| {
        let Some(text) = text else { return };
        let path = directory.join(format!("{}.conf", &option[2..]));
        fs::write(&path, format!("{good}{text}")).unwrap();
        arguments.extend([option.to_owned(), path.to_str().unwrap().to_owned()]);
    };
    if let Some(cause) = cause {
        give("--conf", CONF, cause.conf.as_ref());
        give("--trove-conf", TROVE_CONF, cause.trove_conf.as_ref());
        arguments.extend(
            cause.agent_commit.iter().flat_map(|commit| ["--agent-commit".to_owned(), commit.clone()]),
        );
    }
    let report: Value = serde_json::from_str(&run_tib(&arguments).expect(8)).unwrap();
    let failed = report["results"].as_array().unwrap().iter().filter(|result| result["outcome"] != "passed");
    let failed = failed.map(|result| {
        let found = result["found"].as_str().or(result["reason"].as_str()).unwrap();
        assert!(result["why"].is_string() && result["fix"].is_string(), "{result}");
        format!("{}: {found}", result["title"].as_str().unwrap())
    });
    let warnings =
        report["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap().to_owned());
    failed.chain(warnings).collect()
}

#[test]
fn every_cause_at_rest_is_named_first() {
    let directory = tempfile::tempdir().unwrap();
    let start = |kind: &Kind| if *kind == Kind::Container { image::container() } else { image::classic() };
    // Nothing but that no firmware starts them, and nothing more if files are given that fit.
    let loader = "firmware finds a boot loader: BIOS:";
    let fits: Cause =
        toml::from_str("cause = ''\nconf = ''\ntrove-conf = ''\nagent-commit = '435f705f'\nwords = ''")
            .unwrap();
    for kind in [Kind::Container, Kind::Classic] {
        for cause in [None, Some(&fits)] {
            let found = findings(directory.path(), &start(&kind), cause);
            assert!(found.len() == 1 && found[0].starts_with(loader), "a good image: {found:#?}");
        }
    }
    let mut complaints = String::new();
    let at_rest = causes().into_iter().filter(|cause| cause.seen == Seen::AtRest);
    for cause in at_rest {
        let sample = cause.change.iter().fold(start(&cause.image), |sample, change| change.apply(sample));
        let found = findings(directory.path(), &sample, Some(&cause));
        let found: Vec<_> = found.into_iter().filter(|found| !found.starts_with(loader)).collect();
        // What follows in a warning is why, and what to do.
        let first = found.first().map(String::as_str).unwrap_or_default();
        let is_named =
            first.strip_prefix(&cause.words).is_some_and(|rest| rest.is_empty() || rest.starts_with("; "));
        if !is_named {
            writeln!(complaints, "{}\n  wanted {}\n  found  {found:#?}", cause.cause, cause.words).unwrap();
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
}

/// Mistakes in what is given are told before an image is opened, and no password with them.
#[test]
fn files_that_trove_could_not_read_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("bad.conf"), "[DEFAULT]\ntransport_url = rabbit://trove:s3cr3t@h/\n\n stray\n").unwrap();
    for option in ["--conf", "--trove-conf"] {
        let outcome = run_tib(["verify", "/no/such/image", option, &path("bad.conf")]);
        assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("line 4: it begins with white space"), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("s3cr3t"), "{}", outcome.stderr);
        let outcome = run_tib(["verify", "/no/such/image", option, &path("none.conf")]);
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("none.conf"), "{}", outcome.stderr);
    }
}

/// Neither the controller's user data nor an image without an agent goes by in silence; passwords stay where they are.
#[test]
fn what_else_the_files_are_compared_with() {
    let directory = tempfile::tempdir().unwrap();
    let scripts = directory.path().join("cloudinit");
    fs::create_dir(&scripts).unwrap();
    fs::write(scripts.join("mysql.cloudinit"), "#!/bin/sh\necho hello\n").unwrap();
    fs::write(scripts.join("mariadb.cloudinit"), "#cloud-config\nruncmd: [[true]]\n").unwrap();
    let cause = |text: &str| -> Cause { toml::from_str(&format!("cause = ''\nwords = ''\n{text}")).unwrap() };
    let location = cause(&format!("trove-conf = 'cloudinit_location = {}'", scripts.display()));
    let found = findings(directory.path(), &image::container(), Some(&location));
    let told: Vec<_> = found.iter().filter(|found| found.contains("cloudinit_location")).collect();
    assert!(told.len() == 1 && told[0].contains("mysql.cloudinit is no mapping"), "{found:#?}");
    assert!(!told[0].contains("mariadb.cloudinit"), "{found:#?}");

    let example = cause("conf = 'transport_url = rabbit://trove:RABBIT_PASS@192.0.2.1/'\ntrove-conf = ''");
    let found = findings(directory.path(), &image::container(), Some(&example));
    assert!(
        found.iter().any(|found| found.starts_with("the broker's password is one of an example: ")),
        "{found:#?}"
    );
    assert!(!found.iter().any(|found| found.contains("RABBIT_PASS")), "{found:#?}");

    let found = findings(directory.path(), &Sample::debian(), Some(&cause("conf = ''")));
    assert!(
        found.contains(
            &"there is an agent that Trove's configuration files are for: no guest agent was found".into()
        ),
        "{found:#?}"
    );
}

#[test]
fn there_are_enough_causes_and_each_is_told_once() {
    let causes = causes();
    let at_rest = causes.iter().filter(|cause| cause.seen == Seen::AtRest);
    assert!(at_rest.count() >= 20);
    for (at, cause) in causes.iter().enumerate() {
        assert!(
            causes[..at].iter().all(|other| other.cause != cause.cause && other.words != cause.words),
            "{}",
            cause.cause
        );
        let is_changed = !cause.change.is_empty()
            || cause.conf.is_some()
            || cause.trove_conf.is_some()
            || cause.agent_commit.is_some();
        let is_tried = match cause.seen {
            Seen::AtRest => is_changed && cause.test.is_none(),
            Seen::AtBoot => cause.test.is_some(),
        };
        assert!(is_tried, "{}", cause.cause);
    }
}

#[test]
fn the_table_is_made_of_the_causes() {
    let cell = |text: &str| text.replace('|', "\\|").replace('<', "&lt;");
    let mut table = "| cause | seen | tib's words |\n|---|---|---|\n".to_owned();
    for cause in causes() {
        let seen = if cause.seen == Seen::AtRest { "at rest" } else { "at boot" };
        let words = cause.words.split('\n').next().unwrap();
        writeln!(table, "| {} | {seen} | {} |", cell(&cause.cause), cell(words)).unwrap();
    }
    let page = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the table has a beginning");
    let (_, after) = rest.split_once(END).expect("the table has an end");
    let made = format!("{before}{BEGIN}\n{table}\n{END}{after}");
    if std::env::var_os(GENERATE).is_some() {
        fs::write(PAGE, made).unwrap();
    } else {
        assert!(page == made, "{PAGE} does not match {CAUSES}: run `make generate` and commit it");
    }
}
