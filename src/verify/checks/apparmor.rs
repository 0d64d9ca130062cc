//! Profiles of AppArmor.

use super::{Found, sentence};
use crate::check::{ApparmorCheck, rules};
use crate::disk::Tree;
use crate::inspect::apparmor::{Apparmor, Profile, apparmor};
use crate::os::files::escape;

/// Looks for a profile by its name, or for those of a file by the file's.
pub(super) fn check(tree: &mut dyn Tree, check: &ApparmorCheck) -> Found {
    let Some(found) = apparmor(tree)? else {
        return Ok(check.exists.then(|| "the image has no AppArmor".to_owned()));
    };
    let profiles = named(&found, &check.profile);
    match (profiles.first(), check.exists) {
        (None, true) => return Ok(Some("nothing declares it".to_owned())),
        (None, false) => return Ok(None),
        (Some(profile), false) => return Ok(Some(format!("{} declares it", profile.file))),
        (Some(_), true) => {}
    }
    let mut wrong = Vec::new();
    if let Some(mode) = check.mode {
        wrong.extend(
            profiles
                .iter()
                .filter(|profile| profile.mode != mode)
                .map(|profile| format!("{} is in mode {}", profile.name, profile.mode.name())),
        );
        if mode.is_loaded() && wrong.is_empty() {
            wrong.extend(why_not_loaded(&found));
        }
    }
    for rule in check.local.iter().flat_map(|text| rules(text)).map(|rule| escape(&rule)) {
        wrong.extend(
            profiles
                .iter()
                .filter(|profile| !profile.local.contains(&rule))
                .map(|profile| format!("no file of local/ that {} includes has `{rule}`", profile.name)),
        );
    }
    Ok(sentence(&wrong))
}

/// A profile's own name goes before that of a file.
fn named<'a>(found: &'a Apparmor, name: &str) -> Vec<&'a Profile> {
    let name = escape(name);
    let own: Vec<_> = found.profiles.iter().filter(|profile| profile.name == name).collect();
    if !own.is_empty() {
        return own;
    }
    let in_file = |profile: &&Profile| {
        !profile.nested && profile.file.strip_prefix("/etc/apparmor.d/") == Some(name.as_str())
    };
    found.profiles.iter().filter(in_file).collect()
}

/// Why no profile gets into the kernel at boot.
fn why_not_loaded(found: &Apparmor) -> Option<String> {
    if !found.parser {
        return Some("nothing loads it: there is no apparmor_parser".to_owned());
    }
    (!["enabled", "generated"].contains(&found.service.as_str()))
        .then(|| format!("nothing loads it: apparmor.service is {}", found.service))
}
