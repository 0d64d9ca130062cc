//! Whether a package has the version that a check wants.

use crate::check::{Bound, VersionWanted};
use crate::distro::Family;
use crate::version::{dpkg, rpm, split_epoch};

/// Whether an installed version is the wanted one, by the rules of the family's package manager.
///
/// A bound without an epoch is compared with the version without its epoch, because few people know a package's.
/// `None`: the family is not known, and so nor is the order of its versions.
pub fn accepts(family: Option<Family>, installed: &str, wanted: &VersionWanted) -> Option<bool> {
    match wanted {
        VersionWanted::Beginning(text) => Some(begins(installed, text)),
        VersionWanted::Bounds(bounds) => {
            family.map(|family| bounds.iter().all(|bound| within(family, installed, bound)))
        }
    }
}

fn within(family: Family, installed: &str, bound: &Bound) -> bool {
    let installed =
        if split_epoch(&bound.version).0.is_some() { installed } else { split_epoch(installed).1 };
    let ordering = match family {
        Family::Debian => dpkg(installed, &bound.version),
        // As in a package's requirements: without a release in the bound, any release will do.
        Family::Rhel | Family::Suse if !bound.version.contains('-') => {
            rpm(installed.rsplit_once('-').map_or(installed, |(version, _)| version), &bound.version)
        }
        Family::Rhel | Family::Suse => rpm(installed, &bound.version),
    };
    bound.relation.holds(ordering)
}

/// Whether a version, without epoch, begins with `wanted`. A number is never cut short: `10.1` is not the beginning
/// of `10.11`.
fn begins(installed: &str, wanted: &str) -> bool {
    split_epoch(installed).1.strip_prefix(wanted).is_some_and(|rest| {
        let digit = |c: char| c.is_ascii_digit();
        !(wanted.ends_with(digit) && rest.starts_with(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_versions() {
        for (family, installed, wanted, expected) in [
            (Family::Debian, "1:10.11.6-0+deb12u1", "10.11", true),
            (Family::Debian, "1:10.11.6-0+deb12u1", "10.1", false),
            (Family::Debian, "10.11", "10.11", true),
            (Family::Debian, "10.11", "10.", true),
            (Family::Debian, "5:7.0", "5", false),
            (Family::Debian, "1:10.11.6-0+deb12u1", ">=10.6, <11", true),
            (Family::Debian, "1:10.11.6-0+deb12u1", ">=10.12", false),
            (Family::Debian, "1:10.11.6-0+deb12u1", "<1:10.11", false),
            (Family::Debian, "1:10.11.6-0+deb12u1", ">=2:1", false),
            (Family::Debian, "1:10.11.6-0+deb12u1", "=10.11.6-0+deb12u1", true),
            (Family::Debian, "1:10.11.6-0+deb12u1", "!=10.11.6-0+deb12u1", false),
            (Family::Debian, "11~rc1-1", "<11", true),
            (Family::Rhel, "3:10.5.22-1.el9", ">=10.5, <11", true),
            (Family::Rhel, "3:10.5.22-1.el9", "=10.5.22", true),
            (Family::Rhel, "3:10.5.22-1.el9", ">10.5.22", false),
            (Family::Rhel, "3:10.5.22-1.el9", "=10.5.22-2.el9", false),
            (Family::Rhel, "3:10.5.22-1.el9", ">=4:1", false),
            (Family::Suse, "1.0^git1-1", ">1.0", true),
        ] {
            let wanted_version = VersionWanted::parse(wanted).unwrap();
            assert_eq!(
                accepts(Some(family), installed, &wanted_version),
                Some(expected),
                "{installed} {wanted}"
            );
        }
        for (wanted, expected) in [("1.0", Some(true)), (">=1.0", None)] {
            assert_eq!(accepts(None, "1.0-1", &VersionWanted::parse(wanted).unwrap()), expected, "{wanted}");
        }
    }
}
