//! The sources that an image has already, made to name mirrors.

use super::GuestScript;
use crate::distro::Family;
use crate::shell::quote;

/// Shell that puts mirrors in the place of sources: in the files of the guest's package manager, `sources` by `mirrors`, pair
/// by pair, the longest first. Lines that are no URL of a source stay as they are.
///
/// cloud-init would write Debian's and Ubuntu's sources anew when an instance boots for the first time.
pub fn rename_sources(family: Family, pairs: &[(&str, &str)]) -> Option<GuestScript> {
    if pairs.is_empty() {
        return None;
    }
    let places = match family {
        Family::Debian => "/etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/mirrors",
        Family::Rhel => "/etc/yum.repos.d",
        Family::Suse => "/etc/zypp/repos.d",
    };
    // Until nothing is left to replace: no mirror is below a source that is mirrored, so that comes.
    let program: String = pairs
        .iter()
        .enumerate()
        .map(|(at, (source, mirror))| {
            let (source, mirror) = (pattern(source), replacement(mirror));
            format!(":m{at}\ns#^([^\\#]*){source}(/|[[:space:]]|$)#\\1{mirror}\\2#\ntm{at}\n")
        })
        .collect();
    let mut text = format!(
        "for place in {places}; do\n  [ -e \"$place\" ] || continue\n  find \"$place\" -type f \
         \\( -name '*.list' -o -name '*.sources' -o -name '*.repo' \\) -exec sed -E -i {} {{}} +\ndone\n",
        quote(&program)
    );
    if family == Family::Debian {
        text.push_str(
            "if [ -d /etc/cloud/cloud.cfg.d ]; then\n  printf 'apt:\\n  preserve_sources_list: true\\n' \
             > /etc/cloud/cloud.cfg.d/95-tib-mirrors.cfg\nfi\n",
        );
    }
    Some(GuestScript { purpose: "naming mirrors in the package sources", text })
}

/// What matches a text alone, in an extended regular expression between `#`.
fn pattern(text: &str) -> String {
    text.chars()
        .flat_map(|c| (!c.is_ascii_alphanumeric() && c != '/').then_some('\\').into_iter().chain([c]))
        .collect()
}

/// What stands for a text alone in the place of what was matched.
fn replacement(text: &str) -> String {
    text.chars().flat_map(|c| "\\&#".contains(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program for sed makes of a file, by sed itself.
    fn renamed(pairs: &[(&str, &str)], text: &str) -> String {
        let script = rename_sources(Family::Debian, pairs).unwrap().text;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.list");
        fs_err::write(&file, text).unwrap();
        let script = script.lines().collect::<Vec<_>>().join("\n").replace(
            "/etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/mirrors",
            &directory.path().display().to_string(),
        );
        let script = script.replace("/etc/cloud", &directory.path().join("none").display().to_string());
        let status = std::process::Command::new("sh").args(["-euc", &script]).status().unwrap();
        assert!(status.success());
        fs_err::read_to_string(file).unwrap()
    }

    #[test]
    fn sources_are_renamed_as_a_whole() {
        let pairs = [
            ("http://deb.example/debian-security", "https://m.example/sec"),
            ("http://deb.example", "http://deb.example:8080/all"),
        ];
        let before = "# deb http://deb.example/debian x main\n\
            deb [signed-by=/usr/share/x.gpg] http://deb.example/debian-security bookworm main\n\
            deb http://deb.example/debian bookworm main\n\
            deb http://deb.example bookworm main\n\
            URIs: http://deb.example/debian/\n\
            baseurl=http://deb.example\n\
            baseurl=http://deb.example/a http://deb.example/debian-security/\thttp://deb.example/b\n\
            deb http://deb.example.org/debian bookworm main\n\
            deb http://debXexample/debian bookworm main\n";
        let after = "# deb http://deb.example/debian x main\n\
            deb [signed-by=/usr/share/x.gpg] https://m.example/sec bookworm main\n\
            deb http://deb.example:8080/all/debian bookworm main\n\
            deb http://deb.example:8080/all bookworm main\n\
            URIs: http://deb.example:8080/all/debian/\n\
            baseurl=http://deb.example:8080/all\n\
            baseurl=http://deb.example:8080/all/a https://m.example/sec/\thttp://deb.example:8080/all/b\n\
            deb http://deb.example.org/debian bookworm main\n\
            deb http://debXexample/debian bookworm main\n";
        assert_eq!(renamed(&pairs, before), after);
        assert_eq!(rename_sources(Family::Rhel, &[]), None);
    }
}
