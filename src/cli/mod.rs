//! The command line: arguments, settings, one file per subcommand, and the only user of indicatif.

mod args;
mod base;
mod boot;
mod build;
mod cache;
mod cat;
mod config;
mod diff;
mod doctor;
mod extract;
mod inspect;
mod log;
mod ls;
mod prove;
mod recipe;
mod reports;
mod settings;
mod signals;
mod silence;
mod stat;
mod stdout;
mod subscription;
mod tail;
mod ui;
mod verify;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};

use crate::cache::Cache;
use crate::cancel::Cancel;
use crate::control::Control;
use crate::disk::{Policy, Tree};
use crate::error::{Exit, Result};
use crate::host::limits;
use crate::image::Image;
use crate::shown::{Text, show};

pub use args::Args;
use args::Command;
use settings::Settings;
use stdout::{put, put_json};
use ui::Printer;

/// What every subcommand gets.
struct Context {
    settings: Settings,
    printer: Printer,
    control: Control,
}

impl Context {
    /// What an image may be. Only the cache's own layers have something behind them: an image that comes from elsewhere
    /// must not reach into the cache, and would be of no use anywhere else.
    fn policy(&self, image: &Path) -> Policy {
        let root = Cache::place(self.settings.cache_dir.clone()).and_then(|root| root.canonicalize().ok());
        match (root, image.canonicalize()) {
            (Some(root), Ok(image)) if image.starts_with(&root) => Policy::within(root),
            _ => Policy::default(),
        }
    }

    /// Opens an image that may be one of tib's own layers.
    fn open(&self, image: &Path) -> Result<Image> {
        Ok(Image::open(image, &self.policy(image), &self.control)?)
    }

    /// Hands the file tree of an open image to `work`, and closes the image.
    fn read<T>(&self, image: Image, work: impl FnOnce(&mut dyn Tree) -> Result<T>) -> Result<T> {
        let path = image.path().to_owned();
        image.read(|tree| {
            if self.settings.explain {
                self.control.events.note(format!("{}: {}", path.display(), tree.explain()));
            }
            work(tree)
        })
    }

    /// Opens an image, and hands its file tree to `work`.
    fn with_tree<T>(&self, image: &Path, work: impl FnOnce(&mut dyn Tree) -> Result<T>) -> Result<T> {
        self.read(self.open(image)?, work)
    }
}

/// A path in an image, as it was given: what has no `/` in front is taken from the root.
fn in_image(path: &OsStr) -> Vec<u8> {
    let path = path.as_bytes();
    if path.starts_with(b"/") { path.to_vec() } else { [b"/", path].concat() }
}

/// Does the same for every path. What cannot be done for one is told, and the others are done all the same; how the
/// first of them failed is how the program ends.
fn for_each(
    context: &Context,
    paths: &[std::ffi::OsString],
    mut work: impl FnMut(&std::ffi::OsString) -> Result<()>,
) -> Result<Exit> {
    let mut exit = Exit::Done;
    for path in paths {
        match work(path) {
            Ok(()) => {}
            // Only what is wrong with a path is its own affair.
            Err(failure) if failure.exit() == Exit::Usage && paths.len() > 1 => {
                context.printer.failure(&failure);
                if exit == Exit::Done {
                    exit = failure.exit();
                }
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(exit)
}

/// Whether something is there that is written to and never replaced: a pipe, a terminal, `/dev/null`.
fn is_stream(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Runs the program with the arguments of the process, and says how it shall end.
pub fn main() -> ExitCode {
    ui::tell_of_panics();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return ExitCode::from(not_parsed(&error) as u8),
    };
    // It speaks to a guest, and to nobody else.
    if let Command::Relay(args) = &args.command {
        return boot::relay(args);
    }
    let settings = Settings::new(&args.global);
    let printer = Printer::new(&settings);
    let cancel = Cancel::new();
    let limits = limits::open_files();
    // Watching takes some files, too.
    if limits.is_ok() {
        signals::watch(&cancel);
    }
    let mut context = Context { control: Control::new(printer.events(), cancel), settings, printer };
    let exit = match limits
        .map_err(Into::into)
        .and_then(|()| configure(&mut context))
        .and_then(|()| run(args.command, &context))
    {
        Ok(exit) => exit,
        // Whatever failed after the user interrupted, failed because of it.
        Err(_) if context.control.cancel.is_raised() => {
            context.printer.interrupted();
            Exit::Interrupted
        }
        Err(failure) => {
            context.printer.failure(&failure);
            failure.exit()
        }
    };
    context.printer.finish();
    ExitCode::from(exit as u8)
}

/// Lets what the files of settings and credentials say hold.
fn configure(context: &mut Context) -> Result<()> {
    context.control.mirrors = config::mirrors(context.settings.config.as_deref())?;
    context.control.netrc =
        config::credentials(context.settings.repository_auth.as_deref(), &context.control)?;
    Ok(())
}

/// Tells what is wrong with the command line, or the help that was asked for.
fn not_parsed(error: &clap::Error) -> Exit {
    // clap repeats arguments as they are, so it gets them once more, escaped.
    let shown: Vec<String> = std::env::args_os().map(|argument| show(argument.as_bytes())).collect();
    let error = match Args::try_parse_from(&shown) {
        Err(mut error) => {
            without_wrong_tip(&mut error, &shown);
            error
        }
        // What is wrong with an argument is what had to be escaped.
        Ok(_) => {
            ui::tell(&Text::of_file(&error.render().to_string()));
            return Exit::Usage;
        }
    };
    // Help and version are no mistakes. A closed stream is nobody's fault.
    let told = match error.print() {
        Err(error) => error.kind() == std::io::ErrorKind::BrokenPipe,
        Ok(()) => true,
    };
    if told && !error.use_stderr() { Exit::Done } else { Exit::Usage }
}

/// clap takes what begins with `-` and is no option for the name of something, and says how to pass that. Behind an option that
/// wants a value it is more likely the value, such as `--size -1G`, and then the tip leads nowhere.
fn without_wrong_tip(error: &mut clap::Error, arguments: &[String]) {
    let Some(ContextValue::String(unexpected)) = error.get(ContextKind::InvalidArg) else { return };
    // Of `-1G` it names `-1`, as if that were several options of one letter.
    let place = arguments.iter().position(|argument| argument.starts_with(unexpected.as_str()));
    if place.is_some_and(|place| place > 0 && arguments[place - 1].starts_with('-')) {
        error.remove(ContextKind::Suggested);
    }
}

fn run(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::Build(args) => build::run(*args, context),
        Command::Recipe(args) => recipe::run(args, context),
        Command::Ls(args) => ls::run(&args, context),
        Command::Cat(args) => cat::run(&args, context),
        Command::Stat(args) => stat::run(&args, context),
        Command::Extract(args) => extract::run(&args, context),
        Command::Inspect(args) => inspect::run(&args, context),
        Command::Diff(args) => diff::run(&args, context),
        Command::Log(args) => log::run(&args, context),
        Command::Tail(args) => tail::run(&args, context),
        Command::Verify(args) => verify::run(&args, context),
        Command::Boot(args) => boot::run(&args, context),
        Command::Prove(args) => prove::run(&args, context),
        Command::Relay(_) => Ok(Exit::Done),
        Command::Base(args) => base::run(args, context),
        Command::Cache(args) => cache::run(&args, context),
        Command::Doctor(args) => doctor::run(&args, context),
    }
}
