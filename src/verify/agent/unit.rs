//! The agent as its unit describes it: what is run, as whom, with which arguments.

use crate::disk::{FileKind, Tree};
use crate::os::access::{ENTER, Identity, READ};
use crate::os::files::{base_name, join, optional, read_start, show};
use crate::os::{ReadError, UnitFile, users};

use super::part::Found;
use super::variables::Variables;

/// What runs in such a unit.
const PROGRAMS: [&[u8]; 5] =
    [b"trove-guestagent", b"trove-guest-agent", b"guest-agent", b"guestagent", b"trove.cmd.guest"];

/// Where systemd looks for a program that is named without a directory.
const PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What may stand in front of a command, one of them several times.
const PREFIXES: [char; 6] = ['@', '-', ':', '+', '!', '|'];

/// Bytes of a script in which arguments are looked for. Scripts that start an agent are short.
const SCRIPT_START: usize = 64 << 10;

/// A guest agent that an image has.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) name: String,
    /// Nothing when it is masked.
    pub(crate) unit: UnitFile,
    user: String,
    variables: Variables,
}

impl Agent {
    pub(crate) fn new(tree: &mut dyn Tree, name: &str, unit: UnitFile) -> Result<Self, ReadError> {
        let user = unit.last("Service", "User").unwrap_or("root");
        // systemd takes a number as well; sudo and docker ask for the name that belongs to it.
        let named = match user.parse::<u32>() {
            Ok(uid) => users(tree)?.into_iter().find(|user| user.uid == uid).map(|user| user.name),
            Err(_) => None,
        };
        let user = named.unwrap_or_else(|| user.to_owned());
        let variables = Variables::read(tree, &unit, &user)?;
        Ok(Self { name: name.to_owned(), user, unit, variables })
    }

    /// Whether the program, what it is a link to, or one of its arguments is called like an agent.
    pub(crate) fn runs_agent(&self, tree: &mut dyn Tree) -> Result<bool, ReadError> {
        let mut words: Vec<_> = self.command().into_iter().map(String::into_bytes).collect();
        if let Some(program) = self.program(tree)? {
            words.extend(optional(tree.canonicalize(&program))?);
        }
        Ok(words.iter().any(|word| PROGRAMS.contains(&base_name(word))))
    }

    /// The name of its unit.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The user it runs as: a number, if no name belongs to it.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// Program and arguments, with the values of variables as far as they are known at rest.
    pub(crate) fn command(&self) -> Vec<String> {
        let line = self.unit.last("Service", "ExecStart").unwrap_or_default();
        let command = line.trim_start_matches(PREFIXES);
        let prefixes = &line[..line.len() - command.len()];
        let mut words = words(command);
        if prefixes.contains(':') || words.is_empty() {
            return words;
        }
        // The program itself cannot be a variable.
        let arguments = words.split_off(1);
        words.extend(self.variables.expand(arguments));
        words
    }

    /// The commands that must succeed before the agent is started.
    pub(crate) fn before(&self) -> Vec<&str> {
        let lines = ["ExecCondition", "ExecStartPre"].map(|key| self.unit.all("Service", key));
        let lines = lines.into_iter().flatten();
        let ignored = |line: &str| line.chars().take_while(|c| PREFIXES.contains(c)).any(|c| c == '-');
        lines.filter(|line| !ignored(line)).map(|line| line.trim_start_matches(PREFIXES)).collect()
    }

    /// Whether it has a directory and all that is in it given to its user before it starts.
    pub(crate) fn hands_over(&self, directory: &str) -> bool {
        self.unit.all("Service", "ExecStartPre").into_iter().map(words).any(|words| {
            words.iter().any(|word| base_name(word.as_bytes()) == b"chown")
                && words.iter().any(|word| word.trim_end_matches('/') == directory)
        })
    }

    /// The path of the program, searched for like systemd does when it is a bare name.
    pub(crate) fn program(&self, tree: &mut dyn Tree) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(word) = self.command().into_iter().next() else { return Ok(None) };
        Ok(Some(in_path(tree, &word)?.unwrap_or_else(|| word.into_bytes())))
    }

    /// Values of an option of the agent: on the command line, or in the shell script that it is.
    pub(crate) fn option(&self, tree: &mut dyn Tree, name: &str) -> Result<Vec<String>, ReadError> {
        let mut values = option(&self.command(), name);
        let Some(program) = self.program(tree)? else { return Ok(values) };
        let is_file = optional(tree.stat(&program))?.is_some_and(|stat| stat.kind == FileKind::File);
        if values.is_empty()
            && is_file
            && interpreter(tree, &program)?.is_some_and(|shell| shell.ends_with(b"sh"))
        {
            let text = read_start(tree, &program, SCRIPT_START)?;
            for line in
                String::from_utf8_lossy(&text).lines().filter(|line| !line.trim_start().starts_with('#'))
            {
                let line = line.replace("=\"", " ").replace("='", " ");
                let found = option(&words(&line), name);
                values.extend(found.into_iter().filter(|value| !value.contains('$')));
            }
        }
        Ok(values)
    }
}

/// Whether systemd takes a value for yes.
pub(crate) fn is_on(value: &str) -> bool {
    ["1", "yes", "y", "true", "t", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

/// The words of a command, without quotes.
pub(crate) fn words(line: &str) -> Vec<String> {
    let separator = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | '&' | '|' | '(' | ')');
    line.split(separator).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Where a program is; a path leads to itself, whether there is something or not.
pub(crate) fn in_path(tree: &mut dyn Tree, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
    if name.starts_with('/') {
        return Ok(Some(name.as_bytes().to_vec()));
    }
    for directory in PATH {
        let path = join(directory.as_bytes(), name.as_bytes());
        if tree.exists(&path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Values of an option given as `--name=value` or `--name value`.
fn option(command: &[String], name: &str) -> Vec<String> {
    let mut words = command.iter();
    let mut values = Vec::new();
    while let Some(word) = words.next() {
        match word.strip_prefix(name) {
            Some("") => values.extend(words.next().cloned()),
            Some(rest) => values.extend(rest.strip_prefix('=').map(str::to_owned)),
            None => {}
        }
    }
    values
}

/// Why a path cannot be executed, by a user if he is known.
pub(crate) fn not_executable(tree: &mut dyn Tree, path: &[u8], user: Option<&Identity>) -> Found {
    let shown = show(path);
    let stat = match optional(tree.stat(path))? {
        None if tree.exists(path)? => {
            let target = show(&tree.read_link(path)?);
            return Ok(Some(format!("{shown} is a link to {target}, which does not exist")));
        }
        None => return Ok(Some(format!("{shown} does not exist"))),
        Some(stat) => stat,
    };
    if stat.kind != FileKind::File {
        return Ok(Some(format!("{shown} is no file")));
    }
    if stat.mode & 0o111 == 0 {
        return Ok(Some(format!("{shown} is not executable (mode {:04o})", stat.mode)));
    }
    let Some(user) = user else { return Ok(None) };
    // A script is read by its interpreter, as the same user.
    let wanted = if interpreter(tree, path)?.is_some() { ENTER | READ } else { ENTER };
    user.obstacle(tree, path, wanted)
}

/// The program that a script's first line names.
pub(crate) fn interpreter(tree: &mut dyn Tree, path: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
    let start = read_start(tree, path, 256)?;
    let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let word = line.strip_prefix(b"#!").map(<[u8]>::trim_ascii_start);
    let word = word.and_then(|rest| rest.split(u8::is_ascii_whitespace).next());
    Ok(word.filter(|word| word.starts_with(b"/")).map(<[u8]>::to_vec))
}
