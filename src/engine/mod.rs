//! The customisation engine: runs a plan in a guest.
