//! Pins by the host of a source, where a mirror has it.

use super::repository;
use crate::mirror::Replaced;

/// `Pin: origin "deb.example.org"`, with the host of the mirror.
pub(crate) fn repinned(line: &str, replaced: &Replaced) -> String {
    let pin = || {
        let (name, value) = line.split_once(':')?;
        let pinned =
            value.trim().strip_prefix("origin").filter(|_| name.trim().eq_ignore_ascii_case("pin"))?;
        let pinned = pinned.trim().trim_matches('"');
        let (mirror, _) =
            replaced.pairs().iter().find(|(_, source)| repository::host(source) == Some(pinned))?;
        Some(format!("Pin: origin \"{}\"", repository::host(mirror)?))
    };
    pin().unwrap_or_else(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_by_host_follow_the_mirror() {
        let mut replaced = Replaced::default();
        replaced.remember("http://m.example:8080/a", "https://deb.example/debian");
        for (line, expected) in [
            ("Pin: origin \"deb.example\"", "Pin: origin \"m.example\""),
            ("pin:origin deb.example", "Pin: origin \"m.example\""),
            ("Pin: origin \"other.example\"", "Pin: origin \"other.example\""),
            ("Pin: origin \"\"", "Pin: origin \"\""),
            ("Pin: release o=deb.example", "Pin: release o=deb.example"),
            ("Package: *", "Package: *"),
        ] {
            assert_eq!(repinned(line, &replaced), expected);
        }
    }
}
