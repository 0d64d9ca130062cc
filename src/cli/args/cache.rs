//! The arguments of `tib cache`.

use clap::Subcommand;

use crate::size::Size;

pub(super) const CACHE_HELP: &str = "Examples:
  tib cache status -v                 everything in it, with size and last use
  tib cache gc --dry-run              what was not used for 30 days
  tib cache gc --keep-days 0          all that no running tib uses
  tib cache gc --max-size 20G         the least recently used, until 20 GiB are left";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CacheArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: CacheCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CacheCommand {
    /// Show what is in it and how large that is; with -v, every item
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove what was not used for long; what a running tib uses stays
    Gc {
        /// Keep what was used within so many days
        #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 30)]
        keep_days: u64,
        /// Then remove what was not used for longest until no more than this is left
        #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
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
