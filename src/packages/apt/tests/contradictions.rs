//! Answers of apt that contradict what the recipe asks: errors before anything is built.

use std::sync::{Arc, Mutex};

use super::fixture::{Archive, Key};
use super::{Base, install};
use crate::error::{Diagnose as _, Exit};
use crate::event::{Event, EventSink, Events};
use crate::packages::apt::{AptError, Needed, Solution, StageRequest};
use crate::toml_text::Place;

/// A database server that needs a tool by way of a script, and packages that are in each other's way.
const PACKAGES: [(&str, &str, &str); 26] = [
    ("tib-server", "2.0", "Depends: tib-script, tib-lib (>= 1)\n"),
    ("tib-script", "1.0", "Depends: tib-tool | tib-nowhere\n"),
    ("tib-tool", "1.0", ""),
    ("tib-lib", "2.0", ""),
    ("tib-lib", "3.0", ""),
    ("tib-newest", "1.0", "Depends: tib-lib (>= 3)\n"),
    ("tib-rival", "1.0", "Conflicts: tib-server\n"),
    ("tib-wrapper", "1.0", "Depends: tib-rival\n"),
    ("tib-modem", "1.0", "Provides: tib-fax\n"),
    ("tib-fancy", "1.0", "Recommends: tib-gloss\n"),
    ("tib-gloss", "1.0", "Depends: tib-polish\n"),
    ("tib-polish", "1.0", ""),
    ("tib-plain", "1.0", "Recommends: tib-tool\n"),
    ("tib-held", "2.0", ""),
    ("tib-pusher", "1.0", "Depends: tib-held (>= 2)\n"),
    ("tib-mta", "1.0", "Provides: tib-mail\n"),
    ("tib-mda", "1.0", "Provides: tib-mail\n"),
    ("tib-reader", "1.0", "Depends: tib-mta | tib-mda\n"),
    ("tib-shiny", "1.0", "Recommends: tib-gloss, tib-sparkle, tib-glow | tib-neon\n"),
    ("tib-sparkle", "1.0", "Depends: tib-glitter\n"),
    ("tib-glitter", "1.0", ""),
    ("tib-glow", "1.0", ""),
    ("tib-neon", "1.0", ""),
    ("tib-matt", "1.0", "Conflicts: tib-sparkle\nRecommends: tib-glitter\n"),
    ("tib-dark", "1.0", "Depends: tib-night\n"),
    ("tib-night", "1.0", "Breaks: tib-glow\n"),
];

fn stanza(name: &str, version: &str, state: &str, fields: &str) -> String {
    format!(
        "Package: {name}\nStatus: {state}\nMaintainer: x\nArchitecture: all\nVersion: {version}\nDescription: x\n{fields}\n"
    )
}

/// A base that holds what every system has, a held package, and one with a dependency that nobody asked for.
fn base() -> (Archive, Base) {
    let key = Key::new();
    let archive = Archive::new(&PACKAGES).signed(&key);
    let base = Base::of(&archive, &key);
    let installed = "install ok installed";
    let status = [
        stanza("tib-pid1", "1.0", installed, "Essential: yes\n"),
        stanza("tib-held", "1.0", "hold ok installed", ""),
        stanza("linux-image-6.1-amd64", "6.1", installed, ""),
        stanza("python3", "3.11", installed, "Depends: python3-minimal\n"),
        stanza("python3-minimal", "3.11", installed, ""),
        stanza("tib-extra", "1.0", installed, "Depends: tib-common\n"),
        stanza("tib-common", "1.0", installed, "Depends: tib-leaf\n"),
        stanza("tib-leaf", "1.0", installed, ""),
    ];
    base.write("/var/lib/dpkg/status", &status.concat());
    base.write(
        "/var/lib/apt/extended_states",
        "Package: tib-leaf\nArchitecture: amd64\nAuto-Installed: 1\n\n",
    );
    (archive, base)
}

fn remove<'a>(names: &[&'a str]) -> StageRequest<'a> {
    StageRequest { remove: names.to_vec(), ..StageRequest::default() }
}

/// Gives each stage a name and its packages a line of a recipe.
fn resolve(base: &Base, stages: Vec<StageRequest<'static>>, events: &Events) -> Result<Solution, AptError> {
    let place = |stage: usize| Place { file: "x.toml".to_owned(), line: stage + 1 };
    let places: Vec<_> = (0..stages.len()).map(place).collect();
    let names = ["system", "datastore", "site"];
    let stages: Vec<_> = stages
        .into_iter()
        .enumerate()
        .map(|(index, stage)| StageRequest {
            name: names[index],
            places: stage
                .install
                .iter()
                .chain(&stage.remove)
                .map(|text| (text.split('=').next().unwrap(), &places[index]))
                .collect(),
            ..stage
        })
        .collect();
    let needed = [Needed { name: "python3", why: "the agent runs with" }];
    base.resolve_with(&stages, &needed, false, events)
}

#[test]
fn what_contradicts_the_recipe_is_an_error_of_the_plan() {
    let (_archive, base) = base();
    for (stages, summary, details, hint) in [
        (
            vec![StageRequest { remove: vec!["tib-tool"], ..install(&["tib-server"]) }],
            "x.toml:1: removing `tib-tool` takes `tib-server` with it, which x.toml:1 installs",
            &["tib-server depends on tib-script, which depends on tib-tool"][..],
            "take `tib-tool` out of `remove`, or do without `tib-server`",
        ),
        (
            vec![install(&["tib-server"]), install(&["tib-lib"]), remove(&["tib-script"])],
            "x.toml:3: removing `tib-script` takes `tib-server` with it, which x.toml:1 installs",
            &["tib-server depends on tib-script"],
            "take `tib-script` out of `remove`, or do without `tib-server`",
        ),
        (
            vec![remove(&["tib-tool"]), install(&["tib-server"])],
            "x.toml:1: `tib-tool` is to be removed, and `tib-server` needs it, which x.toml:2 installs",
            &["tib-server depends on tib-script, which depends on tib-tool"],
            "take `tib-tool` out of `remove`, or do without `tib-server`",
        ),
        (
            vec![install(&["tib-server"]), install(&["tib-lib", "tib-wrapper"])],
            "x.toml:2: installing `tib-wrapper` removes `tib-server`, which x.toml:1 installs",
            &["tib-rival and tib-server exclude each other"],
            "leave one of the two out: they cannot be in one image",
        ),
        (
            vec![remove(&["tib-pid1"])],
            "x.toml:1: removing `tib-pid1`, which is essential: no system works without it",
            &[],
            "take `tib-pid1` out of `remove`",
        ),
        (
            vec![remove(&["linux-image-6.1-amd64"])],
            "x.toml:1: removing `linux-image-6.1-amd64`, which is the last kernel of the image",
            &[],
            "take `linux-image-6.1-amd64` out of `remove`",
        ),
        (
            vec![remove(&["python3-minimal"])],
            "x.toml:1: removing `python3-minimal` takes `python3` with it, which the agent runs with",
            &["python3 depends on python3-minimal"],
            "take `python3-minimal` out of `remove`",
        ),
        (
            vec![install(&["tib-lib=2.0"]), install(&["tib-newest"])],
            "x.toml:1: `tib-lib=2.0` is asked for, and stage datastore brings 3.0 in its place",
            &["tib-newest depends on tib-lib"],
            "name the version that fits, or leave the version of `tib-lib` open",
        ),
        (
            vec![install(&["tib-fax"])],
            "x.toml:1: `tib-fax` is not a package, only a name that `tib-modem` provides",
            &[],
            "write `tib-modem`, which is what apt takes for it",
        ),
    ] {
        let error = resolve(&base, stages, &Events::none()).unwrap_err();
        assert_eq!(error.to_string(), summary);
        assert_eq!((error.exit(), error.context().as_slice()), (Exit::Recipe, owned(details).as_slice()));
        assert_eq!(error.hint().as_deref(), Some(hint), "{summary}");
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn what_nobody_asked_for_may_go_and_is_told() {
    let (_archive, base) = base();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let events = Events::new(Notes(Arc::clone(&heard)));
    let stages = vec![remove(&["tib-common", "tib-absent"]), install(&["tib-lib", "tib-wrapper"])];
    let resolution = resolve(&base, stages, &events).unwrap();
    // What came as a dependency of what goes is not needed any more.
    let mut removed = resolution.sets[0].removed.clone();
    removed.sort();
    assert_eq!(removed, ["tib-common", "tib-extra", "tib-leaf"]);
    assert!(resolution.sets[0].removed.contains(&"tib-leaf".to_owned()));
    let names: Vec<_> = resolution.installed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "linux-image-6.1-amd64",
            "python3",
            "python3-minimal",
            "tib-held",
            "tib-lib",
            "tib-pid1",
            "tib-rival",
            "tib-wrapper"
        ]
    );
    assert!(resolution.installed.contains(&("tib-lib".to_owned(), "3.0".to_owned())));
    assert_eq!(
        *heard.lock().unwrap(),
        ["x.toml:1: removing `tib-common` takes `tib-extra` with it: tib-extra depends on tib-common"]
    );
}

struct Notes(Arc<Mutex<Vec<String>>>);

impl EventSink for Notes {
    fn emit(&self, event: Event) {
        if let Event::Note { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

#[test]
fn an_alternative_that_would_have_to_be_installed() {
    let (_archive, base) = base();
    let stages = vec![install(&["tib-mta", "tib-reader"]), remove(&["tib-mta"])];
    let error = resolve(&base, stages, &Events::none()).unwrap_err();
    assert_eq!(error.exit(), Exit::Recipe);
    let either = [
        "x.toml:2: removing `tib-mta` makes apt install `tib-mda` in its place",
        "x.toml:2: removing `tib-mta` takes `tib-reader` with it, which x.toml:1 installs",
    ];
    assert!(either.contains(&error.to_string().as_str()), "{error}");
    // Named, the other one is there in time.
    let stages = vec![StageRequest { remove: vec!["tib-mta"], ..install(&["tib-mda", "tib-reader"]) }];
    let resolution = resolve(&base, stages, &Events::none()).unwrap();
    assert!(resolution.installed.iter().all(|(name, _)| name != "tib-mta"));
}

#[test]
fn names_that_several_packages_provide() {
    let (_archive, base) = base();
    let error = resolve(&base, vec![install(&["tib-mail"])], &Events::none()).unwrap_err();
    assert_eq!(error.to_string(), "no such package: `tib-mail`");
    assert_eq!(error.hint().as_deref(), Some("did you mean tib-mta, tib-mda?"));
}

#[test]
fn packages_that_the_base_has_on_hold() {
    let (_archive, base) = base();
    // Asked for without a version, it is what it is.
    let resolution = resolve(&base, vec![install(&["tib-held", "tib-tool"])], &Events::none()).unwrap();
    assert_eq!(resolution.sets[0].files.len(), 1);
    assert_eq!(resolution.sets[0].present, ["tib-held"]);
    for name in ["tib-pusher", "tib-held=2.0"] {
        let error = resolve(&base, vec![install(&[name])], &Events::none()).unwrap_err();
        assert_eq!(error.exit(), Exit::Guest, "{name}: {error}");
        let last = error.context().last().cloned();
        assert_eq!(last.as_deref(), Some("on hold in the base image, and left as it is: tib-held"), "{name}");
    }
    let removed = resolve(&base, vec![remove(&["tib-held"])], &Events::none()).unwrap();
    assert_eq!(removed.sets[0].removed, ["tib-held"], "the recipe names it");
}

#[test]
fn recommended_packages_come_only_where_they_are_asked_for() {
    let (_archive, base) = base();
    let names = |stage: StageRequest<'static>| {
        let sets = resolve(&base, vec![stage], &Events::none()).unwrap().sets;
        let mut names: Vec<_> =
            sets[0].files.iter().map(|file| (file.name.clone(), file.requested)).collect();
        names.sort();
        names
    };
    let pair = |name: &str, requested| (name.to_owned(), requested);
    let both = ["tib-fancy", "tib-plain"];
    assert_eq!(names(install(&both)), [pair("tib-fancy", true), pair("tib-plain", true)]);
    let one = StageRequest { recommends: vec!["tib-fancy"], ..install(&both) };
    assert_eq!(
        names(one),
        [
            pair("tib-fancy", true),
            pair("tib-gloss", false),
            pair("tib-plain", true),
            pair("tib-polish", false)
        ],
        "what recommended packages need comes, what the other package recommends does not"
    );
}

#[test]
fn recommended_packages_give_way_to_what_is_asked_for() {
    let (_archive, base) = base();
    let names = |with: &[&'static str]| {
        let names = [&["tib-shiny"][..], with].concat();
        let stage = StageRequest { recommends: vec!["tib-shiny"], ..install(&names) };
        let heard = Arc::new(Mutex::new(Vec::new()));
        let events = Events::new(Notes(Arc::clone(&heard)));
        let sets = resolve(&base, vec![stage], &events).map_err(|error| (error.to_string(), error.context()));
        let files = sets.unwrap().sets.remove(0).files;
        let mut names: Vec<_> = files.iter().map(|file| file.name[4..].to_owned()).collect();
        names.sort();
        let heard = heard.lock().unwrap().clone();
        (names.join(" "), heard)
    };
    let told = |name: &str| {
        vec![format!("stage system: recommended, and left out because of what else is installed: `{name}`")]
    };
    assert_eq!(names(&[]), ("glitter gloss glow polish shiny sparkle".to_owned(), vec![]));
    // Neither what goes with it nor what another package recommends comes in its place.
    assert_eq!(names(&["tib-matt"]), ("gloss glow matt polish shiny".to_owned(), told("tib-sparkle")));
    assert_eq!(
        names(&["tib-dark"]),
        ("dark glitter gloss neon night polish shiny sparkle".to_owned(), told("tib-glow"))
    );
    assert_eq!(
        names(&["tib-dark", "tib-matt"]),
        ("dark gloss matt neon night polish shiny".to_owned(), told("tib-glow`, `tib-sparkle"))
    );
    // What does not go together without them is an error as ever, and speaks of nothing else.
    let stage =
        StageRequest { recommends: vec!["tib-shiny"], ..install(&["tib-shiny", "tib-rival", "tib-server"]) };
    let error = resolve(&base, vec![stage], &Events::none()).unwrap_err();
    assert_eq!(error.exit(), Exit::Guest);
    assert!(
        error.context().iter().any(|line| line.contains("Conflicts: tib-server")),
        "{:?}",
        error.context()
    );
}

#[test]
fn an_image_that_is_given_a_kernel_needs_none() {
    let (_archive, base) = base();
    let mut tree = super::HostTree(base.directory.path().to_owned());
    let stages = [remove(&["linux-image-6.1-amd64"])];
    let request = super::ResolveRequest {
        tree: &mut tree,
        arch: super::Arch::X86_64,
        stages: &stages,
        needed: &[],
        boots: false,
        entitled: &[],
        cache: &base.cache,
        offline: false,
    };
    let resolution = super::resolve(request, &crate::control::Control::none()).unwrap();
    assert_eq!(resolution.sets[0].removed, ["linux-image-6.1-amd64"]);
}

#[test]
fn debconf_answers_that_come_too_late() {
    let (_archive, base) = base();
    let with =
        |line: &'static str, names: &[&'static str]| StageRequest { debconf: vec![line], ..install(names) };
    let late = "tib-common tib-common/mode select fast";
    let error = resolve(&base, vec![with(late, &["tib-common"])], &Events::none()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "x.toml:1: the answer to `tib-common/mode` comes too late: `tib-common` is there and configured already"
    );
    assert_eq!(error.exit(), Exit::Recipe);
    let error = resolve(
        &base,
        vec![install(&["tib-lib"]), with("tib-lib tib-lib/a string x", &["tib-lib"])],
        &Events::none(),
    )
    .unwrap_err();
    assert!(
        error.hint().unwrap().ends_with("if an earlier stage installs it, give the answer there"),
        "{error}"
    );
    // In time, or what the base says already.
    resolve(&base, vec![with("tib-lib tib-lib/a string x", &["tib-lib"])], &Events::none()).unwrap();
    base.write(
        "/var/cache/debconf/config.dat",
        "Name: tib-common/mode\nTemplate: tib-common/mode\nValue: fast\nOwners: tib-common\n\n",
    );
    resolve(&base, vec![with(late, &[])], &Events::none()).unwrap();
}
