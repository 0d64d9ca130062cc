//! The arguments, as clap reads them. No logic here.

use std::path::PathBuf;

use clap::builder::Styles;
use clap::builder::styling::{AnsiColor, Effects};
use clap::{Parser, Subcommand, ValueEnum};

use crate::os::Arch;
use crate::recipe::AgentSource;
use crate::size::Size;
use crate::source::BaseSpec;
use crate::source::checksum::Checksum;

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
    pub(super) global: GlobalArgs,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct GlobalArgs {
    /// Show what programs on the host and in the guest print, as it comes
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,

    /// Only warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// How to tell progress on stderr
    #[arg(long, global = true, value_enum, default_value_t, value_name = "HOW")]
    pub(super) progress: ProgressChoice,

    /// When to colour text (NO_COLOR is respected)
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) color: ColorChoice,

    /// Where bases, layers, packages and agents are kept [default: $XDG_CACHE_HOME/tib]
    #[arg(long, global = true, env = "TIB_CACHE_DIR", hide_env_values = true, value_name = "DIR")]
    pub(super) cache_dir: Option<PathBuf>,

    /// Look for recipes here before the built-in ones; may be given more than once
    #[arg(
        long,
        global = true,
        env = "TIB_RECIPE_DIR",
        hide_env_values = true,
        value_name = "DIR",
        value_delimiter = ':'
    )]
    pub(super) recipe_dir: Vec<PathBuf>,

    /// Look for entries of the catalogue here before the built-in ones; may be given more than once
    #[arg(
        long,
        global = true,
        env = "TIB_CATALOGUE_DIR",
        hide_env_values = true,
        value_name = "DIR",
        value_delimiter = ':'
    )]
    pub(super) catalogue_dir: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum ProgressChoice {
    /// Bars on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// One line per stage
    Plain,
    /// JSON lines, the version of the format in the first
    Json,
    /// Nothing
    None,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Build a guest image and check it
    #[command(after_help = BUILD_HELP)]
    Build(BuildArgs),
    /// List, show and check recipes
    Recipe(RecipeArgs),
    /// List, fetch and verify images to start from
    #[command(after_help = BASE_HELP)]
    Base(BaseArgs),
    /// List files in an image, without booting it
    #[command(
        after_help = "Examples:\n  tib ls mariadb.qcow2 /etc/mysql\n  tib ls -lR --uids --times mariadb.qcow2 /etc\n  tib ls -lR --checksum --json mariadb.qcow2 / > files.json"
    )]
    Ls(LsArgs),
    /// Print a file of an image
    Cat(CatArgs),
    /// Check an image: sealed, its agent able to start, and what its recipe asks
    Verify(VerifyArgs),
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
  tib build redis --agent path:~/src/my-agent --size 6G
  tib build postgresql --dry-run

Beside FILE are written FILE.manifest.json and FILE.sha256.";

#[derive(Debug, clap::Args)]
pub(super) struct BuildArgs {
    /// Name of a recipe (`tib recipe list`), or a recipe file
    #[arg(value_name = "RECIPE")]
    pub(super) recipe: String,

    /// Image to start from: an image of the catalogue (`tib base list`), a URL, a qcow2 or raw file, or
    /// `bootstrap:debian-12` [default: what the recipe recommends]
    #[arg(long, value_name = "BASE")]
    pub(super) base: Option<BaseSpec>,

    /// Digest that the base must have, such as `sha256:…`; a URL needs one
    #[arg(long, value_name = "CHECKSUM", requires = "base")]
    pub(super) checksum: Option<Checksum>,

    /// Believe whatever the base's server sends, and record that in the manifest
    #[arg(long, conflicts_with = "checksum")]
    pub(super) insecure_skip_verify: bool,

    /// Trove guest agent: `pypi`, `pypi:VERSION`, `path:DIR|FILE` or `none` [default: the recipe's]
    #[arg(long, value_name = "AGENT")]
    pub(super) agent: Option<AgentSource>,

    /// Constraints for the agent's requirements, in pip's format
    #[arg(long, value_name = "FILE")]
    pub(super) constraints: Option<PathBuf>,

    /// Image to write [default: RECIPE.qcow2]
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// Size of the image's disk, such as `8G` [default: what is needed]
    #[arg(long, value_name = "SIZE")]
    pub(super) size: Option<Size>,

    /// Public key that may log in; for development images; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(super) ssh_key: Vec<PathBuf>,

    /// Set an option of the recipe (`tib recipe show RECIPE` lists them)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) set: Vec<(String, String)>,

    /// Compress with zlib instead of zstd, for readers older than qemu 5.1
    #[arg(long)]
    pub(super) compat: bool,

    /// Replace an existing image
    #[arg(short, long)]
    pub(super) force: bool,

    /// Use only what is in the cache; open no connection
    #[arg(long)]
    pub(super) offline: bool,

    /// Run every stage again, and keep no layers
    #[arg(long)]
    pub(super) no_cache: bool,

    /// Show the plan and stop
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Print the result as JSON on stdout
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct RecipeArgs {
    #[command(subcommand)]
    pub(super) command: RecipeCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum RecipeCommand {
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
    Schema,
}

#[derive(Debug, clap::Args)]
pub(super) struct LsArgs {
    /// A qcow2 or raw image
    pub(super) image: PathBuf,
    /// Directory or file in it
    #[arg(default_value = "/")]
    pub(super) path: String,
    /// Type, mode and size beside the name
    #[arg(short, long)]
    pub(super) long: bool,
    /// With all directories below
    #[arg(short = 'R', long)]
    pub(super) recursive: bool,
    /// With -l: sizes like `1.5K`
    #[arg(long)]
    pub(super) human: bool,
    /// With -l: owner and group, by number
    #[arg(long)]
    pub(super) uids: bool,
    /// With -l: time of last modification, UTC
    #[arg(long)]
    pub(super) times: bool,
    /// With -l: SHA-256 of files
    #[arg(long)]
    pub(super) checksum: bool,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
    /// As comma-separated values
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct CatArgs {
    /// A qcow2 or raw image
    pub(super) image: PathBuf,
    /// Files in it
    #[arg(required = true)]
    pub(super) paths: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// A qcow2 or raw image
    pub(super) image: PathBuf,
    /// Check also what this recipe asks
    #[arg(long, value_name = "RECIPE")]
    pub(super) recipe: Option<String>,
    /// The recipe's options the image was built with
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value, requires = "recipe")]
    pub(super) set: Vec<(String, String)>,
    /// The agent the image was built with, as in `tib build`
    #[arg(long, value_name = "AGENT", requires = "recipe")]
    pub(super) agent: Option<AgentSource>,
    /// Print the report as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Write a JUnit report here
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
}

const BASE_HELP: &str = "Examples:
  tib base list                                 what there is, and what is here
  tib base fetch ubuntu-24.04 debian-12         for later, or for a machine without network
  tib base fetch rocky-9@newest --refresh       is there something newer?
  tib base import rhel-9.6-x86_64-kvm.qcow2 --as rhel-9 --checksum sha256:…
  tib base verify                               are all of them still what they were?";

#[derive(Debug, clap::Args)]
pub(super) struct BaseArgs {
    #[command(subcommand)]
    pub(super) command: BaseCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum BaseCommand {
    /// List the images of the catalogue
    List {
        /// Also those whose maker no longer looks after them
        #[arg(short, long)]
        all: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of an image, and what the cache holds of it
    Show {
        /// Its name, or another name for it
        id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch images into the cache, verified; what is there already is not fetched again
    Fetch(BaseFetchArgs),
    /// Take a file into the cache as an image of the catalogue
    Import {
        /// A qcow2 or raw image
        file: PathBuf,
        /// What it is: a name of the catalogue
        #[arg(long = "as", value_name = "ID")]
        id: String,
        /// Digest that the file must have, such as `sha256:…`
        #[arg(long, value_name = "CHECKSUM")]
        checksum: Option<Checksum>,
        /// Architecture [default: this host's]
        #[arg(long, value_name = "ARCH", value_parser = arch)]
        arch: Option<Arch>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Read images of the cache again and compare their digests
    Verify {
        /// Names; all that are in the cache if none is given
        ids: Vec<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove an image from the cache
    Remove {
        /// Names
        #[arg(required = true)]
        ids: Vec<String>,
        /// Architecture [default: all]
        #[arg(long, value_name = "ARCH", value_parser = arch)]
        arch: Option<Arch>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Check the entries of the catalogue for mistakes
    CheckCatalogue {
        /// Names; all if none is given
        ids: Vec<String>,
        /// Ask the servers too: one HEAD request for each image
        #[arg(long)]
        online: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of catalogue entries, for editors
    Schema,
}

#[derive(Debug, clap::Args)]
pub(super) struct BaseFetchArgs {
    /// Names: `ID`, `ID@newest` or `ID@VERSION`
    #[arg(required_unless_present = "all_current", conflicts_with = "all_current")]
    pub(super) ids: Vec<BaseSpec>,
    /// Every image that its maker still looks after
    #[arg(long)]
    pub(super) all_current: bool,
    /// Ask whether there is something newer than what the cache holds
    #[arg(long)]
    pub(super) refresh: bool,
    /// Architecture [default: this host's]
    #[arg(long, value_name = "ARCH", value_parser = arch)]
    pub(super) arch: Option<Arch>,
    /// Keys of the image's maker, in place of those the catalogue would fetch; still compared with its pins
    #[arg(long, value_name = "FILE")]
    pub(super) key: Vec<PathBuf>,
    /// Digest that what a URL leads to must have, such as `sha256:…`
    #[arg(long, value_name = "CHECKSUM")]
    pub(super) checksum: Option<Checksum>,
    /// Open no connection: only say what is there, and what is missing
    #[arg(long)]
    pub(super) offline: bool,
    /// Believe whatever the server sends, and record that
    #[arg(long)]
    pub(super) insecure_skip_verify: bool,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

const CACHE_HELP: &str = "Examples:
  tib cache status -v                 everything in it, with size and last use
  tib cache gc --dry-run              what was not used for 30 days
  tib cache gc --keep-days 0          all that no running tib uses
  tib cache gc --max-size 20G         the least recently used, until 20 GiB are left";

#[derive(Debug, clap::Args)]
pub(super) struct CacheArgs {
    #[command(subcommand)]
    pub(super) command: CacheCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum CacheCommand {
    /// Show what is in it and how large that is; with -v, every item
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove what was not used for long; what a running tib uses stays
    Gc {
        /// Keep what was used within so many days
        #[arg(long, value_name = "N", default_value_t = 30)]
        keep_days: u64,
        /// Then remove what was not used for longest until no more than this is left
        #[arg(long, value_name = "SIZE")]
        max_size: Option<Size>,
        /// Only show what would go
        #[arg(long)]
        dry_run: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Read everything in it and set aside what is damaged
    Verify {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print where it is
    Path,
}

#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

fn arch(text: &str) -> Result<Arch, String> {
    Arch::parse(text).ok_or_else(|| "it can be x86_64 (amd64) or aarch64 (arm64)".to_owned())
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
