//! What recipes set of AppArmor's profiles: links as `aa-disable` makes them, and rules in `local/`, which belongs to no package.
//!
//! The guest's own parser judges the result, with the guest's own abstractions: only it knows the profile that a package of this
//! very build has brought, and the language of the release that will load it.

use super::EngineError;
use crate::check::ProfileMode;
use crate::guest::{Access, Guest, Script};
use crate::inspect::apparmor::headers;
use crate::recipe::{ApparmorMode, ApparmorStep};
use crate::shell::quote;

/// Carries the step out, but for the profile's own file, which must be there by now.
pub(super) fn apply(guest: &mut dyn Guest, step: &ApparmorStep) -> Result<(), EngineError> {
    let path = step.path();
    let unable = |reason: String| EngineError::Unable {
        what: format!("set up the AppArmor profile {}", step.profile),
        reason,
    };
    if guest.lstat(&path)?.is_none() {
        return Err(unable(format!(
            "it has no {path}; install the package that brings it, or give its `text`"
        )));
    }
    let declared = headers(&guest.read(&path)?).map_err(|reason| unable(format!("{path}: {reason}")))?;
    let own = declared.iter().find(|header| !header.nested && header.mode() != ProfileMode::Enforce);
    if let Some(own) = own
        && step.mode == Some(ApparmorMode::Enforce)
    {
        return Err(unable(format!(
            "the flags of {} in {path} make its mode {}, which no link changes; leave `mode` out, or give its `text` without them",
            own.name,
            own.mode().name()
        )));
    }
    if let Some(local) = &step.local {
        if !declared.iter().any(|header| header.local().any(|name| name == step.profile)) {
            return Err(unable(format!(
                "{path} does not include local/{}: additions would do nothing",
                step.profile
            )));
        }
        add(guest, &step.local_path(), local)?;
    }
    // The parser passes over a profile that is disabled, so the links come after it.
    let (disable, complain) = (step.disable_path(), step.complain_path());
    let before = match (guest.lstat(&disable)?, guest.lstat(&complain)?) {
        (Some(_), _) => ApparmorMode::Disable,
        (None, Some(_)) => ApparmorMode::Complain,
        (None, None) => ApparmorMode::Enforce,
    };
    for link in [&disable, &complain] {
        if guest.lstat(link)?.is_some() {
            guest.remove(link)?;
        }
    }
    guest.run(&Script::new(format!("parsing the AppArmor profile {}", step.profile), parse_script(&path)))?;
    let link = match step.mode.unwrap_or(before) {
        ApparmorMode::Enforce => return Ok(()),
        ApparmorMode::Complain => complain,
        ApparmorMode::Disable => disable,
    };
    if let Some((parent, _)) = link.rsplit_once('/')
        && guest.lstat(parent)?.is_none()
    {
        guest.mkdir_p(parent, Access::root(0o755))?;
    }
    Ok(guest.symlink(&path, &link)?)
}

/// Nothing is loaded and nothing cached. Where there is no parser, AppArmor is not in use either.
fn parse_script(path: &str) -> String {
    format!(
        "PATH=\"$PATH:/usr/sbin:/sbin\"\nif command -v apparmor_parser >/dev/null; then\n    \
         apparmor_parser -Q -K {path}\nelse\n    \
         echo {} >&2\nfi\n",
        quote(&format!("{path} was not parsed: the image has no apparmor_parser")),
        path = quote(path),
    )
}

/// Adds rules at the end of a file, unless it has them. Owner and mode stay.
fn add(guest: &mut dyn Guest, path: &str, rules: &str) -> Result<(), EngineError> {
    let (mut text, access) = match guest.lstat(path)? {
        Some(stat) => {
            let text = String::from_utf8_lossy(&guest.read(path)?).into_owned();
            (text, Access { mode: stat.mode, uid: stat.uid, gid: stat.gid })
        }
        None => (String::new(), Access::root(0o644)),
    };
    if format!("\n{text}\n").contains(&format!("\n{rules}")) {
        return Ok(());
    }
    if let Some((parent, _)) = path.rsplit_once('/')
        && guest.lstat(parent)?.is_none()
    {
        guest.mkdir_p(parent, Access::root(0o755))?;
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(rules);
    Ok(guest.write(path, text.as_bytes(), access)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::FakeGuest;

    const PROFILE: &str =
        "/usr/sbin/mysqld {\n  #include <tunables/global>\n  include if exists <local/m>\n}\n";

    fn step(local: Option<&str>, mode: Option<ApparmorMode>) -> ApparmorStep {
        ApparmorStep { profile: "m".to_owned(), content: None, local: local.map(str::to_owned), mode }
    }

    fn guest() -> FakeGuest {
        let mut guest = FakeGuest::new();
        guest.put("/etc/apparmor.d/m", PROFILE, 0o644);
        guest
    }

    #[test]
    fn rules_are_added_once_and_others_stay() {
        let mut guest = guest();
        guest.put("/etc/apparmor.d/local/m", "# Site-specific\n/srv/ r,", 0o640);
        for _ in 0..2 {
            apply(&mut guest, &step(Some("/tmp/ rw,\n/tmp/** rwk,\n"), None)).unwrap();
            let text = guest.text("/etc/apparmor.d/local/m");
            assert_eq!(text.as_deref(), Some("# Site-specific\n/srv/ r,\n/tmp/ rw,\n/tmp/** rwk,\n"));
        }
        assert!(guest.listing().iter().any(|line| line.starts_with("/etc/apparmor.d/local/m 640")));
    }

    #[test]
    fn modes_are_links_and_any_follows_any() {
        use ApparmorMode::{Complain, Disable, Enforce};
        for before in [Enforce, Complain, Disable] {
            for (mode, wanted) in [
                (None, before),
                (Some(Enforce), Enforce),
                (Some(Complain), Complain),
                (Some(Disable), Disable),
            ] {
                let mut guest = guest();
                apply(&mut guest, &step(None, Some(before))).unwrap();
                apply(&mut guest, &step(None, mode)).unwrap();
                let links: Vec<_> = ["disable", "force-complain"]
                    .map(|place| guest.read_link(&format!("/etc/apparmor.d/{place}/m")).ok())
                    .into();
                let target = |is| if is { Some("/etc/apparmor.d/m".to_owned()) } else { None };
                assert_eq!(
                    links,
                    [target(wanted == Disable), target(wanted == Complain)],
                    "{before:?} {mode:?}"
                );
            }
        }
    }

    #[test]
    fn what_would_do_nothing_is_refused() {
        let error = apply(&mut FakeGuest::new(), &step(None, Some(ApparmorMode::Disable))).unwrap_err();
        assert!(error.to_string().contains("has no /etc/apparmor.d/m"), "{error}");
        let mut guest = guest();
        for lacks in [
            "# include <local/m> is what it lacks\n/bin/x {}\n",
            "include <local/m>\n/bin/x { include <local/mm> \n}\n",
        ] {
            guest.put("/etc/apparmor.d/m", lacks, 0o644);
            let error = apply(&mut guest, &step(Some("/tmp/ r,\n"), None)).unwrap_err();
            assert!(error.to_string().contains("does not include local/m"), "{error}");
        }
        assert_eq!(guest.text("/etc/apparmor.d/local/m"), None);
        guest.put("/etc/apparmor.d/m", "/bin/x flags=(attach_disconnected, complain) {\n}\n", 0o644);
        let error = apply(&mut guest, &step(None, Some(ApparmorMode::Enforce))).unwrap_err();
        assert!(error.to_string().contains("make its mode complain"), "{error}");
        apply(&mut guest, &step(None, Some(ApparmorMode::Complain))).unwrap();
        guest.put("/etc/apparmor.d/m", "/bin/x {\n", 0o644);
        let error = apply(&mut guest, &step(None, Some(ApparmorMode::Complain))).unwrap_err();
        assert!(error.to_string().contains("a block does not end"), "{error}");
    }

    /// The script is run for real, by the parser of this host.
    #[test]
    fn the_parser_judges_without_a_kernel_that_has_apparmor() {
        let directory = tempfile::tempdir().unwrap();
        let parse = |text: &str, path: &str| {
            let file = directory.path().join("profile");
            std::fs::write(&file, text).unwrap();
            let script = parse_script(file.to_str().unwrap());
            let mut command = std::process::Command::new("/bin/sh");
            let output = command.args(["-euc", &script]).env("PATH", path).output().unwrap();
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let path = "/usr/sbin:/usr/bin:/sbin:/bin";
        let (good, told) = parse("/usr/bin/x {\n  /tmp/ rw,\n  /tmp/** rwk,\n}\n", path);
        assert!(good && !told.contains("was not parsed"), "{told}");
        let (good, told) = parse("/usr/bin/x {\n  /tmp/ zz,\n}\n", path);
        assert!(!good && told.contains("at line 2"), "{told}");
    }
}
