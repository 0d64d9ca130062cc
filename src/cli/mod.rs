//! Arguments, settings, one file per subcommand, and the only user of indicatif.
