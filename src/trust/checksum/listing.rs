//! Files of checksums, in every style that distributions publish.

use std::collections::BTreeMap;

use super::{Algorithm, Checksum, ChecksumFileError};

/// Bytes of a checksum file. The longest ones published are some hundred kilobytes.
const LIMIT: usize = 1 << 20;

/// How a line names a file and its digest. Files mix them, so every line is read by its own form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `<hex>  NAME`: AlmaLinux, Debian, openSUSE, CentOS 7.
    Gnu,
    /// `<hex> *NAME`: Ubuntu.
    GnuBinary,
    /// `SHA256 (NAME) = <hex>`: Rocky, CentOS Stream, Fedora.
    Bsd,
    /// `<hex>` alone, for the one file that the checksum file is about.
    Bare,
}

impl Style {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gnu, Self::GnuBinary, Self::Bsd, Self::Bare];

    /// A line in this style, without its end.
    pub fn line(self, name: &str, checksum: &Checksum) -> String {
        let hex = checksum.hex();
        match self {
            Self::Gnu => format!("{hex}  {name}"),
            Self::GnuBinary => format!("{hex} *{name}"),
            Self::Bsd => format!("{} ({name}) = {hex}", checksum.algorithm().name().to_uppercase()),
            Self::Bare => hex,
        }
    }
}

/// What a checksum file says of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its digest: the strongest, if there are several.
    pub checksum: Checksum,
    /// Its length in bytes, if a comment (`# NAME: N bytes`) tells.
    pub size: Option<u64>,
}

/// A checksum file that has been read.
///
/// Names are those of files beside it. A leading `./` is taken off. A line whose name has other path parts is
/// about a file elsewhere: it is passed over and never matches a name that is asked for. It does not spoil
/// the file, because listings of whole trees have many of them. Lines that cannot be understood are passed
/// over too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    files: BTreeMap<String, Listed>,
    bare: Option<Listed>,
}

impl Listing {
    /// Reads a checksum file. Give it only the bytes under a signature, if there is one.
    ///
    /// # Errors
    /// An empty or oversized file, one without anything to use, and one that contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, ChecksumFileError> {
        if bytes.len() > LIMIT {
            return Err(ChecksumFileError::TooLarge { limit: LIMIT });
        }
        if bytes.trim_ascii().is_empty() {
            return Err(ChecksumFileError::Empty);
        }
        let mut draft = Draft::default();
        for line in bytes.split(|&byte| byte == b'\n') {
            if let Ok(text) = std::str::from_utf8(line) {
                draft.add(line_of(text.strip_suffix('\r').unwrap_or(text)))?;
            }
        }
        draft.finish()
    }

    /// What it says of the file with this name.
    pub fn get(&self, file_name: &str) -> Option<&Listed> {
        self.files.get(file_name)
    }

    /// What it says of the one file that it is about, if that is a build of `file_name`: openSUSE publishes an image by two
    /// names, and the checksum file beside it has the one with the build's number. Only for a checksum file that is about one
    /// file by its own name (`IMAGE.sha256`).
    pub fn build_of(&self, file_name: &str) -> Option<&Listed> {
        let mut files = self.files.iter();
        match (files.next(), files.next()) {
            (Some((name, listed)), None) if is_build_of(name, file_name) => Some(listed),
            _ => None,
        }
    }

    /// The digest that has no name, for whatever file was asked for. Only for a checksum file that is about
    /// one file by its own name (`IMAGE.sha256`).
    pub fn bare(&self) -> Option<&Listed> {
        self.bare.as_ref()
    }

    /// The names of all files in it, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }
}

/// Whether `build` is `file` with more parts in its name: both end alike, and the parts of one are in the other, in order.
fn is_build_of(build: &str, file: &str) -> bool {
    let (Some((build, suffix)), Some((file, wanted))) = (build.rsplit_once('.'), file.rsplit_once('.'))
    else {
        return false;
    };
    let mut parts = build.split('-');
    suffix == wanted && file.split('-').all(|part| parts.any(|other| other == part))
}

/// What one line says.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// The digest of a file, or of no file in particular.
    Digest(Option<String>, Checksum),
    /// The length of a file.
    Size(String, u64),
    /// An MD5 or SHA-1 digest.
    Weak,
    /// Nothing of use.
    Other,
}

#[derive(Default)]
struct Draft {
    digests: BTreeMap<Option<String>, BTreeMap<Algorithm, Checksum>>,
    sizes: BTreeMap<String, u64>,
    weak: bool,
}

impl Draft {
    fn add(&mut self, line: Line) -> Result<(), ChecksumFileError> {
        match line {
            Line::Digest(name, checksum) => {
                let algorithm = checksum.algorithm();
                let known = self.digests.entry(name.clone()).or_default().insert(algorithm, checksum);
                if known.is_some_and(|known| known != checksum) {
                    let name = name.unwrap_or_default();
                    return Err(ChecksumFileError::TwoDigests { name, algorithm });
                }
            }
            Line::Size(name, size) => {
                let known = self.sizes.insert(name.clone(), size);
                if known.is_some_and(|known| known != size) {
                    return Err(ChecksumFileError::TwoSizes { name });
                }
            }
            Line::Weak => self.weak = true,
            Line::Other => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Listing, ChecksumFileError> {
        if self.digests.is_empty() {
            return Err(if self.weak {
                ChecksumFileError::OnlyWeak
            } else {
                ChecksumFileError::NothingUsable
            });
        }
        let mut listing = Listing { files: BTreeMap::new(), bare: None };
        for (name, checksums) in self.digests {
            let Some((_, checksum)) = checksums.into_iter().next_back() else { continue };
            match name {
                Some(name) => {
                    let size = self.sizes.remove(&name);
                    listing.files.insert(name, Listed { checksum, size });
                }
                None => listing.bare = Some(Listed { checksum, size: None }),
            }
        }
        Ok(listing)
    }
}

fn line_of(text: &str) -> Line {
    if let Some(comment) = text.strip_prefix('#') {
        return size(comment).unwrap_or(Line::Other);
    }
    tagged(text).or_else(|| plain(text)).unwrap_or(Line::Other)
}

/// `# NAME: N bytes`, without the `#`.
fn size(comment: &str) -> Option<Line> {
    let (name, count) = comment.trim().strip_suffix(" bytes")?.rsplit_once(": ")?;
    Some(Line::Size(file_name(name)?, count.parse().ok()?))
}

/// `SHA256 (NAME) = <hex>`; openssl writes it without the blanks around the name, and newer ones `SHA2-256`.
fn tagged(text: &str) -> Option<Line> {
    let (tag, rest) = text.split_once('(')?;
    // The last one: a name may hold the same characters, digits cannot.
    let (name, digits) = rest.rsplit_once(") = ").or_else(|| rest.rsplit_once(")= "))?;
    let algorithm = match tag.trim_end() {
        "SHA256" | "SHA2-256" => Algorithm::Sha256,
        "SHA512" | "SHA2-512" => Algorithm::Sha512,
        "MD5" | "SHA1" => return Some(Line::Weak),
        _ => return None,
    };
    let checksum = Checksum::from_hex(digits.trim_end())?;
    (checksum.algorithm() == algorithm).then_some(Line::Digest(Some(file_name(name)?), checksum))
}

/// `<hex>  NAME`, `<hex> *NAME`, or `<hex>` alone.
fn plain(text: &str) -> Option<Line> {
    let end = text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if matches!(digits.len(), 32 | 40) && (rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return Some(Line::Weak);
    }
    let checksum = Checksum::from_hex(digits)?;
    if rest.trim().is_empty() {
        return Some(Line::Digest(None, checksum));
    }
    let name = rest
        .strip_prefix("  ")
        .or_else(|| rest.strip_prefix(" *"))
        .or_else(|| rest.strip_prefix([' ', '\t']))?;
    Some(Line::Digest(Some(file_name(name)?), checksum))
}

/// The name of a file beside the listing, or nothing if it is elsewhere or no name that a download could
/// have.
fn file_name(text: &str) -> Option<String> {
    let name = text.strip_prefix("./").unwrap_or(text);
    let elsewhere = name.contains(['/', '\\']) || matches!(name.trim(), "" | "." | "..");
    (!elsewhere && !name.contains(char::is_control)).then(|| name.to_owned())
}
