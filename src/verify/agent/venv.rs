//! Whether a unit runs something in the virtual environment that a recipe puts its agent into.

use super::unit::{Agent, interpreter};
use crate::disk::{DiskError, FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::{absolute, base_name, join, optional, read_start};

/// As many links as the kernel follows.
const LINK_LIMIT: usize = 40;

/// Bytes of a script in which the environment is looked for. Scripts that only start an agent are short.
const SCRIPT_START: usize = 64 << 10;

/// A virtual environment.
#[derive(Debug)]
pub(crate) struct Venv {
    /// What paths in it begin with: as the recipe has it, and without links.
    beginnings: Vec<Vec<u8>>,
}

impl Venv {
    pub(crate) fn new(tree: &mut dyn Tree, path: &str) -> Result<Self, DiskError> {
        let path = absolute(b"/", path.as_bytes());
        let mut beginnings = vec![path.clone()];
        beginnings.extend(optional(tree.canonicalize(&path))?);
        beginnings.iter_mut().for_each(|beginning| beginning.push(b'/'));
        beginnings.dedup();
        Ok(Self { beginnings })
    }

    /// Whether the program of a unit, its interpreter or an argument is in it, by way of links or a short script as well.
    pub(crate) fn runs(&self, tree: &mut dyn Tree, agent: &Agent) -> Result<bool, ReadError> {
        if agent.command().iter().any(|word| self.has(word.as_bytes())) {
            return Ok(true);
        }
        let Some(program) = agent.program(tree)? else { return Ok(false) };
        if self.leads_into(tree, &program)? {
            return Ok(true);
        }
        if optional(tree.stat(&program))?.is_none_or(|stat| stat.kind != FileKind::File) {
            return Ok(false);
        }
        if let Some(interpreter) = interpreter(tree, &program)?
            && self.leads_into(tree, &interpreter)?
        {
            return Ok(true);
        }
        let start = read_start(tree, &program, SCRIPT_START)?;
        let named =
            |beginning: &Vec<u8>| start.windows(beginning.len()).any(|part| part == beginning.as_slice());
        Ok(start.starts_with(b"#!") && self.beginnings.iter().any(named))
    }

    fn has(&self, path: &[u8]) -> bool {
        self.beginnings.iter().any(|beginning| path.starts_with(beginning))
    }

    /// Whether a path is in it, or one of the links that it stands for; what they lead to in the end may lie elsewhere, as an
    /// environment's Python does.
    fn leads_into(&self, tree: &mut dyn Tree, path: &[u8]) -> Result<bool, DiskError> {
        let mut path = path.to_vec();
        for _ in 0..LINK_LIMIT {
            if self.has(&path) {
                return Ok(true);
            }
            // The last part is left as it is, for it may be a link of the environment's own.
            let name = base_name(&path);
            let Some(directory) = optional(tree.canonicalize(&path[..path.len() - name.len()]))? else {
                break;
            };
            let at = absolute(&directory, name);
            if self.has(&at) {
                return Ok(true);
            }
            match optional(tree.lstat(&at))? {
                Some(stat) if stat.kind == FileKind::Symlink => {
                    let target = tree.read_link(&at)?;
                    path = if target.starts_with(b"/") { target } else { join(&directory, &target) };
                }
                _ => break,
            }
        }
        Ok(false)
    }
}
