//! Runs programs on a terminal, to see what they show there and nowhere else.

use std::process::{Command, Stdio};

use super::outcome;

/// Runs a command that must succeed on a terminal of its own, and returns all that it shows there. Line ends are `\r\n`.
#[track_caller]
pub fn on_a_terminal(inside: &Command) -> String {
    let mut command = Command::new("python3");
    command.args(["-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"]);
    command.arg(inside.get_program()).args(inside.get_args());
    for (name, value) in inside.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(directory) = inside.get_current_dir() {
        command.current_dir(directory);
    }
    outcome(command.env("TERM", "xterm").stdin(Stdio::null())).expect(0)
}
