//! The recipes that are part of the program.

macro_rules! embed {
    ($($name:literal),+ $(,)?) => {
        /// Names and texts.
        pub(super) const EMBEDDED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../recipes/", $name, ".toml")))),+];
    };
}

embed![
    "cassandra",
    "common",
    "couchbase",
    "couchdb",
    "datastore",
    "db2",
    "guest-agent",
    "huge-pages",
    "mariadb",
    "mongodb",
    "mysql",
    "mysql-family",
    "percona",
    "percona-packages",
    "postgresql",
    "pxc",
    "redis",
    "trove-guest",
    "valkey",
    "vertica",
];

#[cfg(test)]
mod tests {
    use super::EMBEDDED;

    #[test]
    fn every_recipe_file_is_embedded() {
        let dir = fs_err::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/recipes")).unwrap();
        let mut files: Vec<_> = dir
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
            .collect();
        files.sort();
        assert_eq!(files, EMBEDDED.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }
}
