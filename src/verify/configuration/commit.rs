//! Which code the agent is made of.

use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{glob, join, read_optional};
use crate::os::python::metadata::fields;
use crate::verify::agent::{Subject, python};
use crate::verify::part::{Found, ReportPart};

/// Where images made with diskimage-builder keep the source that they were made of.
const CHECKOUT: &str = "/opt/guest-agent/.git";

/// As many digits of a commit as tell it from all others.
const DIGITS: usize = 7;

/// What the image says of the agent's code.
#[derive(Debug, Default)]
struct Code {
    version: Option<String>,
    /// Commits in full or in short, with where each is said.
    commits: Vec<(String, String)>,
}

pub(super) fn check(tree: &mut dyn Tree, subject: &Subject, wanted: &str, part: &mut ReportPart) {
    part.check(
        format!("the agent is {wanted}"),
        compare(tree, subject, wanted),
        "agent and control plane of different code may not understand each other's messages",
        "build the image with the agent of the control plane: --agent path:CHECKOUT or --agent pypi:VERSION",
    );
}

fn compare(tree: &mut dyn Tree, subject: &Subject, wanted: &str) -> Found {
    let code = read(tree, subject)?;
    if code.version.as_deref() == Some(wanted) {
        return Ok(None);
    }
    let same = |commit: &str| {
        let (short, long) = if commit.len() < wanted.len() { (commit, wanted) } else { (wanted, commit) };
        short.len() >= DIGITS && long.to_ascii_lowercase().starts_with(&short.to_ascii_lowercase())
    };
    if let Some((commit, _)) = code.commits.first()
        && same(commit)
    {
        return Ok(None);
    }
    let version = code.version.map(|version| format!("version {version}"));
    let commits = code.commits.iter().map(|(commit, place)| format!("commit {commit} ({place})"));
    let found: Vec<_> = version.into_iter().chain(commits).collect();
    if found.is_empty() {
        return Err(ReadError::Unsupported {
            what: "the agent's version",
            reason: "nothing in its Python environment says it".to_owned(),
        });
    }
    Ok(Some(found.join(", ")))
}

/// The installed package says more than the source beside it, which need not be what was installed.
fn read(tree: &mut dyn Tree, subject: &Subject) -> Result<Code, ReadError> {
    let mut code = Code::default();
    let mut patterns = Vec::new();
    if let Some(root) = python::find(tree, &subject.agent)? {
        patterns.push(join(&root, b"lib/python3*/site-packages/trove-*.dist-info"));
        patterns.push(join(&root, b"lib/python3*/site-packages/trove-*.egg-info"));
    }
    patterns.push(b"/usr/lib/python3/dist-packages/trove-*.egg-info".to_vec());
    patterns.push(b"/usr/lib/python3/dist-packages/trove-*.dist-info".to_vec());
    patterns.push(b"/usr/lib/python3*/site-packages/trove-*.egg-info".to_vec());
    for pattern in patterns {
        let Some(directory) = glob(tree, &pattern)?.into_iter().next() else { continue };
        for name in ["METADATA", "PKG-INFO"] {
            let text = read_optional(tree, &join(&directory, name.as_bytes()))?.unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            code.version = code.version.or_else(|| {
                fields(&text).find(|(field, _)| field == "version").map(|(_, version)| version.to_owned())
            });
        }
        let mut commit = |name: &str, keys: &[&str]| -> Result<(), ReadError> {
            let text = read_optional(tree, &join(&directory, name.as_bytes()))?.unwrap_or_default();
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
            let found =
                keys.iter().try_fold(&value, |value, key| value.get(key)).and_then(|value| value.as_str());
            code.commits.extend(
                found.filter(|found| !found.is_empty()).map(|found| (found.to_owned(), name.to_owned())),
            );
            Ok(())
        };
        commit("direct_url.json", &["vcs_info", "commit_id"])?;
        commit("pbr.json", &["git_version"])?;
        break;
    }
    code.commits.extend(checkout(tree)?.map(|commit| (commit, CHECKOUT.to_owned())));
    Ok(code)
}

/// The commit that a checkout is at.
fn checkout(tree: &mut dyn Tree) -> Result<Option<String>, ReadError> {
    let mut read = |name: &str| -> Result<Option<String>, ReadError> {
        let text = read_optional(tree, format!("{CHECKOUT}/{name}").as_bytes())?;
        Ok(text.map(|text| String::from_utf8_lossy(&text).trim().to_owned()))
    };
    let Some(head) = read("HEAD")? else { return Ok(None) };
    let Some(name) = head.strip_prefix("ref:").map(str::trim) else { return Ok(Some(head)) };
    let plain = name.split('/').all(|part| !part.is_empty() && part != "..");
    if let Some(commit) = if plain { read(name)? } else { None } {
        return Ok(Some(commit));
    }
    let packed = read("packed-refs")?.unwrap_or_default();
    let line = packed.lines().filter_map(|line| line.split_once(' ')).find(|(_, packed)| *packed == name);
    Ok(line.map(|(commit, _)| commit.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::UnitIndex;
    use crate::os::testing::MemTree;
    use crate::verify::agent::unit::Agent;

    const INFO: &str = "/opt/guest-agent-venv/lib/python3.11/site-packages/trove-26.0.0.dist-info";
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba98";

    fn found(tree: &MemTree, wanted: &str) -> Found {
        let mut tree = tree.clone();
        let index = UnitIndex::read(&mut tree).unwrap();
        let agent = Agent::new(&mut tree, "guest-agent.service", Default::default()).unwrap();
        compare(&mut tree, &Subject { agent, index, container: true }, wanted)
    }

    fn tree() -> MemTree {
        MemTree::new()
            .file("/opt/guest-agent-venv/pyvenv.cfg", "version = 3.11.2\n")
            .file(&format!("{INFO}/METADATA"), "Name: trove\nVersion: 26.0.0\n\n")
    }

    #[test]
    fn the_package_tells_its_commit_before_the_checkout_beside_it() {
        let pbr = |short: &str| {
            tree().file(&format!("{INFO}/pbr.json"), format!("{{\"git_version\": \"{short}\"}}"))
        };
        let direct = || {
            tree().file(
                &format!("{INFO}/direct_url.json"),
                format!("{{\"vcs_info\": {{\"commit_id\": \"{COMMIT}\"}}}}"),
            )
        };
        let head = |text: &str| tree().file("/opt/guest-agent/.git/HEAD", text);
        for (tree, wanted, fits) in [
            (tree(), "26.0.0", true),
            (tree(), "26.0.1", false),
            (tree(), COMMIT, false),
            (pbr("0123456"), COMMIT, true),
            (pbr("0123456"), "0123456", true),
            (pbr("0123456"), "012345", false),
            (pbr("fedcba9"), COMMIT, false),
            (direct(), "0123456789ABC", true),
            (direct(), OTHER, false),
            (direct().file("/opt/guest-agent/.git/HEAD", OTHER), OTHER, false),
            (head(&format!("{COMMIT}\n")), COMMIT, true),
            (
                head("ref: refs/heads/x\n").file("/opt/guest-agent/.git/refs/heads/x", format!("{COMMIT}\n")),
                COMMIT,
                true,
            ),
            (
                head("ref: refs/heads/x\n").file(
                    "/opt/guest-agent/.git/packed-refs",
                    format!("# pack\n{OTHER} refs/heads/y\n{COMMIT} refs/heads/x\n"),
                ),
                COMMIT,
                true,
            ),
            (head("ref: ../../../etc/passwd\n").file("/etc/passwd", COMMIT), COMMIT, false),
        ] {
            assert_eq!(found(&tree, wanted).unwrap().is_none(), fits, "{wanted}");
        }
        assert!(found(&MemTree::new(), COMMIT).is_err(), "nothing says it");
        assert!(found(&direct().broken(INFO), COMMIT).is_err());
    }
}
