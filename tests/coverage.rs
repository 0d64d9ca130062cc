//! No option and no key without a test that sees what it does.
//!
//! What there is comes from clap's definitions and from the JSON Schemas; which test covers it stands in
//! `tests/coverage/*.toml`, as `item = "file::function"`. Whoever adds an option or a key adds a test and a row.

#[path = "coverage/evidence.rs"]
mod evidence;
#[path = "coverage/items.rs"]
mod items;

use std::collections::{BTreeMap, BTreeSet};

use evidence::Evidence;

type Rows = BTreeMap<String, String>;

/// Compares what there is with the rows, and looks into the test that each row names.
fn complaints(kind: &str, there_is: &BTreeSet<String>, rows: &Rows) -> Vec<String> {
    let without = there_is.iter().filter(|item| !rows.contains_key(*item));
    let mut complaints: Vec<String> = without.map(|item| format!("{kind} `{item}`: no test")).collect();
    let mut evidence = Evidence::default();
    for (item, place) in rows {
        let objection = match there_is.contains(item) {
            true => evidence.objection(item, place),
            false => Some("there is no such thing".to_owned()),
        };
        complaints.extend(objection.map(|objection| format!("{kind} `{item}`: {objection}")));
    }
    complaints
}

fn rows<T: serde::de::DeserializeOwned>(file: &str) -> T {
    toml::from_str(&fs_err::read_to_string(format!("tests/coverage/{file}")).unwrap()).unwrap()
}

#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn every_option_has_a_test_that_sees_its_effect() {
    none(&complaints("option", &items::options(), &rows("options.toml")));
}

#[test]
fn every_key_has_a_test_that_sees_its_effect() {
    let rows: BTreeMap<String, Rows> = rows("keys.toml");
    let schemas = [
        ("recipe", "recipes/recipe.schema.json"),
        ("checks", "recipes/checks.schema.json"),
        ("catalogue", "base-images/base-image.schema.json"),
    ];
    assert!(
        rows.keys().all(|language| schemas.iter().any(|(known, _)| known == language)),
        "{:?}",
        rows.keys()
    );
    let found = schemas.map(|(language, schema)| {
        complaints(
            &format!("{language} key"),
            &items::keys(schema),
            rows.get(language).unwrap_or(&Rows::new()),
        )
    });
    none(&found.concat());
}

/// What is wrong with a row is noticed.
#[test]
fn rows_that_prove_nothing_are_refused() {
    let there_is = BTreeSet::from(["base fetch --refresh", "cat", "ls --csv"].map(str::to_owned));
    let row = |item: &str, place: &str| Rows::from([(item.to_owned(), place.to_owned())]);
    let good = row("base fetch --refresh", "base_images::a_newer_build_is_asked_for_only_on_request");
    let told = |rows: &Rows| complaints("option", &there_is, rows).join("\n");
    assert_eq!(told(&good), "option `cat`: no test\noption `ls --csv`: no test");
    for (item, place, said) in [
        ("ls --gone", "cli::help", "there is no such thing"),
        ("cat", "nowhere::help", "there is no tests/nowhere.rs"),
        ("cat", "cli::transcript", "has no test `transcript`"),
        ("cat", "guest::session_in_a_child", "is not run"),
        ("ls --csv", "base_images::a_newer_build_is_asked_for_only_on_request", "has no `--csv`"),
    ] {
        let complaints = told(&row(item, place));
        assert!(complaints.contains(said), "{item} {place}: {complaints}");
    }
}
