//! The arguments about Red Hat's subscriptions.

use std::path::PathBuf;

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Red Hat subscription, for RHEL as a base")]
pub(in crate::cli) struct SubscriptionArgs {
    /// Organisation to register with while packages are fetched
    #[arg(long, env = "TIB_RHSM_ORG", hide_env_values = true, value_name = "ORG")]
    pub(in crate::cli) rhsm_org: Option<String>,

    /// File with activation keys, one a line; or the keys themselves in TIB_RHSM_ACTIVATION_KEY
    #[arg(long, env = "TIB_RHSM_ACTIVATION_KEY_FILE", hide_env_values = true, value_name = "FILE")]
    pub(in crate::cli) rhsm_activation_key_file: Option<PathBuf>,

    /// User to register as, instead of with a key
    #[arg(long, env = "TIB_RHSM_USER", hide_env_values = true, value_name = "USER")]
    pub(in crate::cli) rhsm_user: Option<String>,

    /// File with the user's password; or the password itself in TIB_RHSM_PASSWORD
    #[arg(long, env = "TIB_RHSM_PASSWORD_FILE", hide_env_values = true, value_name = "FILE")]
    pub(in crate::cli) rhsm_password_file: Option<PathBuf>,

    /// Server to register with, such as `satellite.example.org/rhsm` [default: Red Hat's]
    #[arg(long, env = "TIB_RHSM_SERVER", hide_env_values = true, value_name = "URL")]
    pub(in crate::cli) rhsm_server: Option<String>,

    /// What packages lie below, such as `https://satellite.example.org/pulp/content` [default: Red Hat's]
    #[arg(long, env = "TIB_RHSM_BASEURL", hide_env_values = true, value_name = "URL")]
    pub(in crate::cli) rhsm_baseurl: Option<String>,

    /// Minor release to take packages of, such as `9.4` [default: the newest, or what the key says]
    #[arg(long, env = "TIB_RHSM_RELEASE", hide_env_values = true, value_name = "RELEASE")]
    pub(in crate::cli) rhsm_release: Option<String>,

    /// Repository to use besides those that are on by default; may be given more than once
    #[arg(long, env = "TIB_RHSM_REPO", hide_env_values = true, value_name = "ID", value_delimiter = ',')]
    pub(in crate::cli) rhsm_repo: Vec<String>,

    /// File with authorities, in PEM, that these servers are trusted by, too
    #[arg(long, env = "TIB_RHSM_CA", hide_env_values = true, value_name = "FILE")]
    pub(in crate::cli) rhsm_ca: Option<PathBuf>,
}
