//! What is kept beside a finished image: its manifest.
