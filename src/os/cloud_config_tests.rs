//! PyYAML, with which cloud-init reads its files, is the oracle where Python has it.

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

fn list(text: &str) -> Result<Option<Vec<String>>, String> {
    datasources(text.as_bytes())
}

const GOOD: &[&str] = &[
    "datasource_list: [ ConfigDrive, OpenStack ]\n",
    "a: 1\ndatasource_list: ['ConfigDrive', \"OpenStack\",] # c\nb: 2",
    "datasource_list:\n  - ConfigDrive\n\n  # c\n  - 'OpenStack' # d\nb: 2\n",
    "datasource_list :\n- ConfigDrive\n- OpenStack\n",
    "\"datasource_list\": [ConfigDrive,\n   OpenStack\n]\n",
    "#datasource_list: [None]\ndatasource_list: [ConfigDrive, OpenStack]\nx:\n  datasource_list: [ None ]\n",
    "{\"datasource_list\": [\"ConfigDrive\", \"OpenStack\"]}\n",
    "{\"a\": {\"datasource_list\": [\"None\"]}, \"datasource_list\": [\"ConfigDrive\", \"OpenStack\"], \"b\": []}",
    "--- {datasource_list: [ConfigDrive, OpenStack]}\n",
    "  datasource_list: [ConfigDrive, OpenStack]\n",
    "? datasource_list\n: - ConfigDrive\n  - OpenStack\n",
    "\"datasource\\x5flist\": [ConfigDrive, OpenStack]\n",
    "\u{feff}datasource_list: [ConfigDrive, OpenStack]\n",
    "--- # c\ndatasource_list: [ConfigDrive, OpenStack]\nruncmd:\n- 'a: b'\n- echo \"what?\" | cat\n- |\n  x: {\n",
    "é: [~, ~, 'a,b=c', '0']\ndatasource_list: [ConfigDrive, OpenStack]\n",
    "# a\ttab\ndatasource_list: [ConfigDrive, OpenStack]\r\n",
];

const NONE: &[&str] = &[
    "",
    "# nothing\n",
    "datasource: {}\ndatasource_list_x: [A]\n",
    "- datasource_list: [A]\n",
    "datasource_list\n",
    "x: datasource_list\n",
    "x: |\n  datasource_list: [A]\n",
    "x: \"\n  datasource_list: [A]\n  \"\n",
    "{x: [{datasource_list: [A]}]}\n",
    // Wrong, but without the key.
    "x: [\n",
    "\tx: 1\n",
];

/// Forms that PyYAML refuses, or reads as something else than a list of names, or that are read in two ways.
const REFUSED: &[&str] = &[
    "datasource_list: *anchor\n",
    "x: &a [None]\ndatasource_list: *a\n",
    "x: &a datasource_list\n*a : [None]\n",
    "x: &a {datasource_list: [None]}\n<<: *a\n",
    "datasource_list: ConfigDrive\n",
    "datasource_list: [ A, [B] ]\n",
    "datasource_list: [ A, {B: c} ]\n",
    "datasource_list: [ A\n",
    "datasource_list:\n  a: 1\n",
    "datasource_list:\n",
    "datasource_list: [A]\ndatasource_list: [B]\n",
    "datasource_list: [A, , B]\n",
    "\"datasource_\\\n  list\": [A]\n",
    "datasource_list: [A]\n:\n",
    "datasource_list: &a [A]\n",
    "datasource_list: !!seq [A]\n",
    "datasource_list: [A]\n...\n",
    "%YAML 1.2\n---\ndatasource_list: [A]\n",
    "x: 1\rdatasource_list: [A]\n",
    "{datasource_list: [A], |}\n",
    "{datasource_list: [A], a? b}\n",
    "{datasource_list: [A], b\nx: }\n",
    "datasource_list: [A, 1]\n",
    "datasource_list: [A, No]\n",
    "datasource_list: [2001-01-01]\n",
    "x: 1\n\tdatasource_list: [None]\n",
    "datasource_list:\t[None]\n",
    "datasource_list: [None]\n---\nx: 1\n",
    "datasource_list: [None]\nx: !custom 1\n",
    "datasource_list: [None]\nx: !!int a\n",
    "datasource_list: [None]\n? [a]\n: b\n",
    "datasource_list: [None]\nx: {? {a: b} : c}\n",
    "datasource_list: [None]\nx: \u{7}\n",
    "datasource_list: [None]\nx: \u{85}\n",
    "## template: jinja\ndatasource_list: [None]\n",
    "datasource_list: [None]\nx: [\n",
];

#[test]
fn forms() {
    for text in GOOD {
        assert_eq!(list(text).unwrap().unwrap(), ["ConfigDrive", "OpenStack"], "{text}");
    }
    for text in NONE {
        assert_eq!(list(text).unwrap(), None, "{text}");
    }
    assert_eq!(list("datasource_list: []\n").unwrap(), Some(vec![]));
    assert_eq!(datasources(b"x: \xff\n").unwrap(), None);
}

#[test]
fn other_forms_are_refused_not_guessed() {
    for text in REFUSED {
        assert!(list(text).is_err(), "{text}");
    }
    assert!(datasources(b"datasource_list: [A]\nx: \xff\n").is_err());
    let deep = format!("datasource_list: [A]\nx: {}\n", "[".repeat(100_000));
    assert!(list(&deep).is_err());
    let mut bomb = "a0: &a0 [x]\n".to_owned();
    for n in 0..60 {
        bomb.push_str(&format!("a{0}: &a{0} [*a{n}, *a{n}]\n", n + 1));
    }
    assert_eq!(list(&bomb).unwrap(), None);
}

/// What PyYAML makes of texts: the list, `null` where a file sets none, `false` where it is refused or no such list;
/// none at all where Python has no PyYAML.
fn python(texts: &[String]) -> Option<Vec<serde_json::Value>> {
    const SCRIPT: &str = "
import json, sys, yaml
def read(text):
    try:
        value = yaml.safe_load(text)
    except Exception:
        return False
    if not isinstance(value, dict) or 'datasource_list' not in value:
        return None
    found = value['datasource_list']
    return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else False
print(json.dumps([read(text) for text in json.load(sys.stdin)]))";
    let mut child = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let written = child.stdin.take()?.write_all(serde_json::to_string(texts).unwrap().as_bytes());
    let output = child.wait_with_output().unwrap();
    written.ok().filter(|()| output.status.success())?;
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// A list that is found must be PyYAML's, and none may be overlooked.
fn agrees(text: &str, python: &serde_json::Value) -> bool {
    match list(text) {
        Ok(Some(found)) => *python == serde_json::json!(found),
        Ok(None) => !python.is_array(),
        Err(_) => true,
    }
}

#[test]
fn pyyaml_says_the_same() {
    let texts: Vec<_> = [GOOD, NONE, REFUSED].concat().into_iter().map(str::to_owned).collect();
    let Some(answers) = python(&texts) else { return };
    for (text, answer) in texts.iter().zip(&answers) {
        assert!(agrees(text, answer), "{text}: {:?}, but PyYAML says {answer}", list(text));
    }
    assert!(answers[..GOOD.len()].iter().all(|answer| answer.is_array()));
}

/// Pieces of YAML, put together at random.
const PIECE: &str = "(datasource_list|\"datasource_list\"|a|b)|: |:|\\[A, B\\]|\\[|\\]|\\{|\\}|, |,|- |\\? |\n|\n  |\n    |\n- \
                     |'|\"|#| #|&x |\\*x|!y |!!str |---\n|--- |\\.\\.\\.\n|\\||>|%|@|<<|A|  |\t|\\\\";

proptest! {
    // Always the same texts: what they leave out is known, and small.
    #![proptest_config(ProptestConfig { cases: 4, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]
    #[test]
    fn pyyaml_says_the_same_of_anything(
        texts in prop::collection::vec(
            prop::collection::vec(PIECE, 0..12).prop_map(|pieces| pieces.concat()),
            400,
        )
    ) {
        let texts: Vec<_> = texts
            .into_iter()
            .flat_map(|text| [format!("datasource_list: [A]\n{text}\n"), format!("{text}datasource_list: [A]\n"), text])
            .collect();
        if let Some(answers) = python(&texts) {
            for (text, answer) in texts.iter().zip(&answers) {
                prop_assert!(agrees(text, answer), "{:?}: {:?}, but PyYAML says {}", text, list(text), answer);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        let _ = datasources(&bytes);
    }

    #[test]
    fn any_value_is_survived(value in "[\\[\\]A-Za-z,' #\\n:-]{0,30}") {
        let _ = list(&format!("datasource_list:{value}"));
    }

    #[test]
    fn written_lists_are_read_back(names in prop::collection::vec("[A-Z][A-Za-z]{0,7}[0-9]", 1..5)) {
        let flow = format!("datasource_list: [ {} ]\n", names.join(", "));
        prop_assert_eq!(list(&flow).unwrap().unwrap(), names.clone());
        let block = format!("datasource_list:\n- {}\n", names.join("\n- "));
        prop_assert_eq!(list(&block).unwrap().unwrap(), names);
    }
}
