//! The agent's unit: does it start, as whom, with which configuration, and when.

use super::{CheckResult, Found, joined, result};
use crate::disk::{FileKind, Tree};
use crate::os::files::{base_name, is_directory, join, optional, read_start, show};
use crate::os::unit::UnitState;
use crate::os::{ReadError, UnitFile, UnitIndex, gid_of, groups, groups_of, uid_of, users};

/// What runs in such a unit.
const PROGRAMS: [&[u8]; 5] =
    [b"trove-guestagent", b"trove-guest-agent", b"guest-agent", b"guestagent", b"trove.cmd.guest"];

/// Where Trove has cloud-init write the agent's configuration.
const INJECTED: &str = "/etc/trove/conf.d";

/// Directories the agent writes to.
const DIRECTORIES: [&str; 4] = ["/etc/trove", "/var/lib/trove", "/var/log/trove", "/opt/trove-guestagent"];

/// The ids today's agent gives to the database's user and group.
const DATABASE_ID: u32 = 1001;

/// A guest agent that an image has.
pub(crate) struct Agent {
    pub(crate) name: String,
    /// Nothing when it is masked.
    pub(crate) unit: UnitFile,
}

impl Agent {
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

    /// The user it runs as.
    pub(crate) fn user(&self) -> &str {
        self.unit.last("Service", "User").unwrap_or("root")
    }

    /// Program and arguments.
    pub(crate) fn command(&self) -> Vec<String> {
        let line = self.unit.last("Service", "ExecStart").unwrap_or_default();
        let line = line.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        line.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned()).collect()
    }

    /// The path of the program, searched for like systemd does when it is a bare name.
    pub(crate) fn program(&self, tree: &mut dyn Tree) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(word) = self.command().into_iter().next() else { return Ok(None) };
        if word.starts_with('/') {
            return Ok(Some(word.into_bytes()));
        }
        for directory in ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
            let path = join(directory.as_bytes(), word.as_bytes());
            if tree.exists(&path)? {
                return Ok(Some(path));
            }
        }
        Ok(Some(word.into_bytes()))
    }

    pub(crate) fn check(&self, tree: &mut dyn Tree, index: &UnitIndex) -> Vec<CheckResult> {
        let name = &self.name;
        let enabled = index
            .state_behind(tree, name)
            .map(|state| (state != UnitState::Enabled).then(|| state.to_string()));
        let mut results = vec![
            result(format!("{name} starts at boot"), enabled)
                .why("without an agent the instance stays in BUILD and says nothing")
                .fix("enable the unit in the recipe"),
            result(format!("{name} has a program that can run"), self.check_program(tree))
                .why("the unit would fail, and the instance stay in BUILD")
                .fix("install the agent again, or correct ExecStart"),
            result(format!("{name} runs as a user that exists"), self.check_user(tree))
                .why("the unit would fail; and cloud-init gives the agent's configuration to this user")
                .fix("make the user in the image: cloud-init writes files before it makes users"),
            result(format!("{name} reads the injected configuration"), self.check_configuration(tree))
                .why("without guest_info.conf and trove-guestagent.conf the agent does not know who it is")
                .fix("pass --config-dir=/etc/trove/conf.d and make the directory"),
            result(format!("{name} starts after cloud-init"), self.check_order(tree, index))
                .why("cloud-init writes the configuration; an agent that is faster starts without it")
                .fix("add After=cloud-init.service cloud-init-network.service to [Unit]"),
            result(format!("the directories of {name} belong to its user"), self.check_directories(tree))
                .why("the agent cannot write its log, its state or the files that say prepare is done")
                .fix("make them in the recipe, with the agent's user as owner"),
        ];
        if let Some(found) = database_id(tree, index).transpose() {
            results.push(
                result(format!("user and group id {DATABASE_ID} are free"), found)
                    .why("the agent gives this id to the database's user, and ends when it is taken")
                    .fix("give the other user a different id"),
            );
        }
        results
    }

    fn check_program(&self, tree: &mut dyn Tree) -> Found {
        let Some(program) = self.program(tree)? else {
            return Ok(Some("no ExecStart".to_owned()));
        };
        if let Some(problem) = not_executable(tree, &program)? {
            return Ok(Some(problem));
        }
        match interpreter(tree, &program)? {
            Some(interpreter) => Ok(not_executable(tree, &interpreter)?
                .map(|problem| format!("{} is a script, and {problem}", show(&program)))),
            None => Ok(None),
        }
    }

    fn check_user(&self, tree: &mut dyn Tree) -> Found {
        let mut wrong = Vec::new();
        if uid_of(&users(tree)?, self.user()).is_none() {
            wrong.push(format!("no user {}", self.user()));
        }
        if let Some(group) = self.unit.last("Service", "Group")
            && gid_of(&groups(tree)?, group).is_none()
        {
            wrong.push(format!("no group {group}"));
        }
        Ok(joined(&wrong))
    }

    fn check_configuration(&self, tree: &mut dyn Tree) -> Found {
        let command = self.command();
        let (directories, files) = (option(&command, "--config-dir"), option(&command, "--config-file"));
        let mut wrong = Vec::new();
        let below_injected =
            |path: &str| path.strip_prefix(INJECTED).is_some_and(|rest| rest.starts_with('/'));
        let reads_directory = directories.iter().any(|path| path.trim_end_matches('/') == INJECTED);
        if !reads_directory && files.iter().filter(|path| below_injected(path)).count() < 2 {
            wrong.push(format!("neither --config-dir={INJECTED} nor both files in it are passed"));
        }
        for path in directories.iter().chain([&INJECTED]) {
            if !is_directory(tree, path.as_bytes())? {
                wrong.push(format!("{path} is no directory"));
            } else if let Some(problem) = self.cannot_enter(tree, path)? {
                wrong.push(problem);
            }
        }
        // What cloud-init writes is not there yet.
        for path in files.iter().filter(|path| !below_injected(path)) {
            if optional(tree.stat(path.as_bytes()))?.is_none() {
                wrong.push(format!("{path} does not exist"));
            }
        }
        wrong.dedup();
        Ok(joined(&wrong))
    }

    /// Says which part of a path the agent's user may not pass.
    fn cannot_enter(&self, tree: &mut dyn Tree, path: &str) -> Found {
        let users = users(tree)?;
        let Some(user) = users.iter().find(|user| user.name == self.user() && user.uid != 0) else {
            return Ok(None);
        };
        let groups = groups(tree)?;
        let names = groups_of(user, &groups);
        let path = tree.canonicalize(path.as_bytes())?;
        let ends = path.iter().enumerate().filter(|&(at, &b)| b == b'/' && at > 0).map(|(at, _)| at);
        for end in ends.chain([path.len()]).collect::<Vec<_>>() {
            let stat = tree.lstat(&path[..end])?;
            let in_group = stat.gid == user.gid
                || groups.iter().any(|group| group.gid == stat.gid && names.contains(&group.name.as_str()));
            let bits = match (stat.uid == user.uid, in_group) {
                (true, _) => stat.mode >> 6,
                (false, true) => stat.mode >> 3,
                (false, false) => stat.mode,
            };
            if bits & 1 == 0 {
                let part = show(&path[..end]);
                return Ok(Some(format!("{} may not enter {part} (mode {:04o})", user.name, stat.mode)));
            }
        }
        Ok(None)
    }

    fn check_order(&self, tree: &mut dyn Tree, index: &UnitIndex) -> Found {
        let after = self.unit.words("Unit", "After");
        let writes = |name: &&&str| {
            let stem = name.rsplit_once('.').map_or(**name, |(stem, _)| stem);
            matches!(stem, "cloud-init" | "cloud-init-network" | "cloud-config" | "cloud-final")
        };
        if after.iter().find(writes).is_none() {
            return Ok(Some(format!("After={}", after.join(" "))));
        }
        // systemd breaks a circle by dropping a start job, perhaps the agent's.
        const TARGET: &str = "multi-user.target";
        if self.unit.words("Install", "WantedBy").contains(&TARGET) {
            for name in after {
                let other = index.load(tree, name)?.unwrap_or_default();
                if other.words("Unit", "After").contains(&TARGET) {
                    return Ok(Some(format!(
                        "a circle: it is after {name}, which is after {TARGET}, which waits for it"
                    )));
                }
            }
        }
        Ok(None)
    }

    fn check_directories(&self, tree: &mut dyn Tree) -> Found {
        let users = users(tree)?;
        let owner = uid_of(&users, self.user());
        let mut wrong = Vec::new();
        for path in DIRECTORIES {
            match optional(tree.stat(path.as_bytes()))? {
                None => wrong.push(format!("{path} does not exist")),
                Some(stat) if stat.kind != FileKind::Directory => {
                    wrong.push(format!("{path} is no directory"));
                }
                Some(stat) if owner != Some(stat.uid) && owner != Some(0) => {
                    wrong.push(format!("{path} belongs to uid {}", stat.uid));
                }
                Some(_) => {}
            }
        }
        Ok(joined(&wrong))
    }
}

/// Values of an option given as `--name=value` or `--name value`.
fn option<'a>(command: &'a [String], name: &str) -> Vec<&'a str> {
    let mut words = command.iter();
    let mut values = Vec::new();
    while let Some(word) = words.next() {
        match word.strip_prefix(name) {
            Some("") => values.extend(words.next().map(String::as_str)),
            Some(rest) => values.extend(rest.strip_prefix('=')),
            None => {}
        }
    }
    values
}

/// Why a path cannot be executed, if it cannot.
pub(crate) fn not_executable(tree: &mut dyn Tree, path: &[u8]) -> Found {
    let shown = show(path);
    Ok(match optional(tree.stat(path))? {
        None if tree.exists(path)? => {
            Some(format!("{shown} is a link to {}, which does not exist", show(&tree.read_link(path)?)))
        }
        None => Some(format!("{shown} does not exist")),
        Some(stat) if stat.kind != FileKind::File => Some(format!("{shown} is no file")),
        Some(stat) if stat.mode & 0o111 == 0 => {
            Some(format!("{shown} is not executable (mode {:04o})", stat.mode))
        }
        Some(_) => None,
    })
}

/// The program that a script's first line names.
pub(crate) fn interpreter(tree: &mut dyn Tree, path: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
    let start = read_start(tree, path, 256)?;
    let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let word = line.strip_prefix(b"#!").map(<[u8]>::trim_ascii_start);
    let word = word.and_then(|rest| rest.split(u8::is_ascii_whitespace).next());
    Ok(word.filter(|word| word.starts_with(b"/")).map(<[u8]>::to_vec))
}

/// Who has the database's id, in an image whose agent runs databases as containers; `None` in others.
fn database_id(tree: &mut dyn Tree, index: &UnitIndex) -> Result<Option<Option<String>>, ReadError> {
    if index.state(tree, "docker.service")? == UnitState::NotFound {
        return Ok(None);
    }
    let users = users(tree)?.into_iter().filter(|user| user.uid == DATABASE_ID);
    let mut taken: Vec<_> = users.map(|user| format!("user {}", user.name)).collect();
    let groups = groups(tree)?.into_iter().filter(|group| group.gid == DATABASE_ID);
    taken.extend(groups.map(|group| format!("group {}", group.name)));
    Ok(Some(joined(&taken)))
}
