//! From arguments and environment to plain settings.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::args::{ColorChoice, GlobalArgs, ProgressChoice};

/// How progress is told on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Bars and spinners.
    Bars,
    /// One line per stage.
    Plain,
    /// JSON lines.
    Json,
    /// Nothing but warnings and errors.
    Quiet,
}

/// Whether text in a stream is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colors {
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

/// What holds for every subcommand.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) progress: Progress,
    pub(super) colors: Colors,
    /// Warnings and errors only, in whatever form.
    pub(super) quiet: bool,
    /// Show the output of programs that run on the host and in the guest.
    pub(super) verbose: bool,
    /// Say how images are read.
    pub(super) explain: bool,
    pub(super) cache_dir: Option<PathBuf>,
    /// The file of settings, if it is not where it is by itself.
    pub(super) config: Option<PathBuf>,
    /// The file of credentials.
    pub(super) repository_auth: Option<PathBuf>,
    pub(super) recipe_dirs: Vec<PathBuf>,
    pub(super) catalogue_dirs: Vec<PathBuf>,
}

impl Settings {
    pub(super) fn new(args: &GlobalArgs) -> Self {
        let GlobalArgs {
            verbose,
            quiet,
            progress,
            color,
            explain,
            cache_dir,
            config,
            repository_auth,
            recipe_dir,
            catalogue_dir,
        } = args;
        #[expect(clippy::disallowed_methods, reason = "nothing is printed")]
        let (out, terminal) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        let progress = match progress {
            // Whoever reads JSON reads nothing else.
            ProgressChoice::Json => Progress::Json,
            _ if *quiet => Progress::Quiet,
            ProgressChoice::Plain => Progress::Plain,
            ProgressChoice::None => Progress::Quiet,
            // Live output and a bar would fight for the same lines.
            ProgressChoice::Auto if terminal && !verbose => Progress::Bars,
            ProgressChoice::Auto => Progress::Plain,
        };
        // A stream that goes into a file has none, wherever the other one goes.
        let colored = |is_terminal: bool| match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        Self {
            progress,
            colors: Colors { stdout: colored(out), stderr: colored(terminal) },
            quiet: *quiet,
            verbose: *verbose,
            explain: *explain,
            cache_dir: cache_dir.clone(),
            config: config.clone(),
            repository_auth: repository_auth.clone(),
            recipe_dirs: recipe_dir.clone(),
            catalogue_dirs: catalogue_dir.clone(),
        }
    }
}
