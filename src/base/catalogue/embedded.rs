//! The entries that are part of the program.

macro_rules! embed {
    ($($name:literal),+ $(,)?) => {
        /// Names and texts.
        pub(crate) const EMBEDDED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../base-images/", $name, ".toml")))),+];
    };
}

embed!["almalinux", "centos", "debian", "fedora", "opensuse", "rhel", "rocky", "ubuntu"];
