//! What is mounted in a guest, and where.

/// One thing that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) what: What,
    pub(super) at: String,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A file system, with options that choose what of it is mounted, or whose its files are.
    Device { device: String, options: String },
    /// Another path of the guest, with what is mounted below it if `recursive` is set.
    Path { path: String, recursive: bool },
}
