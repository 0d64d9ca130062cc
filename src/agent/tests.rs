//! Tests that need wheels, an index, or pip.

mod git;
mod git_server;
mod index;
mod pypi;
mod support;
mod unpack;
