//! Who takes what from where: `use` declarations and paths in the code, followed through re-exports to the file that
//! defines the name. What is compiled for tests only does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// Texts of files by their path below `src/`.
pub(super) type Sources = BTreeMap<String, String>;

/// One name that a file takes from another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Import {
    /// Who takes it.
    pub(super) file: String,
    /// What is taken.
    pub(super) name: String,
    /// Where it is defined.
    pub(super) from: String,
}

impl Import {
    /// `takes `X` from src/y.rs`.
    pub(super) fn taking(&self) -> String {
        format!("takes `{}` from src/{}", self.name, self.from)
    }
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{} {}", self.file, self.taking())
    }
}

/// A path from the crate's root: `["disk", "gate", "open"]`.
type Path = Vec<String>;

/// What a module defines, declares and uses.
#[derive(Default)]
struct Module {
    file: String,
    /// Names of items other than modules and imports.
    items: BTreeSet<String>,
    /// Names that `use` brings in, and what they stand for.
    names: BTreeMap<String, Path>,
    /// Modules whose names are all brought in.
    globs: Vec<Path>,
    /// Paths in the code.
    paths: Vec<Path>,
}

/// All modules of a crate, by their paths.
struct Crate(BTreeMap<Path, Module>);

/// The imports of a tree of sources with a `lib.rs`, sorted.
pub(super) fn of(sources: &Sources) -> Vec<Import> {
    let mut modules = Crate(BTreeMap::new());
    read(&mut modules, sources, "lib.rs", Vec::new());
    let mut found = BTreeSet::new();
    for (own, module) in &modules.0 {
        let used = module.names.values().chain(&module.globs);
        let inline = module.paths.iter().filter_map(|path| modules.absolute(own, path));
        for path in used.cloned().chain(inline) {
            // What is taken from a module that `use` brings in is a path in the code.
            if modules.is_only_a_module(&path) {
                continue;
            }
            let Some((from, name)) = modules.defined_in(&path, 0) else { continue };
            if from != module.file {
                found.insert(Import { file: module.file.clone(), name, from });
            }
        }
    }
    found.into_iter().collect()
}

impl Crate {
    /// Whether a path names a module, and nothing else has that name there.
    fn is_only_a_module(&self, path: &[String]) -> bool {
        let parent = path.split_last().and_then(|(name, parent)| Some((name, self.0.get(parent)?)));
        self.0.contains_key(path)
            && parent
                .is_none_or(|(name, parent)| !parent.names.contains_key(name) && !parent.items.contains(name))
    }

    /// The file that defines what a path names, and the item's name there: an enum's for a path to its variant.
    fn defined_in(&self, path: &[String], depth: usize) -> Option<(String, String)> {
        // As many re-exports one behind the other as no sane tree has.
        const LIMIT: usize = 16;
        if depth > LIMIT {
            return None;
        }
        let mut module = Vec::new();
        for (index, name) in path.iter().enumerate() {
            let here = self.0.get(&module)?;
            let rest = &path[index + 1..];
            let below: Path = module.iter().chain([name]).cloned().collect();
            // A function may have the name of its module: where the path ends, the function is meant.
            if let Some(target) = here.names.get(name)
                && (rest.is_empty() || !self.0.contains_key(&below))
                && target != &below
            {
                let target: Path = target.iter().chain(rest).cloned().collect();
                return self.defined_in(&target, depth + 1);
            }
            if self.0.contains_key(&below) {
                module = below;
                continue;
            }
            if here.items.contains(name) {
                return Some((here.file.clone(), name.clone()));
            }
            let through = here.globs.iter().find_map(|glob| {
                let target: Path = glob.iter().chain(&path[index..]).cloned().collect();
                self.0.get(glob)?.items.contains(name).then(|| self.defined_in(&target, depth + 1))?
            });
            return through;
        }
        Some((self.0.get(&module)?.file.clone(), module.last()?.clone()))
    }

    /// The path from the root of what the code of a module writes; `None` for what is of another crate.
    fn absolute(&self, own: &[String], path: &[String]) -> Option<Path> {
        if let Some(path) = from_root(own, path) {
            return Some(path);
        }
        let (first, rest) = path.split_first()?;
        let module = self.0.get(own)?;
        let below: Path = own.iter().chain([first]).cloned().collect();
        if let Some(target) = module.names.get(first) {
            return Some(target.iter().chain(rest).cloned().collect());
        }
        (self.0.contains_key(&below) && !rest.is_empty()).then(|| below.iter().chain(rest).cloned().collect())
    }
}

/// Resolves `crate`, `self` and `super`; `None` where a path starts with none of them.
fn from_root(own: &[String], path: &[String]) -> Option<Path> {
    let (first, mut rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" => Vec::new(),
        "self" => own.to_vec(),
        "super" => own[..own.len().saturating_sub(1)].to_vec(),
        _ => return None,
    };
    while let Some((next, further)) = rest.split_first()
        && next == "super"
    {
        base.pop();
        rest = further;
    }
    base.extend_from_slice(rest);
    Some(base)
}

fn read(modules: &mut Crate, sources: &Sources, file: &str, own: Path) {
    let parsed = syn::parse_file(&sources[file]).unwrap_or_else(|error| panic!("src/{file}: {error}"));
    collect(modules, sources, file, own, &parsed.items);
}

/// Takes in the items of a module; goes on with the modules that it declares.
fn collect(modules: &mut Crate, sources: &Sources, file: &str, own: Path, items: &[Item]) {
    let mut module = Module { file: file.to_owned(), ..Module::default() };
    for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
        match item {
            Item::Mod(declared) => {
                let name = declared.ident.to_string();
                let below: Path = own.iter().chain([&name]).cloned().collect();
                match &declared.content {
                    Some((_, items)) => collect(modules, sources, file, below, items),
                    None => read(modules, sources, &file_of(sources, file, &name), below),
                }
            }
            Item::Use(used) => take_in(&mut module, &own, &used.tree),
            other => {
                module.items.extend(name_of(other));
                let mut paths = Paths(&mut module.paths);
                paths.visit_item(other);
            }
        }
    }
    modules.0.insert(own, module);
}

/// The file of a module that `file` declares.
fn file_of(sources: &Sources, file: &str, name: &str) -> String {
    let directory = match file.rsplit_once('/') {
        None if matches!(file, "lib.rs" | "main.rs") => String::new(),
        Some((directory, "mod.rs")) => format!("{directory}/"),
        _ => format!("{}/", file.trim_end_matches(".rs")),
    };
    let candidates = [format!("{directory}{name}.rs"), format!("{directory}{name}/mod.rs")];
    let found = candidates.iter().find(|candidate| sources.contains_key(*candidate));
    found.unwrap_or_else(|| panic!("src/{file} declares `{name}`, which has no file")).clone()
}

fn take_in(module: &mut Module, own: &[String], tree: &UseTree) {
    for Taken { path, name } in flatten(Vec::new(), tree) {
        let path = from_root(own, &path).unwrap_or_else(|| relative(own, &path));
        match name {
            Some(name) => {
                module.names.insert(name, path);
            }
            None => module.globs.push(path),
        }
    }
}

/// One name of a `use` declaration, or all of a module.
struct Taken {
    /// As it is written.
    path: Path,
    /// What it is called from there on; `None` for `*`.
    name: Option<String>,
}

fn flatten(mut prefix: Path, tree: &UseTree) -> Vec<Taken> {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(prefix, &path.tree)
        }
        UseTree::Group(group) => group.items.iter().flat_map(|tree| flatten(prefix.clone(), tree)).collect(),
        UseTree::Glob(_) => vec![Taken { path: prefix, name: None }],
        UseTree::Name(name) if name.ident == "self" => {
            let name = prefix.last().cloned();
            vec![Taken { path: prefix, name }]
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            prefix.push(name.clone());
            vec![Taken { path: prefix, name: Some(name) }]
        }
        UseTree::Rename(rename) => {
            prefix.push(rename.ident.to_string());
            vec![Taken { path: prefix, name: Some(rename.rename.to_string()) }]
        }
    }
}

/// `use part::Thing` without `self::`: of a module below, or of another crate, whose names lead nowhere.
fn relative(own: &[String], path: &[String]) -> Path {
    own.iter().chain(path).cloned().collect()
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether something is compiled for tests only: `#[cfg(test)]`, `#[cfg(any(test, …))]`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| {
                let condition = list.tokens.to_string();
                condition == "test" || condition.starts_with("any (test") || condition.starts_with("any(test")
            })
    })
}

fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// Collects paths of two names or more.
struct Paths<'a>(&'a mut Vec<Path>);

impl<'a> Visit<'a> for Paths<'_> {
    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.segments.len() > 1 {
            self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, used: &'a syn::ItemUse) {
        // Within a function: what it takes counts like a path.
        self.0.extend(flatten(Vec::new(), &used.tree).into_iter().map(|taken| taken.path));
    }

    fn visit_macro(&mut self, called: &'a syn::Macro) {
        paths_in(&called.tokens, self.0);
        visit::visit_macro(self, called);
    }

    fn visit_item_mod(&mut self, _: &'a syn::ItemMod) {}
}

/// Paths in what a macro is given, which is not parsed: names joined by `::`.
fn paths_in(tokens: &TokenStream, found: &mut Vec<Path>) {
    let mut path: Path = Vec::new();
    let mut joined = 0;
    let mut end = |path: &mut Path| {
        if path.len() > 1 {
            found.push(std::mem::take(path));
        }
        path.clear();
    };
    let mut groups = Vec::new();
    for token in tokens.clone() {
        match token {
            TokenTree::Ident(name) => {
                if joined != 2 {
                    end(&mut path);
                }
                path.push(name.to_string());
                joined = 0;
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => joined += 1,
            other => {
                end(&mut path);
                joined = 0;
                if let TokenTree::Group(group) = other {
                    groups.push(group.stream());
                }
            }
        }
    }
    end(&mut path);
    for group in groups {
        paths_in(&group, found);
    }
}
