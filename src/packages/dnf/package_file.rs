//! Whether a package file is the one that its maker signed.
//!
//! This is done here and not by the host's `rpmkeys`: rpm wants the keys in a database first, does not look at when a key
//! expired, and judges by the rules of this host and not by ours, which are in [`crate::trust::openpgp`].

use std::io::{BufReader, Read as _};
use std::path::Path;

use super::error::PackageProblem;
use crate::digest::Digest;
use crate::os::rpm::PackageFile;
use crate::trust::openpgp::{Keyring, Verified, verify_detached_reader};

/// What a package calls itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity<'a> {
    pub(crate) name: &'a str,
    /// With the epoch, if that is not 0.
    pub(crate) version: &'a str,
    pub(crate) arch: &'a str,
}

/// Checks that a key of `keyring` signed the package at `path`, all of it, and that it is the one that is wanted.
pub(crate) fn verify(
    path: &Path,
    wanted: &Identity<'_>,
    keyring: &Keyring,
) -> Result<Verified, PackageProblem> {
    let unreadable = |error: std::io::Error| PackageProblem::Damaged(error.to_string());
    let mut file = BufReader::with_capacity(1 << 17, std::fs::File::open(path).map_err(unreadable)?);
    let package = PackageFile::read(&mut file).map_err(unreadable)?;
    let odd = PackageProblem::Damaged;
    let verified = match (package.header_signature().map_err(odd)?, package.content_digest().map_err(odd)?) {
        // The header is signed and says what the content is.
        (Some(signature), Some(digest)) => {
            let verified = verify_detached_reader(keyring, package.header.as_slice(), signature)?;
            let (found, _) = Digest::of_reader(&mut file).map_err(unreadable)?;
            if Digest::parse(&digest) != Some(found) {
                return Err(PackageProblem::Payload);
            }
            verified
        }
        // Of old, a signature covers both.
        _ => {
            let signature = package.whole_signature().map_err(odd)?.ok_or(PackageProblem::Unsigned)?;
            let data = package.header.as_slice().chain(&mut file);
            verify_detached_reader(keyring, data, signature)?
        }
    };
    let found = package.package().map_err(odd)?;
    let version = found.version.strip_prefix("0:").unwrap_or(&found.version);
    if (Identity { name: &found.name, version, arch: &found.arch }) != *wanted {
        return Err(PackageProblem::Other { found: format!("{}-{version}.{}", found.name, found.arch) });
    }
    Ok(verified)
}
