//! Tests that need wheels, an index, or pip.

mod index;
mod pypi;
mod support;
mod unpack;
