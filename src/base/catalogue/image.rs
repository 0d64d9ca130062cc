//! From an entry to URLs.

use reqwest::Url;

use super::{CatalogueEntry, CatalogueError, Pin, Place, Selection, Signature, SignatureKind};
use crate::distro::Arch;

/// One build of an image for one architecture: everything that has to be fetched for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSource {
    /// The build, where it has a version.
    pub version: Option<String>,
    /// Directories to try, in order; each ends in `/`.
    pub directories: Vec<Url>,
    /// Name of the image in each of them.
    pub file: String,
    /// Name of the file that lists its digest. For a clear-signed one, that of the signed file.
    pub checksums: Option<String>,
    /// Name of the detached signature, if there is one.
    pub signature: Option<String>,
    /// How it is signed, if it is.
    pub signed: Option<Signature>,
    /// What is known of the build beforehand.
    pub pin: Option<Pin>,
}

impl ImageSource {
    /// URLs of a file beside the image, in the order in which to try.
    pub fn urls(&self, file: &str) -> Vec<Url> {
        self.directories.iter().map(|directory| beside(directory, file)).collect()
    }
}

/// The URL of a file in a directory. Not joined as a link would be: a name with a colon in it would lead elsewhere.
pub fn beside(directory: &Url, file: &str) -> Url {
    let mut url = directory.clone();
    // Every URL with a host has segments.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push(file);
    }
    url
}

impl CatalogueEntry {
    /// Where a build for `arch` is, and what it is verified by.
    ///
    /// # Errors
    /// [`CatalogueError::LocalOnly`], [`CatalogueError::NoArch`], [`CatalogueError::NoBuild`], or a mistake in the entry.
    pub fn image(&self, arch: Arch, selection: &Selection) -> Result<ImageSource, CatalogueError> {
        if let Some(local) = &self.local {
            return Err(CatalogueError::LocalOnly {
                id: self.id.clone(),
                reason: local.reason.clone(),
                url: local.url.clone(),
            });
        }
        let Some(site_arch) = self.arch.get(&arch) else {
            let known = self.arch.keys().map(|arch| arch.name().to_owned()).collect();
            return Err(CatalogueError::NoArch { id: self.id.clone(), arch, known });
        };
        let newest_pin = self.pins(arch).last().copied();
        let (place, version, pin) = match selection {
            Selection::Pinned(version) => {
                let pin = self.pins(arch).into_iter().find(|pin| pin.version == *version);
                (self.pinned.as_ref(), Some(version.as_str()), pin)
            }
            Selection::Default if self.signature.is_none() && newest_pin.is_some() => {
                (self.pinned.as_ref(), newest_pin.map(|pin| pin.version.as_str()), newest_pin)
            }
            Selection::Default | Selection::Newest => (self.newest.as_ref(), None, None),
        };
        let place = place.ok_or_else(|| CatalogueError::NoBuild {
            id: self.id.clone(),
            build: version.unwrap_or("newest").to_owned(),
        })?;
        self.expand(place, site_arch, version, pin)
    }

    fn expand(
        &self,
        place: &Place,
        arch: &str,
        version: Option<&str>,
        pin: Option<&Pin>,
    ) -> Result<ImageSource, CatalogueError> {
        let mistake = |message: String| CatalogueError::Entry { id: self.id.clone(), message };
        let values = [
            ("arch", Some(arch)),
            ("version", version),
            ("release", Some(self.os.release.as_str())),
            ("codename", self.os.codename.as_deref()),
        ];
        let fill = |pattern: &str, more: &[(&str, Option<&str>)]| {
            fill(pattern, &[&values[..], more].concat()).map_err(mistake)
        };
        let file = fill(&place.file, &[])?;
        let of_file = [("file", Some(file.as_str()))];
        let listed = place.checksums.as_ref().or(self.checksums.as_ref().map(|checksums| &checksums.file));
        let mut checksums = listed.map(|pattern| fill(pattern, &of_file)).transpose()?;
        let mut signature = None;
        if let Some(signed) = &self.signature {
            let of_checksums = [("checksums", checksums.as_deref()), ("file", Some(file.as_str()))];
            let named = signed.file.as_ref().map(|pattern| fill(pattern, &of_checksums)).transpose()?;
            match signed.kind {
                SignatureKind::Detached => signature = named,
                SignatureKind::Clearsigned => checksums = named.or(checksums),
            }
        }
        for name in [Some(&file), checksums.as_ref(), signature.as_ref()].into_iter().flatten() {
            if name.is_empty() || name.contains('/') || name.contains("..") {
                return Err(mistake(format!("`{name}` is not the name of a file")));
            }
        }
        let directories = place.directories.iter().map(|pattern| {
            let text = fill(pattern, &[])?;
            let url = Url::parse(&text).map_err(|error| mistake(format!("`{text}` is no URL: {error}")))?;
            match url.scheme() {
                "https" | "http" if url.query().is_some() || url.fragment().is_some() => {
                    Err(mistake(format!("the directory `{text}` has more than a path")))
                }
                "https" | "http" if url.path().ends_with('/') => Ok(url),
                "https" | "http" => Err(mistake(format!("the directory `{text}` does not end in `/`"))),
                other => Err(mistake(format!("`{text}` has the scheme `{other}`"))),
            }
        });
        let directories = directories.collect::<Result<Vec<_>, _>>()?;
        if directories.is_empty() {
            return Err(mistake("it has no directories".to_owned()));
        }
        Ok(ImageSource {
            version: version.map(str::to_owned),
            directories,
            file,
            checksums,
            signature,
            signed: self.signature.clone(),
            pin: pin.cloned(),
        })
    }
}

/// Puts values in the place of `{names}`.
fn fill(pattern: &str, values: &[(&str, Option<&str>)]) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, tail)) = after.split_once('}') else {
            return Err(format!("`{pattern}` has a `{{` without its `}}`"));
        };
        text.push_str(before);
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, Some(value))) => text.push_str(value),
            Some((_, None)) => return Err(format!("`{pattern}` needs a {name}, and there is none here")),
            None => return Err(format!("`{pattern}` has the unknown `{{{name}}}`")),
        }
        rest = tail;
    }
    text.push_str(rest);
    Ok(text)
}
