//! The keys of the package repositories that a recipe adds: pinned keys and nothing else.

use std::path::PathBuf;

use super::openpgp::{Fingerprint, KeyProblem, armoured, pinned_keys, pinned_of_bundle};
use crate::digest::Digest;
use crate::error::{Diagnose, Exit, io_exit};
use crate::recipe::{Content, RepositoryStep};

/// Bytes. Keys are a few kilobytes; whoever names a bigger file means something else.
const KEY_LIMIT: u64 = 1 << 20;

/// A repository's keys, which have fingerprints that the recipe pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryKey {
    /// ASCII-armoured in one block, as the recipe has it; of a bundle without the keys that are not pinned.
    pub armoured: String,
    /// The same with a block for each key of a bundle, which is what rpm reads.
    pub blocks: String,
    /// In binary form, which every package manager reads: exactly the bytes that were looked at.
    pub binary: Vec<u8>,
}

/// A repository's key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryKeyError {
    /// The file with the key could not be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What the recipe pins is no fingerprint.
    #[error("invalid fingerprint of a repository's key `{0}`")]
    Pin(String),
    /// It is no key that could be given to a package manager.
    #[error("key of repository `{repository}` {problem}")]
    Unusable {
        /// The repository's name.
        repository: String,
        /// What is wrong, such as `is not ASCII-armoured`.
        problem: String,
    },
    /// It is not the key that was pinned.
    #[error("key of repository `{repository}` has fingerprint {found}, but {pinned} is pinned")]
    OtherKey {
        /// The repository's name.
        repository: String,
        /// The fingerprint the recipe pins.
        pinned: String,
        /// What the key really has.
        found: Fingerprint,
    },
}

impl RepositoryKey {
    /// Reads the keys of a repository, and checks that they are pinned and nothing else is there. Of a bundle, the others are left out.
    ///
    /// # Errors
    /// [`RepositoryKeyError`].
    pub fn of(repository: &RepositoryStep) -> Result<Self, RepositoryKeyError> {
        let unusable =
            |problem: String| RepositoryKeyError::Unusable { repository: repository.name.clone(), problem };
        let text = match &repository.key {
            Content::Text(text) => text.clone(),
            Content::Url(_) => return Err(unusable("was not fetched".to_owned())),
            Content::Host { path, sha256, size } => {
                if *size > KEY_LIMIT {
                    return Err(unusable(format!("is larger than {KEY_LIMIT} bytes")));
                }
                let io = |source| RepositoryKeyError::Io { path: path.clone(), source };
                let bytes = fs_err::read(path).map_err(io)?;
                if Digest::of(&bytes) != *sha256 {
                    return Err(unusable(format!("in `{}` changed since the plan was made", path.display())));
                }
                String::from_utf8(bytes).map_err(|_| unusable("is not ASCII-armoured".to_owned()))?
            }
        };
        let pins = repository.fingerprints.iter();
        let pins: Vec<Fingerprint> = pins
            .map(|pin| pin.parse().map_err(|_| RepositoryKeyError::Pin(pin.clone())))
            .collect::<Result<_, _>>()?;
        let take = if repository.bundle { pinned_of_bundle } else { pinned_keys };
        let binary = take(&text, &pins).map_err(|problem| match problem {
            KeyProblem::Malformed(problem) => unusable(problem),
            KeyProblem::OtherKey(found) => RepositoryKeyError::OtherKey {
                repository: repository.name.clone(),
                pinned: repository.fingerprints.join(", "),
                found,
            },
        })?;
        if !repository.bundle {
            return Ok(Self { blocks: text.clone(), armoured: text, binary });
        }
        let (armoured, blocks) =
            armoured(&binary).ok_or_else(|| unusable("cannot be armoured".to_owned()))?;
        Ok(Self { armoured, blocks, binary })
    }
}

impl Diagnose for RepositoryKeyError {
    fn exit(&self) -> Exit {
        match self {
            Self::Io { source, .. } => io_exit(source, Exit::Host),
            Self::Pin(_) => Exit::Recipe,
            Self::Unusable { .. } | Self::OtherKey { .. } => Exit::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::OtherKey { .. } => {
                Some("compare both with what the vendor publishes before changing the recipe".to_owned())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = include_str!("openpgp/tests/rfc9580.asc");
    const FINGERPRINT: &str = "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9";

    fn key(key: Content, fingerprint: &str) -> Result<RepositoryKey, RepositoryKeyError> {
        RepositoryKey::of(&RepositoryStep {
            key,
            ..RepositoryStep::of("pgdg", "https://apt.example.org/debian", "", fingerprint)
        })
    }

    #[test]
    fn the_pinned_key_from_a_recipe_or_a_file() {
        let text = key(Content::Text(KEY.to_owned()), FINGERPRINT).unwrap();
        assert_eq!(text.armoured, KEY);
        // A version 6 public key packet begins what is in the armour.
        assert_eq!(text.binary[..3], [0xc6, 0x2a, 0x06]);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), KEY).unwrap();
        let host = |sha256, size| Content::Host { path: file.path().into(), sha256, size };
        assert_eq!(key(host(Digest::of(KEY.as_bytes()), KEY.len() as u64), FINGERPRINT).unwrap(), text);

        let path = file.path().display();
        for (content, fingerprint, exit, message) in [
            (
                host(Digest::of(b"old"), 3),
                FINGERPRINT,
                Exit::Integrity,
                format!("key of repository `pgdg` in `{path}` changed since the plan was made"),
            ),
            (
                host(Digest::of(KEY.as_bytes()), KEY_LIMIT + 1),
                FINGERPRINT,
                Exit::Integrity,
                "key of repository `pgdg` is larger than 1048576 bytes".to_owned(),
            ),
            (
                Content::Text(KEY.to_owned()),
                "xyz",
                Exit::Recipe,
                "invalid fingerprint of a repository's key `xyz`".to_owned(),
            ),
            (
                Content::Text(KEY.to_owned()),
                "0123456789ABCDEF0123456789ABCDEF01234567",
                Exit::Integrity,
                format!(
                    "key of repository `pgdg` has fingerprint {FINGERPRINT}, but \
                     0123456789ABCDEF0123456789ABCDEF01234567 is pinned"
                ),
            ),
        ] {
            let error = key(content, fingerprint).unwrap_err();
            assert_eq!((error.exit(), error.to_string()), (exit, message));
        }
        let gone = Content::Host { path: "/nonexistent/key.asc".into(), sha256: Digest::of(b""), size: 0 };
        let error = key(gone, FINGERPRINT).unwrap_err();
        assert_eq!(
            (error.exit(), error.to_string()),
            (Exit::Host, "cannot read `/nonexistent/key.asc`".to_owned())
        );
        assert!(key(Content::Text("no key".to_owned()), FINGERPRINT).is_err());
    }
}
