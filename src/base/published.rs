//! What an image's maker says of it: the digest, and who vouches for that.

use reqwest::Url;

use super::catalogue::{CatalogueEntry, ImageSource, Key, SignatureKind, beside};
use crate::base::BaseError;
use crate::cache::CacheError;
use crate::cache::Trust;
use crate::cache::{Bucket, Cache, files};
use crate::control::Control;
use crate::error::Failure;
use crate::fetch::{Fetcher, redact};
use crate::trust::checksum::{Checksum, Listing};
use crate::trust::openpgp::{Keyring, Verified, verify_clearsigned, verify_detached};

/// Bytes of a checksum file or a signature.
const SMALL: u64 = 1 << 20;
/// Bytes of a file of keys.
const KEYS: u64 = 4 << 20;

/// The digest that an image must have.
pub(crate) struct Published {
    /// `None`: whatever comes is taken.
    pub(crate) checksum: Option<Checksum>,
    pub(crate) size: Option<u64>,
    pub(crate) trust: Trust,
    /// The checksum file that said so.
    pub(crate) checksum_file: Option<String>,
}

/// Everything that is needed to ask.
pub(crate) struct Question<'a> {
    pub(crate) entry: &'a CatalogueEntry,
    pub(crate) image: &'a ImageSource,
    /// Keys that may count, with where to get them.
    pub(crate) keys: &'a [&'a Key],
    /// Key files that were given.
    pub(crate) key_files: &'a [std::path::PathBuf],
    pub(crate) fetcher: &'a Fetcher,
    pub(crate) cache: &'a Cache,
    pub(crate) control: &'a Control,
}

impl Question<'_> {
    /// Finds out which digest the image must have: from the catalogue's pin, else from its maker's checksum file.
    pub(crate) fn ask(&self) -> Result<Published, Failure> {
        if let Some(pin) = &self.image.pin {
            let (checksum, size) = (Some(pin.checksum), pin.size);
            return Ok(Published { checksum, size, trust: Trust::Pin, checksum_file: None });
        }
        let mut failure = None;
        // Checksums and signature have to come from one place, so places are tried whole.
        for directory in &self.image.directories {
            self.control.cancel.check()?;
            match self.ask_at(directory) {
                Ok(published) => return Ok(published),
                // The first place is the maker's own: what it says is what a person wants to hear.
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        Err(failure.unwrap_or_else(|| BaseError::NotHere { what: self.entry.id.clone() }.into()))
    }

    fn ask_at(&self, directory: &Url) -> Result<Published, Failure> {
        let name = self.image.checksums.as_deref().unwrap_or_default();
        let url = beside(directory, name);
        let listed = self.fetcher.small(std::slice::from_ref(&url), SMALL)?;
        let (text, trust) = match &self.image.signed {
            None if !self.is_protected(&url) => {
                return Err(BaseError::Unprotected(listed.from.asked().to_owned()).into());
            }
            None => (listed.bytes, Trust::Tls),
            Some(signed) => {
                let keyring = self.keyring()?;
                let (text, verified) = match (signed.kind, &self.image.signature) {
                    (SignatureKind::Clearsigned, _) => verify_clearsigned(&keyring, &listed.bytes)?,
                    (SignatureKind::Detached, signature) => {
                        let url = beside(directory, signature.as_deref().unwrap_or_default());
                        let signature = self.fetcher.small(&[url], SMALL)?;
                        let verified = verify_detached(&keyring, &listed.bytes, &signature.bytes)?;
                        (listed.bytes, verified)
                    }
                };
                (text, self.signed(verified))
            }
        };
        let listing = Listing::parse(&text)?;
        // A checksum file that is named after the image is about that alone.
        let file = &self.image.file;
        let own = name.starts_with(file.as_str());
        let build = || listing.build_of(file).filter(|_| own);
        let found = listing.get(file).or_else(|| listing.bare()).or_else(build);
        let Some(listed) = found else {
            return Err(BaseError::NotListed { url: redact(&url), file: self.image.file.clone() }.into());
        };
        let checksum_file = Some(redact(&url));
        Ok(Published { checksum: Some(listed.checksum), size: listed.size, trust, checksum_file })
    }

    /// Whether nobody on the way can have changed what came from `url`.
    fn is_protected(&self, url: &Url) -> bool {
        let mirror = self.control.mirrors.fetched(url.as_str());
        mirror.as_deref().unwrap_or(url.as_str()).starts_with("https://")
    }

    fn signed(&self, verified: Verified) -> Trust {
        if verified.expired {
            self.control.events.warning(format!(
                "the key {} that signed the checksums of {} has expired since",
                verified.signer, self.entry.id
            ));
        }
        Trust::Signature { signer: verified.signer, signed: verified.made, key_expired: verified.expired }
    }

    /// The pinned keys: those that were given, those in the cache, else as they can be fetched.
    fn keyring(&self) -> Result<Keyring, Failure> {
        let pins: Vec<_> = self.keys.iter().map(|key| key.fingerprint.clone()).collect();
        let mut given = Vec::new();
        for path in self.key_files {
            let bytes = fs_err::read(path).map_err(CacheError::io("read the key", path))?;
            given.push((path.display().to_string(), bytes));
        }
        if !given.is_empty() {
            return Ok(Keyring::new(&given, &pins)?);
        }
        let (mut files, mut failure) = (Vec::new(), None);
        for key in self.keys {
            match self.key_file(key) {
                Ok(file) => files.push(file),
                // One of several may be enough.
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        match failure {
            Some(failure) if files.is_empty() => Err(failure),
            _ => Ok(Keyring::new(&files, &pins)?),
        }
    }

    fn key_file(&self, key: &Key) -> Result<(String, Vec<u8>), Failure> {
        let pin = std::slice::from_ref(&key.fingerprint);
        let name = self.cache.directory(Bucket::Keys).join(key.fingerprint.as_str());
        if let Ok(bytes) = fs_err::read(&name) {
            let file = [(name.display().to_string(), bytes)];
            if Keyring::new(&file, pin).is_ok() {
                let [file] = file;
                return Ok(file);
            }
        }
        let mut failure = None;
        for text in &key.urls {
            let fetched = Url::parse(text)
                .map_err(|error| Failure::from(bad_url(text, &error)))
                .and_then(|url| Ok(self.fetcher.small(&[url], KEYS)?));
            let checked = fetched.and_then(|fetched| {
                let file = [(text.clone(), fetched.bytes)];
                Keyring::new(&file, pin)?;
                let [(_, bytes)] = file;
                Ok(bytes)
            });
            match checked {
                Ok(bytes) => {
                    let work = self.cache.work()?;
                    let staged = work.path().join("key");
                    fs_err::write(&staged, &bytes).map_err(CacheError::io("write", &staged))?;
                    files::sync_file(&staged)?;
                    files::publish(&staged, &name)?;
                    return Ok((text.clone(), bytes));
                }
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        Err(failure.unwrap_or_else(|| BaseError::NoKey(key.fingerprint.clone()).into()))
    }
}

fn bad_url(text: &str, error: &dyn std::error::Error) -> BaseError {
    BaseError::BadBase {
        text: text.to_owned(),
        problem: format!("is no URL: {error}"),
        hint: "check the entry with `tib base check-catalogue`".to_owned(),
    }
}
