//! `file_contexts.subs` and `.subs_dist`: directories that are labelled as others.

/// Directories, and those whose patterns count for them.
#[derive(Debug, Default)]
pub(super) struct Substitutions(Vec<(Vec<u8>, Vec<u8>)>);

impl Substitutions {
    /// Reads one of the files: two words a line.
    pub(super) fn parse(text: &[u8]) -> Self {
        let pairs = text.split(|byte| *byte == b'\n').filter_map(|line| {
            let mut words = line.split(|byte| is_space(*byte)).filter(|word| !word.is_empty());
            let (from, to) = (words.next()?, words.next()?);
            (!from.starts_with(b"#")).then(|| (from.to_vec(), to.to_vec()))
        });
        Self(pairs.collect())
    }

    /// The path whose patterns count for `path`; `None` if it is itself. The last line counts, as in libselinux.
    pub(super) fn apply(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.0.iter().rev().find_map(|(from, to)| {
            let rest = path.strip_prefix(from.as_slice())?;
            match rest {
                [] => Some(to.clone()),
                [b'/', below @ ..] if to == b"/" => Some([b"/", below].concat()),
                [b'/', ..] => Some([to, rest].concat()),
                _ => None,
            }
        })
    }
}

/// As C has it.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        let subs = Substitutions::parse(
            b"# /a /b\n/srv/db  /var/lib/mysql \n\n/run /var/run\n/run /other\n/root/x /\n/alone\n  #/c /d",
        );
        for (path, expected) in [
            ("/srv/db", Some("/var/lib/mysql")),
            ("/srv/db/a/b", Some("/var/lib/mysql/a/b")),
            ("/srv/dbx", None),
            ("/run/x", Some("/other/x")),
            ("/root/x/etc", Some("/etc")),
            ("/root/x", Some("/")),
            ("/alone", None),
            ("/c", None),
        ] {
            assert_eq!(subs.apply(path.as_bytes()).as_deref(), expected.map(str::as_bytes), "{path}");
        }
    }
}
