//! The arguments of `tib verify`.

use std::path::PathBuf;

use super::key_value;
use crate::recipe::AgentSource;

pub(super) const VERIFY_HELP: &str = "Examples:
  tib verify mariadb.qcow2                              sealed, and its agent could start
  tib verify mariadb.qcow2 --recipe mariadb             and what its recipe asks
  tib verify other.qcow2 --checks site.toml             and what a file of yours asks
  tib verify guest.qcow2 --conf trove-guestagent.conf   and whether its agent could use this file
  tib verify guest.qcow2 --conf trove-guestagent.conf --trove-conf trove.conf
                                                        and whether the controller's file fits both
  tib verify guest.qcow2 --agent-commit 435f705f        and whether its agent is the control plane's
  tib verify other.qcow2 --goss goss.yaml               and the tests of goss that you have
  tib verify mariadb.qcow2 --html report.html           a page to send to a colleague
  tib verify mariadb.qcow2 --junit report.xml --json    for machines

A file of checks holds tables such as

  [[check]]
  check = \"package\"
  name = \"mariadb-server\"
  version = \">=10.6, <11\"

All kinds of checks are in docs/checks.md; `tib recipe schema --checks` prints a schema for editors.

docs/contract.md lists the causes for which an instance stays in BUILD, and what is said of each.

Exit code 8: a check failed or could not be performed; 3: a recipe, a file of checks or a configuration file is wrong.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct VerifyArgs {
    /// A qcow2 or raw image
    pub(in crate::cli) image: PathBuf,
    /// Check also what this recipe asks
    #[arg(long, value_name = "RECIPE")]
    pub(in crate::cli) recipe: Option<String>,
    /// The recipe's options the image was built with
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value, requires = "recipe")]
    pub(in crate::cli) set: Vec<(String, String)>,
    /// The agent the image was built with, as in `tib build`
    #[arg(long, value_name = "AGENT", requires = "recipe")]
    pub(in crate::cli) agent: Option<AgentSource>,
    /// Check also what this file asks; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) checks: Vec<PathBuf>,
    /// Check also that the agent can use this `trove-guestagent.conf`
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) conf: Option<PathBuf>,
    /// Check also that the image fits the controller's `trove.conf`
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) trove_conf: Option<PathBuf>,
    /// Check also that the agent is of this commit, or version
    #[arg(long, value_name = "COMMIT")]
    pub(in crate::cli) agent_commit: Option<String>,
    /// Check also what this goss file asks of an image at rest; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) goss: Vec<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// Write the report as a web page here
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) html: Option<PathBuf>,
    /// Write a JUnit report here
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) junit: Option<PathBuf>,
}
