//! What package managers' failures have in common.

/// What kind of failure a package manager's messages describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An index or other metadata is unsigned, or its signature is not by a trusted, valid key.
    Signature,
    /// Something fetched has other content than promised.
    Content,
    /// A server did not deliver.
    Network,
    /// The packages cannot be installed together.
    Dependencies,
    /// No space left on the host.
    Space,
    /// Something else.
    Other,
}

/// The first few of many names.
pub(crate) fn abbreviate(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}
