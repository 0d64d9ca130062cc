//! Why a report cannot be made.

use crate::error::{Diagnose, Exit};

/// A report cannot be put into its format. All that comes from elsewhere is escaped before, so this is a bug.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The web page.
    #[error("cannot write the HTML report")]
    Html(#[from] minijinja::Error),
    /// The report for CI systems.
    #[error("cannot write the JUnit report")]
    Junit(#[from] quick_junit::SerializeError),
}

impl Diagnose for ReportError {
    fn exit(&self) -> Exit {
        Exit::Internal
    }
}
