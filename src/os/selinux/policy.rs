//! The policy of an image, as far as labels of files go.

use super::config::{CONFIG, Config};
use super::contexts::{ContextFiles, FileContexts, Wanted};
use super::label::corrected;
use crate::check::SelinuxMode;
use crate::disk::{FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::read_optional;

/// Whether files of an image have to be labelled, and how.
#[derive(Debug)]
pub(crate) enum Labelling {
    /// There is no SELinux in it, or it is turned off: the sentence says which.
    Off(&'static str),
    /// SELinux is on, but its policy has no list of labels, this file.
    NoContexts(String),
    /// By this policy.
    By(Box<Policy>),
}

/// What a policy says of labels.
#[derive(Debug)]
pub(crate) struct Policy {
    contexts: FileContexts,
    customizable: Vec<Vec<u8>>,
}

impl Labelling {
    /// Reads it from the image. Whatever the boot loader says is left aside: labels must be right when somebody changes that.
    ///
    /// # Errors
    /// What is wrong with the image; [`ReadError::Malformed`] for lines that libselinux would refuse.
    pub(crate) fn read(tree: &mut dyn Tree) -> Result<Self, ReadError> {
        let Some(config) = read_optional(tree, CONFIG.as_bytes())? else {
            return Ok(Self::Off("it has no SELinux"));
        };
        let config = Config::parse(&config);
        if config.mode == Some(SelinuxMode::Disabled) {
            return Ok(Self::Off("SELinux is disabled in it"));
        }
        let directory = format!("/etc/selinux/{}/contexts", config.policy_name());
        let list = format!("{directory}/files/file_contexts");
        let mut files = ContextFiles::default();
        for suffix in ["", ".homedirs", ".local"] {
            let path = format!("{list}{suffix}");
            match read_optional(tree, path.as_bytes())? {
                Some(text) => files.contexts.push((path, text)),
                None if suffix.is_empty() => return Ok(Self::NoContexts(list)),
                None => {}
            }
        }
        let mut read =
            |path: String| Ok::<_, ReadError>(read_optional(tree, path.as_bytes())?.unwrap_or_default());
        files.subs = read(format!("{list}.subs"))?;
        files.subs_dist = read(format!("{list}.subs_dist"))?;
        let customizable = read(format!("{directory}/customizable_types"))?;
        let contexts =
            FileContexts::parse(&files).map_err(|(path, reason)| ReadError::malformed(path, reason))?;
        let lines = customizable.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let customizable = lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
        Ok(Self::By(Box::new(Policy { contexts, customizable })))
    }
}

impl Policy {
    /// The label for a path, absolute and without links in it.
    pub(crate) fn wanted(&self, path: &[u8], kind: FileKind) -> Wanted {
        self.contexts.lookup(path, kind)
    }

    /// What a file that has the label `now` gets where `wanted` is wanted; `None` if all is well.
    pub(crate) fn correction(&self, now: Option<&[u8]>, wanted: &[u8]) -> Option<Vec<u8>> {
        corrected(now, wanted, &self.customizable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::MemTree;

    const LIST: &str = "/etc/selinux/targeted/contexts/files/file_contexts";

    #[test]
    fn an_image_without_selinux_or_with_it_turned_off() {
        for (config, off) in
            [(None, "it has no SELinux"), (Some("SELINUX=disabled\n"), "SELinux is disabled in it")]
        {
            let mut tree = MemTree::new().file(LIST, "/.* l\n");
            if let Some(config) = config {
                tree = tree.file(CONFIG, config);
            }
            let found = Labelling::read(&mut tree).unwrap();
            assert!(matches!(found, Labelling::Off(reason) if reason == off), "{found:?}");
        }
        let mut tree = MemTree::new().file(CONFIG, "SELINUX=permissive\nSELINUXTYPE=mls\n").file(LIST, "");
        let found = Labelling::read(&mut tree).unwrap();
        assert!(matches!(&found, Labelling::NoContexts(path) if path.contains("/mls/")), "{found:?}");
    }

    #[test]
    fn all_files_of_the_policy_count_and_a_broken_one_is_an_error() {
        let tree = MemTree::new()
            .file(CONFIG, "SELINUX=permissive\n")
            .file(LIST, "/.* u:r:default:s0\n/proc <<none>>\n/opt/(?=x) u:r:x:s0\n")
            .file(&format!("{LIST}.homedirs"), "/home/[^/]+ -d u:r:home:s0\n")
            .file(&format!("{LIST}.local"), "/data(/.*)? u:r:data:s0\n")
            .file(&format!("{LIST}.subs"), "/srv /data\n")
            .file(&format!("{LIST}.subs_dist"), "/export/home /home\n")
            .file("/etc/selinux/targeted/contexts/customizable_types", "mine\n other \n");
        let Labelling::By(policy) = Labelling::read(&mut tree.clone()).unwrap() else { panic!() };
        for (path, expected) in [
            ("/x", Some("u:r:default:s0")),
            ("/proc", None),
            ("/srv/a", Some("u:r:data:s0")),
            ("/export/home/u", Some("u:r:home:s0")),
        ] {
            let expected = expected.map_or(Wanted::Nothing, |label| Wanted::Label(label.into()));
            assert_eq!(policy.wanted(path.as_bytes(), FileKind::Directory), expected, "{path}");
        }
        assert!(matches!(policy.wanted(b"/opt/x", FileKind::File), Wanted::Unknown(_)));
        for customizable in ["mine", "other"] {
            assert_eq!(
                policy.correction(Some(format!("u:r:{customizable}:s0").as_bytes()), b"u:r:data:s0"),
                None
            );
        }
        assert_eq!(policy.correction(Some(b"u:r:third:s0"), b"u:r:data:s0"), Some(b"u:r:data:s0".to_vec()));
        for broken in ["", ".homedirs", ".local"] {
            let error =
                Labelling::read(&mut tree.clone().file(&format!("{LIST}{broken}"), "/x\n")).unwrap_err();
            assert!(
                error.to_string().contains(&format!("file_contexts{broken}` in the image: line 1")),
                "{error}"
            );
        }
        assert!(Labelling::read(&mut tree.broken(LIST)).is_err());
    }
}
