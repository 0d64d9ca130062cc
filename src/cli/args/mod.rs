//! The arguments, as clap reads them. No logic here.

mod base;
mod boot;
mod cache;
mod diff;
mod inspect;
mod log;
mod look;
mod prove;
mod subscription;
mod verify;

use std::path::PathBuf;

use clap::builder::Styles;
use clap::builder::styling::{AnsiColor, Effects};
use clap::{Parser, Subcommand, ValueEnum};

use crate::agent::Release;
use crate::base::BaseSpec;
use crate::recipe::{AgentSource, ConstraintsSource, EmbedContainer, GivenArtifact};
use crate::size::Size;
use crate::trust::checksum::Checksum;

use base::BASE_HELP;
pub(in crate::cli) use base::{BaseArgs, BaseCommand, BaseFetchArgs};
use boot::BOOT_HELP;
pub(in crate::cli) use boot::{BootArgs, RelayArgs};
use cache::CACHE_HELP;
pub(in crate::cli) use cache::{CacheArgs, CacheCommand};
pub(in crate::cli) use diff::DiffArgs;
use inspect::INSPECT_HELP;
pub(in crate::cli) use inspect::InspectArgs;
use log::{LOG_HELP, TAIL_HELP};
pub(in crate::cli) use log::{LogArgs, TailArgs};
pub(in crate::cli) use look::{CatArgs, ExtractArgs, LsArgs, StatArgs};
use prove::PROVE_HELP;
pub(in crate::cli) use prove::ProveArgs;
pub(in crate::cli) use subscription::SubscriptionArgs;
use verify::VERIFY_HELP;
pub(in crate::cli) use verify::VerifyArgs;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
    .placeholder(AnsiColor::Cyan.on_default());

/// Builds, seals and checks OpenStack Trove guest images, without root.
#[derive(Debug, Parser)]
#[command(
    name = "tib",
    version,
    styles = STYLES,
    propagate_version = true,
    after_help = "Examples:\n  tib doctor                       can this host build images?\n  \
                  tib build trove-guest            today's Trove guest image, checked\n  \
                  tib build mariadb -o db.qcow2    MariaDB's packages in the image\n  \
                  tib verify db.qcow2 --recipe mariadb\n\n\
                  Exit codes: 0 done, 1 internal, 2 usage, 3 recipe, 4 network, 5 integrity,\n\
                  6 guest, 7 host, 8 checks failed, 9 no space, 130 interrupted."
)]
pub struct Args {
    #[command(flatten)]
    pub(in crate::cli) global: GlobalArgs,
    #[command(subcommand)]
    pub(in crate::cli) command: Command,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(in crate::cli) struct GlobalArgs {
    /// Show what programs on the host and in the guest print, as it comes
    #[arg(short, long, global = true)]
    pub(in crate::cli) verbose: bool,

    /// Only warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(in crate::cli) quiet: bool,

    /// How to tell progress on stderr
    #[arg(long, global = true, value_enum, default_value_t, value_name = "HOW")]
    pub(in crate::cli) progress: ProgressChoice,

    /// When to colour text (NO_COLOR is respected)
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(in crate::cli) color: ColorChoice,

    /// Say how an image is read, and why that way
    #[arg(long, global = true)]
    pub(in crate::cli) explain: bool,

    /// Where bases, layers, packages and agents are kept [default: $XDG_CACHE_HOME/tib, or ~/.cache/tib]
    #[arg(long, global = true, env = "TIB_CACHE_DIR", hide_env_values = true, value_name = "DIR")]
    pub(in crate::cli) cache_dir: Option<PathBuf>,

    /// Read settings, such as mirrors, from here [default: $XDG_CONFIG_HOME/tib/config.toml, or ~/.config/tib/config.toml]
    #[arg(long, global = true, env = "TIB_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,

    /// Credentials for repositories and mirrors: `machine HOST login NAME password SECRET`
    #[arg(long, global = true, env = "TIB_REPOSITORY_AUTH", hide_env_values = true, value_name = "FILE")]
    pub(in crate::cli) repository_auth: Option<PathBuf>,

    /// Look for recipes here before the built-in ones; may be given more than once
    #[arg(
        long,
        global = true,
        env = "TIB_RECIPE_DIR",
        hide_env_values = true,
        value_name = "DIR",
        value_delimiter = ':'
    )]
    pub(in crate::cli) recipe_dir: Vec<PathBuf>,

    /// Look for entries of the catalogue here before the built-in ones; may be given more than once
    #[arg(
        long,
        global = true,
        env = "TIB_CATALOGUE_DIR",
        hide_env_values = true,
        value_name = "DIR",
        value_delimiter = ':'
    )]
    pub(in crate::cli) catalogue_dir: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(in crate::cli) enum ProgressChoice {
    /// Bars on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// One line per stage
    Plain,
    /// JSON lines, the version of the format in the first
    Json,
    /// Only warnings and errors
    None,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(in crate::cli) enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Build a guest image and check it
    #[command(after_help = BUILD_HELP)]
    Build(Box<BuildArgs>),
    /// List, show and check recipes
    Recipe(RecipeArgs),
    /// List, fetch and verify images to start from
    #[command(after_help = BASE_HELP)]
    Base(BaseArgs),
    /// List files in an image, without booting it
    #[command(disable_help_flag = true, after_help = look::LS_HELP)]
    Ls(LsArgs),
    /// Print files of an image
    #[command(after_help = look::CAT_HELP)]
    Cat(CatArgs),
    /// Show all that is known of files in an image
    #[command(after_help = look::STAT_HELP)]
    Stat(StatArgs),
    /// Copy files or directories out of an image
    #[command(after_help = look::EXTRACT_HELP)]
    Extract(ExtractArgs),
    /// Tell everything about an image: partitions, boot loader, packages, units and more
    #[command(after_help = INSPECT_HELP)]
    Inspect(InspectArgs),
    /// Say what differs between two images
    #[command(after_help = diff::DIFF_HELP)]
    Diff(DiffArgs),
    /// Print what an image's logs say: the journal, or a file in /var/log
    #[command(after_help = LOG_HELP)]
    Log(LogArgs),
    /// Print the last lines of files of an image
    #[command(after_help = TAIL_HELP)]
    Tail(TailArgs),
    /// Check an image: sealed, its agent able to start, and what its recipe and you ask
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArgs),
    /// Start an instance of an image, see how far it comes, and say why not further
    #[command(after_help = BOOT_HELP)]
    Boot(BootArgs),
    /// Have a real control plane of Trove make a database of an image, use it, restart it and delete it
    #[command(after_help = PROVE_HELP)]
    Prove(ProveArgs),
    #[command(hide = true)]
    Relay(RelayArgs),
    /// See, check and tidy up what is kept for later
    #[command(after_help = CACHE_HELP)]
    Cache(CacheArgs),
    /// Try whether this host can build images, and say how to mend what cannot
    Doctor(DoctorArgs),
}

const BUILD_HELP: &str = "Examples:
  tib build trove-guest
  tib build trove-guest --base ubuntu-24.04
  tib build mariadb --base bootstrap:debian-12
  tib build mariadb --base ./debian-12-generic-amd64.qcow2 -o mariadb.qcow2
  tib build trove-guest --agent pypi:26.0.0 --ssh-key ~/.ssh/id_ed25519.pub
  tib build trove-guest --agent git:stable/2026.1 --target-release 2026.1 --strict
  tib build trove-guest --agent git:https://git.example.com/trove@my-fix --constraints upper.txt
  tib build trove-guest --agent package
  tib build redis --agent path:$HOME/src/my-agent --size 6G
  tib build trove-guest --embed-container mariadb:11.4 --embed-container mysql:8.4=oci:mysql:8.4
  tib build vertica --artifact vertica=vertica.deb --set accept_license=true
  tib build postgresql --dry-run
  tib build mariadb --base rhel-9 --rhsm-org 1234567 --rhsm-activation-key-file key

Beside FILE are written FILE.manifest.json and FILE.sha256.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BuildArgs {
    /// Name of a recipe (`tib recipe list`), or a recipe file
    #[arg(value_name = "RECIPE")]
    pub(in crate::cli) recipe: String,

    /// Image to start from: an image of the catalogue (`tib base list`), a URL, a qcow2 or raw file, or
    /// `bootstrap:debian-12` [default: what the recipe recommends]
    #[arg(long, value_name = "BASE")]
    pub(in crate::cli) base: Option<BaseSpec>,

    /// Digest that a URL or a file must have, such as `sha256:…`; a URL needs one
    #[arg(long, value_name = "CHECKSUM", requires = "base")]
    pub(in crate::cli) checksum: Option<Checksum>,

    /// Believe whatever the base's server sends, and record that in the manifest
    #[arg(long, conflicts_with = "checksum")]
    pub(in crate::cli) insecure_skip_verify: bool,

    /// Trove guest agent: `pypi`, `pypi:VERSION`, `git:BRANCH`, `git:URL[@REF]`, `package`, `package:rdo@RELEASE`,
    /// `path:DIR|FILE` or `none` [default: the recipe's]
    #[arg(long, value_name = "AGENT")]
    pub(in crate::cli) agent: Option<AgentSource>,

    /// Constraints for the agent's requirements, in pip's format: a file, a URL (`@sha256:…` at its end is verified), `auto`
    /// for those of the agent's release, or `none` [default: the recipe's, which is `auto` for agents from git]
    #[arg(long, value_name = "CONSTRAINTS")]
    pub(in crate::cli) constraints: Option<ConstraintsSource>,

    /// Requirements to install in the place of those that the agent states, one a line
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) requirements: Option<PathBuf>,

    /// Release of the control plane, such as `2025.1`: warns if the agent is of another
    #[arg(long, value_name = "RELEASE")]
    pub(in crate::cli) target_release: Option<Release>,

    /// Build nothing if the plan has warnings
    #[arg(long)]
    pub(in crate::cli) strict: bool,

    /// Container image of a database to put into the image, so that instances need no registry: what the agent asks
    /// docker for, and where it comes from if that is elsewhere (`docker://NAME`, `oci:DIR`, `docker-archive:FILE`); may be
    /// given more than once
    #[arg(long, value_name = "NAME[=SOURCE]")]
    pub(in crate::cli) embed_container: Vec<EmbedContainer>,

    /// File that the recipe leaves to a person to bring (`tib recipe show RECIPE` tells which), perhaps with `@sha256:…` at its
    /// end; may be given more than once
    #[arg(long, value_name = "NAME=FILE|URL")]
    pub(in crate::cli) artifact: Vec<GivenArtifact>,

    /// Image to write [default: RECIPE.qcow2]
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,

    /// Size of the image's disk, such as `8G` [default: what is needed]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(in crate::cli) size: Option<Size>,

    /// Public key that may log in; for development images; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) ssh_key: Vec<PathBuf>,

    /// Set an option of the recipe (`tib recipe show RECIPE` lists them)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(in crate::cli) set: Vec<(String, String)>,

    /// Compress with zlib instead of zstd, for readers older than qemu 5.1
    #[arg(long)]
    pub(in crate::cli) compat: bool,

    /// Replace an existing image
    #[arg(short, long)]
    pub(in crate::cli) force: bool,

    /// Use only what is in the cache; open no connection
    #[arg(long)]
    pub(in crate::cli) offline: bool,

    /// Run every stage again, and keep no layers
    #[arg(long)]
    pub(in crate::cli) no_cache: bool,

    /// Show the plan and stop
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,

    /// Print the result as JSON on stdout
    #[arg(long)]
    pub(in crate::cli) json: bool,

    // The last: its heading holds for what follows.
    #[command(flatten)]
    pub(in crate::cli) subscription: SubscriptionArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RecipeArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: RecipeCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RecipeCommand {
    /// List the recipes there are
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a recipe does on an operating system
    Show {
        /// Name of a recipe, or a recipe file
        recipe: String,
        /// Operating system, such as `ubuntu-24.04` or `rocky-9`
        #[arg(long, value_name = "OS", default_value = "debian-12")]
        os: String,
        /// Take the operating system from this base, as in `tib build`; it is made or fetched first
        #[arg(long, value_name = "BASE", conflicts_with = "os")]
        base: Option<BaseSpec>,
        /// Set an option of the recipe
        #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
        set: Vec<(String, String)>,
        /// Trove guest agent, as in `tib build`
        #[arg(long, value_name = "AGENT")]
        agent: Option<AgentSource>,
        /// The plan as JSON
        #[arg(long, conflicts_with = "text")]
        json: bool,
        /// The recipe's own text, to start a new one from
        #[arg(long)]
        text: bool,
    },
    /// Check recipes for mistakes
    Check {
        /// Names or files; all recipes if none is given
        recipes: Vec<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of recipes, for editors
    Schema {
        /// Of files for `tib verify --checks` instead
        #[arg(long)]
        checks: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it like KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn key_values() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        for bad in ["", "a", "=b"] {
            assert!(key_value(bad).is_err(), "{bad}");
        }
    }
}
