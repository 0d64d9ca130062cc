//! A file of checks, for images that have no recipe or need more than theirs.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::mistake::located;
use super::{Check, CheckFileError};
use crate::given;
use crate::toml_text::Place;
use crate::toml_text::line_of;

const NO_CHECKS: &str = "the file holds no checks: write `[[check]]` above the keys of each";

/// A file of checks, for `tib verify --checks`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tib checks")]
pub struct CheckFile {
    /// The checks, as in a recipe. `checks` is another name for it.
    #[serde(alias = "checks")]
    #[schemars(with = "Vec<Check>")]
    check: Vec<Spanned<Check>>,
}

impl CheckFile {
    /// The JSON Schema, which serde's other name for `check` is not in by itself.
    pub(crate) fn schema() -> serde_json::Value {
        let mut schema = schemars::schema_for!(Self).to_value();
        let checks = schema["properties"]["check"].clone();
        schema["properties"]["checks"] = checks;
        schema["oneOf"] = serde_json::json!([{ "required": ["check"] }, { "required": ["checks"] }]);
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("required");
        }
        schema
    }

    /// Reads a file of checks.
    ///
    /// # Errors
    /// [`CheckFileError::Read`], or [`CheckFileError::Invalid`] with the line of the first mistake.
    pub fn load(path: &Path) -> Result<Vec<Check>, CheckFileError> {
        let text = given::read_to_string(path).map_err(CheckFileError::Read)?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads the text of a file of checks; `origin` is what messages call it.
    ///
    /// # Errors
    /// [`CheckFileError::Invalid`] with the line of the first mistake.
    pub fn parse(origin: &str, text: &str) -> Result<Vec<Check>, CheckFileError> {
        let invalid = |start: usize, message: String| CheckFileError::Invalid {
            place: Place { file: origin.to_owned(), line: line_of(text, start) },
            message,
        };
        if text.parse::<toml::Table>().is_ok_and(|table| table.is_empty()) {
            return Err(invalid(0, NO_CHECKS.to_owned()));
        }
        let file: Self = toml::from_str(text).map_err(|error| {
            let (at, message) = located(text, &error);
            invalid(at, message)
        })?;
        if file.check.is_empty() {
            return Err(invalid(0, NO_CHECKS.to_owned()));
        }
        for check in &file.check {
            check.get_ref().validate().map_err(|fault| invalid(check.span().start, fault))?;
        }
        Ok(file.check.into_iter().map(Spanned::into_inner).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        match CheckFile::parse("x.toml", text) {
            Ok(checks) => format!("{} checks", checks.len()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let path = |more: &str| format!("\n[[check]]\ncheck = 'path'\npath = '/x'\n{more}");
        for (text, message) in [
            ("".to_owned(), "x.toml:1: the file holds no checks: write `[[check]]` above the keys of each"),
            (
                "# c\n# [[check]]\n".to_owned(),
                "x.toml:1: the file holds no checks: write `[[check]]` above the keys of each",
            ),
            (
                "check = []".to_owned(),
                "x.toml:1: the file holds no checks: write `[[check]]` above the keys of each",
            ),
            (
                "\n[check]\ncheck = 'setuid'".to_owned(),
                "x.toml:2: `check` is not a list: write `[[check]]` above the keys of each check",
            ),
            (
                "\ncheck = 'setuid'".to_owned(),
                "x.toml:2: `check` is not a list: write `[[check]]` above the keys of each check",
            ),
            ("name = 'x'".to_owned(), "x.toml:1: unknown key `name`; it can be check, checks"),
            (path("mod = '0644'"), "x.toml:5: unknown key `mod`; did you mean `mode`?"),
            (path("mode = 'rwx'"), "x.toml:2: mode `rwx` is not three or four octal digits such as `0644`"),
            (path("sha256 = 'abc'"), "x.toml:2: sha256 `abc` is not 64 hexadecimal digits"),
            (path("matches = 'a('"), "x.toml:2: `a(` is not a regular expression: unclosed group"),
            (
                path("matches = '(\\w{1000}){1000}'"),
                "x.toml:2: the regular expression `(\\w{1000}){1000}` is too large",
            ),
            (
                "[[check]]\ncheck = 'path'\npath = 'x'".to_owned(),
                "x.toml:1: path `x` is not an absolute path",
            ),
            ("[[check]]\nname = 'x'".to_owned(), "x.toml:1: missing key `check`"),
            (
                "[[check]]\ncheck = 'unit-link'".to_owned(),
                "x.toml:2: `check`: unknown value `unit-link`; did you mean `unit-links`?",
            ),
            (
                "[[check]]\ncheck = 'unit-links'\nname = 'x'".to_owned(),
                "x.toml:3: unknown key `name`; there are none here",
            ),
            (
                "[[check]]\ncheck = 'package'\nname = 'x'\nversion = '>= 1 2'".to_owned(),
                "x.toml:1: `1 2` is not a version",
            ),
            (
                "[[check]]\ncheck = 'package'\nname = 'a b'".to_owned(),
                "x.toml:1: `a b` is not a package name",
            ),
            (
                "[[check]]\ncheck = 'unit'\nname = 'a/b'".to_owned(),
                "x.toml:1: `a/b` is not the name of a unit",
            ),
            (
                "[[check]]\ncheck = 'unit'\nname = 'a'\nexists = false\nstate = 'masked'".to_owned(),
                "x.toml:1: a unit that does not exist has no `state`",
            ),
            (
                "[[check]]\ncheck = 'user'\nname = 'a'\nexists = false\nuid = 1".to_owned(),
                "x.toml:1: a user that does not exist has no further keys",
            ),
            (
                "[[check]]\ncheck = 'group'\nname = 'a'\nexists = false\ngid = 1".to_owned(),
                "x.toml:1: a group that does not exist has no `gid`",
            ),
            (
                "[[check]]\ncheck = 'sudo'\nwho = '%a'\nallowed = false\npassword = true".to_owned(),
                "x.toml:1: `password` means nothing with `allowed = false`",
            ),
            (
                "[[check]]\ncheck = 'sysctl'\nkey = 'a.*'\nvalue = '1'".to_owned(),
                "x.toml:1: `a.*` is a pattern, not a kernel setting",
            ),
            (
                "[[check]]\ncheck = 'config'\npath = '/x'\nkey = 'k'\nset = false\nvalue = '1'".to_owned(),
                "x.toml:1: a key that is not set has no `value`",
            ),
            (
                "[[check]]\ncheck = 'config'\npath = []\nkey = 'k'".to_owned(),
                "x.toml:1: `path` is empty: nothing would be looked at",
            ),
            (
                "[[check]]\ncheck = 'config'\npath = 1\nkey = 'k'".to_owned(),
                "x.toml:3: `path`: expected a string or a list of strings",
            ),
            (
                "[[check]]\ncheck = 'setuid'\nallow = ['/a/**/b']".to_owned(),
                "x.toml:1: `/a/**/b` has `**` before its last part",
            ),
            (
                "[[check]]\ncheck = 'links'\nbelow = []".to_owned(),
                "x.toml:1: `below` is empty: nothing would be looked at",
            ),
            ("[[checks]]\ncheck = 'setuid'\n[[checks]]\ncheck = 'links'".to_owned(), "2 checks"),
            (path("mode = 644"), "x.toml:5: `mode`: invalid type: integer `644`, expected a string"),
            (
                "[[check]]\ncheck = 'setuid'\n\n[[check]]\nkey = 'a.b'\nvalue = 1\ncheck = 'sysctl'"
                    .to_owned(),
                "x.toml:6: `value`: invalid type: integer `1`, expected a string",
            ),
            (
                "[[checks]]\ncheck = 'links'\n[[checks]]\nname = 'a'\ncheck = 'unit'\nstate = 'on'"
                    .to_owned(),
                "x.toml:6: `state`: unknown value `on`; it can be enabled, disabled, masked",
            ),
            (
                "[[check]]\ncheck = 'links'\n\n[[check]]\ncheck = 'user'".to_owned(),
                "x.toml:4: missing key `name`",
            ),
            ("[[check]]\ncheck = 'links'\n[[check]]\n".to_owned(), "x.toml:3: missing key `check`"),
            (
                "check = [{ check = 'user', name = 1 }]".to_owned(),
                "x.toml:1: `name`: invalid type: integer `1`, expected a string",
            ),
            (path("matches = ''"), "x.toml:2: `matches` is empty: it fits every file"),
            (path("contains = ''"), "x.toml:2: `contains` is empty: it fits every file"),
            (path("lacks = ''"), "x.toml:2: `lacks` is empty: it fits no file"),
            (
                path("exists = false\nmode = '0644'"),
                "x.toml:2: a path that does not exist has no further keys",
            ),
            (
                "[[check]]\ncheck = 'path'\npath = '/etc/*.conf'".to_owned(),
                "x.toml:1: `/etc/*.conf` is a pattern, not a path; those of config, world-writable, setuid and links may be patterns",
            ),
            (
                "[[check]]\ncheck = 'datasources'\nnames = []".to_owned(),
                "x.toml:1: `names` is empty: nothing would be looked for",
            ),
            (
                "[[check]]\ncheck = 'package'\nname = 'a'\ninstalled = false\nversion = '1'".to_owned(),
                "x.toml:1: a package that is not installed has no `version`",
            ),
        ] {
            assert_eq!(fault(&text), message, "{text}");
        }
    }

    #[test]
    fn the_documentation_has_a_good_example_of_every_check() {
        let text = include_str!("../../docs/checks.md");
        let mut shown = std::collections::BTreeSet::new();
        for (number, block) in text.split("```toml\n").skip(1).enumerate() {
            let block = block.split("```").next().unwrap();
            let checks = CheckFile::parse(&format!("example {}", number + 1), block).unwrap();
            for check in checks {
                let value = toml::Value::try_from(&check).unwrap();
                shown.insert(value["check"].as_str().unwrap().to_owned());
                // What is written is read again, as plans are.
                assert_eq!(value.try_into::<Check>().unwrap(), check);
            }
        }
        let schema = CheckFile::schema();
        let kinds = schema["$defs"]["Check"]["oneOf"].as_array().unwrap();
        let kinds =
            kinds.iter().map(|kind| kind["properties"]["check"]["const"].as_str().unwrap().to_owned());
        assert_eq!(shown, kinds.collect());
    }

    #[test]
    fn the_schema_on_disk_is_the_codes() {
        let wanted = format!("{:#}\n", CheckFile::schema());
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/checks.schema.json");
        assert_eq!(fs_err::read_to_string(path).unwrap(), wanted, "run `make generate`");
    }
}
