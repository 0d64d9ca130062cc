//! The agent's Python environment: would its imports work? Judged without running anything.

use std::collections::{BTreeMap, BTreeSet};

use super::part::{Found, ReportPart, joined};
use super::unit::{Agent, in_path, interpreter, not_executable};
use crate::disk::{FileKind, Tree};
use crate::os::ReadError;
use crate::os::access::{ENTER, Identity, READ};
use crate::os::files::{base_name, is_directory, join, names, optional, read_optional, read_start, show};
use crate::os::python::environment::{Settings, system_directories};
use crate::os::python::metadata::{Distribution, distributions};
use crate::os::python::own;
use crate::os::python::requirement::{Environment, Requirement};

/// The distribution with the agent's code.
const AGENT: &str = "trove";

/// Where Trove's own images, and tib's, have the agent.
const USUAL: &[u8] = b"/opt/guest-agent-venv";

/// Checks the virtual environment the agent's program is in. Agents from packages have none.
pub(crate) fn check(tree: &mut dyn Tree, agent: &Agent) -> ReportPart {
    let mut part = ReportPart::default();
    let (interpreter, readable, requirements) = match find(tree, agent) {
        Ok(None) => return part,
        Ok(Some(root)) => (
            check_interpreter(tree, &root, agent),
            check_readable(tree, &root, agent),
            check_requirements(tree, &root, agent),
        ),
        Err(error) => {
            part.check(
                "the agent's Python environment can be read",
                Err(error),
                "tib cannot tell whether the agent's imports work",
                "look at pyvenv.cfg of the agent's environment",
            );
            return part;
        }
    };
    part.check(
        "the agent's Python exists",
        interpreter,
        "the environment links to the distribution's Python; without that very version the agent cannot start",
        "install the Python the environment was made with, or make the environment again",
    );
    part.check(
        "the agent's user may read its code",
        readable,
        "the agent would end at an import, and the instance stay in BUILD",
        "give the environment to the agent's user, or install it with umask 022",
    );
    part.check(
        "everything the agent's code requires is installed",
        requirements,
        "the agent would end at an import, and the instance stay in BUILD",
        "install the agent again with the constraints of its release",
    );
    part
}

/// The environment of the agent's program, by the program's place or its first line.
pub(crate) fn find(tree: &mut dyn Tree, agent: &Agent) -> Result<Option<Vec<u8>>, ReadError> {
    let mut candidates = Vec::new();
    if let Some(program) = agent.program(tree)? {
        // A Python of the environment is a link out of it.
        candidates.extend(grandparent(&program));
    }
    if let Some(program) = agent.program(tree)?
        && let Some(program) = optional(tree.canonicalize(&program))?
    {
        candidates.extend(grandparent(&program));
        candidates.extend(interpreter(tree, &program)?.as_deref().and_then(grandparent));
    }
    candidates.push(USUAL.to_vec());
    for root in candidates {
        if tree.exists(&join(&root, b"pyvenv.cfg"))? {
            return Ok(Some(root));
        }
    }
    Ok(None)
}

fn grandparent(path: &[u8]) -> Option<Vec<u8>> {
    let mut parts = path.rsplitn(3, |&byte| byte == b'/');
    parts.nth(2).filter(|root| !root.is_empty()).map(<[u8]>::to_vec)
}

fn check_interpreter(tree: &mut dyn Tree, root: &[u8], agent: &Agent) -> Found {
    let mut last = None;
    for name in ["bin/python3", "bin/python"] {
        let path = join(root, name.as_bytes());
        last = not_executable(tree, &path, None)?;
        if last.is_none() {
            return match other_version(tree, root, &path)? {
                None => other_python(tree, root, agent),
                found => Ok(found),
            };
        }
    }
    Ok(last)
}

/// Whether the unit sets what Python looks for modules by, so that the environment does not decide alone.
fn has_path_of_its_own(agent: &Agent) -> bool {
    ["Environment", "EnvironmentFile", "PassEnvironment"].into_iter().any(|key| {
        let values = agent.unit.all("Service", key);
        values
            .iter()
            .any(|value| key == "EnvironmentFile" || value.contains("PYTHONPATH") || value.contains("PATH="))
    })
}

/// A program of the environment's that is run by a Python from outside: that one does not look into the environment.
fn other_python(tree: &mut dyn Tree, root: &[u8], agent: &Agent) -> Found {
    let is_python = |path: &[u8]| base_name(path).starts_with(b"python");
    let command = agent.command();
    let Some(program) = agent.program(tree)?.filter(|_| !has_path_of_its_own(agent)) else { return Ok(None) };
    let (script, python) = if is_python(&program) {
        let script = script(command.get(1..).unwrap_or_default()).map(str::as_bytes);
        let Some(script) = script.filter(|script| script.starts_with(b"/")) else { return Ok(None) };
        (script.to_vec(), program)
    } else {
        let start = match optional(tree.stat(&program))? {
            Some(stat) if stat.kind == FileKind::File => read_start(tree, &program, 256)?,
            _ => return Ok(None),
        };
        let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let words = line.strip_prefix(b"#!").unwrap_or_default().split(u8::is_ascii_whitespace);
        let mut words = words.filter(|word| !word.is_empty());
        let python = match words.next() {
            Some(word) if base_name(word) == b"env" => match words.next() {
                Some(name) if is_python(name) => in_path(tree, &show(name))?,
                _ => None,
            },
            Some(word) if is_python(word) => Some(word.to_vec()),
            _ => None,
        };
        let Some(python) = python else { return Ok(None) };
        (program, python)
    };
    // Links into the environment's `bin` are the environment's; what they lead to in the end is not.
    let within = |path: &[u8]| path.strip_prefix(root).is_some_and(|rest| rest.starts_with(b"/"));
    let real = optional(tree.canonicalize(&script))?.unwrap_or_default();
    if within(&python) || !(within(&script) || within(&real)) || optional(tree.stat(&python))?.is_none() {
        return Ok(None);
    }
    let directory = &python[..python.len() - base_name(&python).len()];
    let directory = optional(tree.canonicalize(directory))?.unwrap_or_default();
    let is_its_own = optional(tree.canonicalize(root))?.is_some_and(|root| directory == join(&root, b"bin"));
    Ok((!is_its_own).then(|| {
        format!("{} is run by {}, which does not look into {}", show(&real), show(&python), show(root))
    }))
}

/// The script among the words after `python`: none where a module (`-m`), a command (`-c`) or standard input (`-`) is run.
fn script(words: &[impl AsRef<str>]) -> Option<&str> {
    let mut words = words.iter().map(AsRef::as_ref);
    loop {
        let word = words.next()?;
        match word {
            "-" => return None,
            "--" => return words.next(),
            "--check-hash-based-pycs" => _ = words.next(),
            _ if word.starts_with("--") => {}
            _ => {
                let Some(letters) = word.strip_prefix('-') else { return Some(word) };
                // Letters may stand together; what `-W` and `-X` take is the rest of the word, or the next.
                match letters.find(['c', 'm', 'W', 'X']).map(|at| &letters[at..]) {
                    Some("W" | "X") => _ = words.next(),
                    Some(rest) if rest.starts_with(['c', 'm']) => return None,
                    _ => {}
                }
            }
        }
    }
}

/// Python looks for an environment's modules in a directory that bears its own version, whatever `pyvenv.cfg` says.
fn other_version(tree: &mut dyn Tree, root: &[u8], program: &[u8]) -> Found {
    let target = tree.canonicalize(program)?;
    let name = show(base_name(&target));
    let Some(version) = name.strip_prefix("python").filter(|version| version.contains('.')) else {
        return Ok(None);
    };
    let short = Settings::read(tree, root)?.short();
    let is_number = version.chars().all(|c| c.is_ascii_digit() || c == '.');
    Ok((is_number && version != short)
        .then(|| format!("{} leads to Python {version}, and the environment is for {short}", show(program))))
}

/// The modules of the environment's own, one level deep: what a strict umask did to one it did to all.
fn check_readable(tree: &mut dyn Tree, root: &[u8], agent: &Agent) -> Found {
    let Some(user) = Identity::find(tree, agent.user())?.filter(|user| user.uid != 0) else {
        return Ok(None);
    };
    let short = Settings::read(tree, root)?.short();
    // The standard library belongs to the Python that the environment's links lead to.
    let python = optional(tree.canonicalize(&join(root, b"bin/python3")))?;
    if let Some(prefix) = python.as_deref().and_then(grandparent) {
        for name in ["lib", "lib64"] {
            let library = join(&prefix, format!("{name}/python{short}").as_bytes());
            if is_directory(tree, &library)?
                && let Some(obstacle) = user.obstacle(tree, &library, READ | ENTER)?
            {
                return Ok(Some(obstacle));
            }
        }
    }
    let site = join(root, format!("lib/python{short}/site-packages").as_bytes());
    if !is_directory(tree, &site)? {
        return Ok(None);
    }
    if let Some(obstacle) = user.obstacle(tree, &site, READ | ENTER)? {
        return Ok(Some(obstacle));
    }
    for name in names(tree, &site)? {
        let path = join(&site, &name);
        let Some(stat) = optional(tree.stat(&path))? else { continue };
        let wanted = if stat.kind == FileKind::Directory { READ | ENTER } else { READ };
        if !user.may(&stat, wanted) {
            return user.obstacle(tree, &path, wanted);
        }
    }
    Ok(None)
}

fn check_requirements(tree: &mut dyn Tree, root: &[u8], agent: &Agent) -> Found {
    let settings = Settings::read(tree, root)?;
    let short = settings.short();
    let site = join(root, format!("lib/python{short}/site-packages").as_bytes());
    if !is_directory(tree, &site)? {
        return Ok(Some(format!("{} does not exist: the environment is for another Python", show(&site))));
    }
    let environment = environment(tree, root, &settings, &short)?;
    let mut installed = distributions(tree, &site)?;
    let list = join(root, own::FILE.as_bytes());
    if let Some(text) = read_optional(tree, &list)? {
        let applied = own::apply(&String::from_utf8_lossy(&text), &mut installed);
        applied.map_err(|reason| ReadError::malformed(&list, reason))?;
    }
    let mut provided = Vec::new();
    if settings.system {
        for directory in system_directories(tree, &short)? {
            provided.extend(distributions(tree, &directory)?);
        }
    }
    let mut wrong = unsatisfied(&installed, &provided, &environment);
    let is_there = installed.iter().chain(&provided).any(|one| one.name == AGENT);
    if !is_there && !has_path_of_its_own(agent) && !leads_elsewhere(tree, &site)? {
        wrong.insert(0, format!("{} has no {AGENT}", show(&site)));
    }
    Ok(joined(&wrong))
}

/// Whether the agent's code may be there without being listed: as a directory, or by a file that names other directories.
fn leads_elsewhere(tree: &mut dyn Tree, site: &[u8]) -> Result<bool, ReadError> {
    let names = names(tree, site)?;
    Ok(names.iter().any(|name| {
        let is_hook = matches!(name.as_slice(), b"distutils-precedence.pth" | b"_virtualenv.pth");
        name == AGENT.as_bytes() || name.ends_with(b".egg-link") || name.ends_with(b".pth") && !is_hook
    }))
}

/// What an environment marker may ask for, under the names of today and those from before PEP 508. The kernel is the image's own;
/// what it says of its build no image tells, and a marker that asks for that makes the check fail.
fn environment(
    tree: &mut dyn Tree,
    root: &[u8],
    settings: &Settings,
    short: &str,
) -> Result<Environment, ReadError> {
    let full = settings.full();
    let machine = machine(tree, &join(root, b"bin/python3"))?;
    let kernel = kernel(tree)?;
    Ok([
        ("os.name", "posix"),
        ("sys.platform", "linux"),
        ("platform.machine", machine),
        ("platform.python_implementation", "CPython"),
        ("python_implementation", "CPython"),
        ("platform_release", &kernel),
        ("implementation_name", "cpython"),
        ("implementation_version", &full),
        ("os_name", "posix"),
        ("platform_machine", machine),
        ("platform_python_implementation", "CPython"),
        ("platform_system", "Linux"),
        ("python_full_version", &full),
        ("python_version", short),
        ("sys_platform", "linux"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec())
}

/// The release of the image's newest kernel, by its modules.
fn kernel(tree: &mut dyn Tree) -> Result<String, ReadError> {
    Ok(names(tree, b"/lib/modules")?.last().map(|name| show(name)).unwrap_or_default())
}

/// The processor a program is for, from its ELF header.
pub(super) fn machine(tree: &mut dyn Tree, program: &[u8]) -> Result<&'static str, ReadError> {
    let header = match optional(tree.stat(program))? {
        Some(_) => read_start(tree, program, 20)?,
        None => Vec::new(),
    };
    Ok(match header.as_slice() {
        [0x7f, b'E', b'L', b'F', .., 0x3e, 0] => "x86_64",
        [0x7f, b'E', b'L', b'F', .., 0xb7, 0] => "aarch64",
        _ => "",
    })
}

/// Requirements that nothing installed fulfils, one sentence each. Extras are followed: what `a[b]` asks for
/// counts when someone requires `a[b]`.
pub(crate) fn unsatisfied(
    installed: &[Distribution],
    provided: &[Distribution],
    environment: &Environment,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut known: BTreeMap<&str, &Distribution> = BTreeMap::new();
    for one in installed {
        if let Some(other) = known.insert(one.name.as_str(), one)
            && other.written != one.written
        {
            wrong.push(format!("{} is there twice: {} and {}", one.name, other.written, one.written));
        }
    }
    for one in provided {
        known.entry(one.name.as_str()).or_insert(one);
    }
    let mut pending: Vec<_> = installed.iter().map(|one| (one, Vec::new())).collect();
    let mut seen = BTreeSet::new();
    while let Some((one, extras)) = pending.pop() {
        if !seen.insert((one.name.as_str(), extras.clone())) {
            continue;
        }
        for requirement in &one.requires {
            match requirement.applies(environment, &extras) {
                Some(true) => {}
                Some(false) => continue,
                None => {
                    wrong.push(format!(
                        "{} {} needs {} under a condition tib cannot judge",
                        one.name, one.written, requirement.name
                    ));
                    continue;
                }
            }
            match known.get(requirement.name.as_str()) {
                None => wrong.push(format!(
                    "{} {} needs {}, which is not installed",
                    one.name,
                    one.written,
                    wanted(requirement)
                )),
                Some(found) => {
                    if found.version.as_ref().is_some_and(|version| !requirement.versions.contains(version)) {
                        wrong.push(format!(
                            "{} {} needs {}, but {} is installed",
                            one.name,
                            one.written,
                            wanted(requirement),
                            found.written
                        ));
                    }
                    if !requirement.extras.is_empty() {
                        pending.push((found, requirement.extras.clone()));
                    }
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

fn wanted(requirement: &Requirement) -> String {
    format!("{}{}", requirement.name, requirement.versions)
}
