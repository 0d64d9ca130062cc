//! cloud-init's `datasource_list`, as it takes effect.
//!
//! Not a YAML parser: it reads this one top-level key in the forms people and tools write, and says so when it
//! meets another one. Guessing would let a wrong list pass.

use super::VerifyError;
use super::look::{join, names, read_optional};
use crate::disk::Tree;

const MAIN: &[u8] = b"/etc/cloud/cloud.cfg";
const DIRECTORY: &[u8] = b"/etc/cloud/cloud.cfg.d";

/// The data sources cloud-init tries, in order. `None`: no file says, so it tries all it knows.
///
/// `cloud.cfg` comes first, then `cloud.cfg.d/*.cfg` by name; the last one that sets the list wins.
///
/// # Errors
/// [`VerifyError::Malformed`] for a form this does not read, [`VerifyError::Disk`].
pub fn datasource_list(tree: &mut dyn Tree) -> Result<Option<Vec<String>>, VerifyError> {
    Ok(effective_datasources(tree)?.map(|effective| effective.list))
}

/// The list that takes effect, and the file that sets it.
pub(super) struct Effective {
    pub(super) list: Vec<String>,
    pub(super) file: Vec<u8>,
}

/// As [`datasource_list`], with the file.
pub(super) fn effective_datasources(tree: &mut dyn Tree) -> Result<Option<Effective>, VerifyError> {
    let mut effective = None;
    for path in config_files(tree)? {
        let Some(text) = read_optional(tree, &path)? else { continue };
        if let Some(list) = parse(&text).map_err(|reason| VerifyError::malformed(&path, reason))? {
            effective = Some(Effective { list, file: path });
        }
    }
    Ok(effective)
}

/// The files cloud-init reads; what a later one says replaces what an earlier one says.
pub(super) fn config_files(tree: &mut dyn Tree) -> Result<Vec<Vec<u8>>, VerifyError> {
    let mut files = vec![MAIN.to_vec()];
    let drop_ins = names(tree, DIRECTORY)?;
    files.extend(drop_ins.iter().filter(|name| name.ends_with(b".cfg")).map(|name| join(DIRECTORY, name)));
    Ok(files)
}

/// Reads the list out of one file; `None` when the file does not set it.
fn parse(text: &[u8]) -> Result<Option<Vec<String>>, String> {
    const KEY: &str = "datasource_list";
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines();
    let mut found = None;
    while let Some(line) = lines.next() {
        let Some(value) = value_of(line, KEY) else { continue };
        let value = without_comment(value).trim();
        let list = if value.is_empty() {
            block(lines.clone())?
        } else if value.starts_with('[') {
            flow(value, &mut lines)?
        } else {
            return Err(format!("`{KEY}` is not a plain list"));
        };
        if found.replace(list).is_some() {
            return Err(format!("`{KEY}` is set twice"));
        }
    }
    Ok(found)
}

/// The rest of a line that sets a top-level key.
fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let line = line.trim_start_matches('\u{feff}');
    let quoted = |quote: char| line.strip_prefix(quote)?.strip_prefix(key)?.strip_prefix(quote);
    let rest = line.strip_prefix(key).or_else(|| quoted('"')).or_else(|| quoted('\''))?;
    let value = rest.trim_start().strip_prefix(':')?;
    (value.is_empty() || value.starts_with(char::is_whitespace)).then_some(value)
}

/// `[ A, B ]`, over any number of lines.
fn flow<'a>(first: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<Vec<String>, String> {
    let mut text = first.to_owned();
    while !text.contains(']') {
        let line = lines.next().ok_or("the list of `datasource_list` does not end")?;
        text.push(' ');
        text.push_str(without_comment(line).trim());
    }
    let (inside, after) = text[1..].split_once(']').ok_or("the list does not end")?;
    if !after.trim().is_empty() {
        return Err("something follows the list of `datasource_list`".to_owned());
    }
    let mut items: Vec<&str> = inside.split(',').map(str::trim).collect();
    if items.last() == Some(&"") {
        items.pop(); // An empty list, or a comma at the end.
    }
    items.into_iter().map(item).collect()
}

/// `- A` lines after the key, indented or not, until something else.
fn block<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<String>, String> {
    let mut items = Vec::new();
    for line in lines {
        let content = without_comment(line).trim();
        if content.is_empty() {
            continue;
        }
        match content.strip_prefix('-') {
            Some(rest) if rest.starts_with(char::is_whitespace) => items.push(item(rest.trim())?),
            _ if line.starts_with(char::is_whitespace) || content == "-" => {
                return Err("`datasource_list` is not a list of names".to_owned());
            }
            _ => break,
        }
    }
    if items.is_empty() { Err("`datasource_list` is empty".to_owned()) } else { Ok(items) }
}

/// A name, in quotes or not.
fn item(text: &str) -> Result<String, String> {
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    let name = quoted('"').or_else(|| quoted('\'')).unwrap_or(text);
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if plain {
        Ok(name.to_owned())
    } else {
        Err(format!("`{}` is not the name of a data source", super::look::escape(name)))
    }
}

/// Names hold no `#`, so quotes need no care here.
fn without_comment(line: &str) -> &str {
    match line.char_indices().find(|&(at, c)| c == '#' && (at == 0 || line[..at].ends_with([' ', '\t']))) {
        Some((at, _)) => &line[..at],
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::MemTree;
    use super::*;

    fn list(text: &str) -> Result<Option<Vec<String>>, String> {
        parse(text.as_bytes())
    }

    #[test]
    fn forms() {
        for text in [
            "datasource_list: [ ConfigDrive, OpenStack ]\n",
            "a: 1\ndatasource_list: ['ConfigDrive', \"OpenStack\",] # c\nb: 2",
            "datasource_list:\n  - ConfigDrive\n\n  # c\n  - 'OpenStack' # d\nb: 2\n",
            "datasource_list :\n- ConfigDrive\n- OpenStack\n",
            "\"datasource_list\": [ConfigDrive,\n   OpenStack\n]\n",
            "#datasource_list: [None]\ndatasource_list: [ConfigDrive, OpenStack]\nx:\n  datasource_list: [ None ]\n",
        ] {
            assert_eq!(list(text).unwrap().unwrap(), ["ConfigDrive", "OpenStack"], "{text}");
        }
        assert_eq!(list("datasource: {}\ndatasource_list_x: [A]\n").unwrap(), None);
        assert_eq!(list("datasource_list: []\n").unwrap(), Some(vec![]));
    }

    #[test]
    fn other_forms_are_refused_not_guessed() {
        for text in [
            "datasource_list: *anchor\n",
            "datasource_list: ConfigDrive\n",
            "datasource_list: [ A, [B] ]\n",
            "datasource_list: [ A\n",
            "datasource_list:\n  a: 1\n",
            "datasource_list:\n",
            "datasource_list: [A]\ndatasource_list: [B]\n",
            "datasource_list: [A, , B]\n",
        ] {
            assert!(list(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_file_wins() {
        let mut tree = MemTree::new()
            .file("/etc/cloud/cloud.cfg", "datasource_list: [ A ]\n")
            .file("/etc/cloud/cloud.cfg.d/90_dpkg.cfg", "# dpkg\ndatasource_list: [ B, C ]\n")
            .file("/etc/cloud/cloud.cfg.d/95_other.cfg", "users: []\n")
            .file("/etc/cloud/cloud.cfg.d/99_list.bak", "datasource_list: [ D ]\n");
        assert_eq!(datasource_list(&mut tree).unwrap().unwrap(), ["B", "C"]);
        assert_eq!(datasource_list(&mut MemTree::new()).unwrap(), None);
        assert!(datasource_list(&mut tree.clone().broken("/etc/cloud/cloud.cfg.d")).is_err());
        assert_eq!(
            effective_datasources(&mut tree).unwrap().unwrap().file,
            b"/etc/cloud/cloud.cfg.d/90_dpkg.cfg"
        );
        let mut bad = tree.file("/etc/cloud/cloud.cfg.d/99.cfg", "datasource_list: no\n");
        let error = datasource_list(&mut bad).unwrap_err().to_string();
        assert!(error.contains("/etc/cloud/cloud.cfg.d/99.cfg"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_value_is_survived(value in "[\\[\\]A-Za-z,' #\\n:-]{0,30}") {
            let _ = parse(format!("datasource_list:{value}").as_bytes());
        }

        #[test]
        fn written_lists_are_read_back(names in prop::collection::vec("[A-Z][A-Za-z]{0,8}", 1..5)) {
            let flow = format!("datasource_list: [ {} ]\n", names.join(", "));
            prop_assert_eq!(list(&flow).unwrap().unwrap(), names.clone());
            let block = format!("datasource_list:\n- {}\n", names.join("\n- "));
            prop_assert_eq!(list(&block).unwrap().unwrap(), names);
        }
    }
}
