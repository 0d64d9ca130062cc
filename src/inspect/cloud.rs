//! cloud-init: where it looks for its orders, and whom it lets in.

use schemars::JsonSchema;
use serde::Serialize;

use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::datasource::{config_files, effective_datasources};
use crate::os::files::{escape, glob, read_optional, show};

/// What there is of cloud-init.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CloudInit {
    /// Its version, the packager's where it says one.
    pub version: Option<String>,
    /// What keeps it from running: the path of the file.
    pub disabled: Option<String>,
    /// The data sources it tries, in order, and who says so; none: it tries all it knows.
    pub datasources: Option<Datasources>,
    /// The user that gets the keys of the instance, if `users` does not leave it out.
    pub default_user: Option<DefaultUser>,
    /// What `/etc/cloud/ds-identify.cfg` says, which decides before cloud-init starts.
    pub ds_identify: Option<DsIdentify>,
}

/// An effective `datasource_list`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Datasources {
    /// The names, in the order in which they are tried.
    pub list: Vec<String>,
    /// The file that sets it; the last one does.
    pub file: String,
}

/// The default user of an image.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct DefaultUser {
    /// Login name.
    pub name: String,
    /// The file that sets it.
    pub file: String,
}

/// The settings of ds-identify.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct DsIdentify {
    /// `policy`, such as `enabled`, `disabled` or `search,found=all,maybe=all,notfound=disabled`.
    pub policy: Option<String>,
    /// The only data source, if one is named.
    pub datasource: Option<String>,
}

/// Looks at cloud-init; `None` when there is none.
///
/// # Errors
/// [`ReadError::Malformed`] for a configuration in a form that is not read, [`ReadError::Disk`].
pub(crate) fn cloud(tree: &mut dyn Tree) -> Result<Option<CloudInit>, ReadError> {
    let version = version(tree)?;
    let present =
        version.is_some() || tree.exists(b"/usr/bin/cloud-init")? || tree.exists(b"/etc/cloud/cloud.cfg")?;
    if !present {
        return Ok(None);
    }
    const DISABLED: &str = "/etc/cloud/cloud-init.disabled";
    let datasources = effective_datasources(tree)?;
    Ok(Some(CloudInit {
        version,
        disabled: tree.exists(DISABLED.as_bytes())?.then(|| DISABLED.to_owned()),
        datasources: datasources.map(|found| Datasources { list: found.list, file: show(&found.file) }),
        default_user: default_user(tree)?,
        ds_identify: ds_identify(tree)?,
    }))
}

/// From cloud-init's own code: packagers write their version beside its own.
fn version(tree: &mut dyn Tree) -> Result<Option<String>, ReadError> {
    for pattern in [
        "/usr/lib/python3/dist-packages",
        "/usr/lib/python3.*/site-packages",
        "/usr/lib/python2.*/site-packages",
    ] {
        for path in glob(tree, format!("{pattern}/cloudinit/version.py").as_bytes())? {
            let Some(text) = read_optional(tree, &path)? else { continue };
            let text = String::from_utf8_lossy(&text);
            let value = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix('='))?;
                let value = line.trim().trim_matches(['\'', '"']);
                (!value.is_empty() && !value.starts_with('@')).then(|| escape(value))
            };
            if let Some(version) = value("_PACKAGED_VERSION").or_else(|| value("__VERSION__")) {
                return Ok(Some(version));
            }
        }
    }
    Ok(None)
}

/// `user` counts more than `system_info`'s `default_user`; of each, the last file's.
fn default_user(tree: &mut dyn Tree) -> Result<Option<DefaultUser>, ReadError> {
    let (mut of_system, mut own) = (None, None);
    for path in config_files(tree)? {
        let Some(text) = read_optional(tree, &path)? else { continue };
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let get = |keys: &[&str]| lookup(&lines, keys).map_err(|reason| ReadError::malformed(&path, reason));
        let user =
            |name: Option<String>| name.map(|name| DefaultUser { name: escape(&name), file: show(&path) });
        of_system = user(get(&["system_info", "default_user", "name"])?).or(of_system);
        own = user(match get(&["user", "name"])? {
            Some(name) => Some(name),
            None => get(&["user"])?,
        })
        .or(own);
    }
    Ok(own.or(of_system))
}

/// The plain value below some keys of nested YAML blocks; `None` when there is no such key, or something else
/// than the wanted kind below it. Other forms of YAML on the way are errors: guessing would name the wrong user.
fn lookup(lines: &[&str], keys: &[&str]) -> Result<Option<String>, String> {
    let Some((key, deeper)) = keys.split_first() else { return Ok(None) };
    let content = |line: &&str| !matches!(line.trim_start().as_bytes(), [] | [b'#', ..]) && *line != "---";
    let Some(first) = lines.iter().find(|line| content(line)) else { return Ok(None) };
    let indent = depth(first);
    let mut found = None;
    for (at, line) in lines.iter().enumerate() {
        if !content(line) || depth(line) != indent {
            continue;
        }
        let Some((name, value)) = line.trim().split_once(':') else { continue };
        if name.trim_end().trim_matches(['\'', '"']) != *key {
            continue;
        }
        let value = plain(value).map_err(|form| format!("tib does not read `{key}` as {form}"))?;
        found = match (deeper, value) {
            ([], value) => value,
            (_, Some(_)) => None,
            (deeper, None) => {
                let below = &lines[at + 1..];
                let end = below.iter().position(|line| content(line) && depth(line) <= indent);
                lookup(&below[..end.unwrap_or(below.len())], deeper)?
            }
        };
    }
    Ok(found)
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// A scalar without quotes and comment; `None` when there is none on this line.
fn plain(value: &str) -> Result<Option<String>, &'static str> {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            let inside = rest.split(quote).next().unwrap_or_default();
            return if inside.contains('\\') { Err("quoted text") } else { Ok(Some(inside.to_owned())) };
        }
    }
    let value = match value.split_once(" #") {
        Some((value, _)) => value.trim_end(),
        None if value.starts_with('#') => "",
        None => value,
    };
    match value.as_bytes() {
        [] => Ok(None),
        [b'{' | b'[', ..] => Err("a flow of YAML"),
        [b'&' | b'*' | b'|' | b'>' | b'!', ..] => Err("an anchor, a tag or a block of text"),
        _ => Ok(Some(value.to_owned()).filter(|value| value != "null" && value != "~")),
    }
}

fn ds_identify(tree: &mut dyn Tree) -> Result<Option<DsIdentify>, ReadError> {
    let Some(text) = read_optional(tree, b"/etc/cloud/ds-identify.cfg")? else { return Ok(None) };
    let text = String::from_utf8_lossy(&text);
    let get = |key: &str| {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        let mut values = lines.filter_map(|line| line.split_once(':')).filter(|(name, _)| name.trim() == key);
        values.next_back().map(|(_, value)| escape(value.trim())).filter(|value| !value.is_empty())
    };
    Ok(Some(DsIdentify { policy: get("policy"), datasource: get("datasource") }))
}

/// For the fuzzer: looks for a user in any text.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn any_text(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<_> = text.lines().collect();
    let _ = lookup(&lines, &["system_info", "default_user", "name"]);
    let _ = lookup(&lines, &["user"]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::os::testing::MemTree;

    const CFG: &str = "users:\n   - default\ndatasource_list: [ NoCloud, None ]\nsystem_info:\n   # who\n   distro: debian\n   default_user:\n     \
                       name: debian\n     groups: [adm, sudo]\n   paths:\n      name: no\nother:\n  name: no\n";

    fn tree() -> MemTree {
        MemTree::new().file("/etc/cloud/cloud.cfg", CFG).file(
            "/usr/lib/python3/dist-packages/cloudinit/version.py",
            "__VERSION__ = \"22.4.2\"\n_PACKAGED_VERSION = '22.4.2-1+deb12u3'\n",
        )
    }

    #[test]
    fn the_last_file_wins() {
        let found = cloud(&mut tree()).unwrap().unwrap();
        assert_eq!(found.version.as_deref(), Some("22.4.2-1+deb12u3"));
        let user = found.default_user.unwrap();
        assert_eq!((user.name.as_str(), user.file.as_str()), ("debian", "/etc/cloud/cloud.cfg"));
        assert_eq!((found.disabled, found.ds_identify), (None, None));

        let mut tree = tree()
            .file("/etc/cloud/cloud.cfg.d/10.cfg", "datasource_list: [ OpenStack ]\n")
            .file("/etc/cloud/cloud.cfg.d/20.cfg", "system_info:\n  default_user:\n    name: 'ubuntu' # c\n")
            .file("/etc/cloud/cloud.cfg.d/30.cfg", "system_info:\n  default_user:\n    shell: /bin/sh\n")
            .file("/etc/cloud/cloud-init.disabled", "")
            .file("/etc/cloud/ds-identify.cfg", "# c\npolicy: search,found=all # d\ndatasource: OpenStack\n");
        let found = cloud(&mut tree).unwrap().unwrap();
        assert_eq!(found.datasources.as_ref().unwrap().list, ["OpenStack"]);
        assert_eq!(found.datasources.unwrap().file, "/etc/cloud/cloud.cfg.d/10.cfg");
        let user = found.default_user.unwrap();
        assert_eq!((user.name.as_str(), user.file.as_str()), ("ubuntu", "/etc/cloud/cloud.cfg.d/20.cfg"));
        assert!(found.disabled.is_some());
        let expected = DsIdentify {
            policy: Some("search,found=all".to_owned()),
            datasource: Some("OpenStack".to_owned()),
        };
        assert_eq!(found.ds_identify, Some(expected));

        let mut tree = tree.file("/etc/cloud/cloud.cfg.d/00.cfg", "user: ops\n");
        assert_eq!(cloud(&mut tree).unwrap().unwrap().default_user.unwrap().name, "ops");
        assert_eq!(cloud(&mut MemTree::new()).unwrap(), None);
    }

    #[test]
    fn values_in_blocks() {
        let keys = ["a", "b", "c"];
        for (text, expected) in [
            ("a:\n  b:\n    c: x\n", Ok(Some("x"))),
            ("a:\n b:\n  # d\n\n  c: \"x y\" # z\n", Ok(Some("x y"))),
            ("---\n'a':\n  b:\n    c: 1\n    c: 2\n", Ok(Some("2"))),
            ("a:\n  b:\n    d:\n      c: x\n", Ok(None)),
            ("a:\n  c: x\nb:\n  c: y\n", Ok(None)),
            ("a: x\n", Ok(None)),
            ("a:\nb:\n  c: x\n", Ok(None)),
            ("a:\n  b:\n    c: ~\n", Ok(None)),
            ("z: |\n  a:\n    b:\n", Ok(None)),
            ("a: {b: {c: x}}\n", Err(())),
            ("a: &x\n  b:\n", Err(())),
            ("a:\n  b:\n    c: \"\\x41\"\n", Err(())),
        ] {
            let lines: Vec<_> = text.lines().collect();
            let found = lookup(&lines, &keys).map_err(|_| ());
            assert_eq!(found.as_ref().map(Option::as_deref), expected.as_ref().map(|e| *e), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for tree in [
            tree().file("/etc/cloud/cloud.cfg.d/1.cfg", "system_info: {}\n"),
            tree().file("/etc/cloud/cloud.cfg.d/1.cfg", "datasource_list: x\n"),
            tree().broken("/etc/cloud/ds-identify.cfg"),
            tree().broken("/usr/lib"),
        ] {
            assert!(cloud(&mut tree.clone()).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            any_text(&bytes);
        }

        #[test]
        fn any_block_is_survived(text in "( {0,4}(system_info|default_user|name|user):? ?[a-z'{\"#]{0,3}\n){0,8}") {
            any_text(text.as_bytes());
        }
    }
}
