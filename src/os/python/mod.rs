//! Python on the image: virtual environments, metadata of distributions, requirements.

pub(crate) mod environment;
pub(crate) mod metadata;
pub(crate) mod own;
pub(crate) mod requirement;
