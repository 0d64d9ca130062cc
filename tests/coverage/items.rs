//! Everything that must be covered: what clap knows of the command line, and what the JSON Schemas know of TOML files.

use std::collections::BTreeSet;

use clap::CommandFactory;
use serde_json::Value;

/// Subcommands without any below them (`cache gc`), each of their arguments (`cache gc --max-size`, `cat IMAGE`), each value
/// that an argument can have if they are counted (`--color never`), global options, and environment variables.
pub(crate) fn options() -> BTreeSet<String> {
    let command = tib::cli::Args::command();
    let mut items = BTreeSet::new();
    of_command(&command, "", &mut items);
    // These come from clap itself.
    let mut built = command;
    built.build();
    for argument in built.get_arguments() {
        of_argument(argument, "", &mut items);
    }
    items.extend(variables());
    items
}

fn of_command(command: &clap::Command, path: &str, items: &mut BTreeSet<String>) {
    for argument in command.get_arguments() {
        of_argument(argument, path, items);
    }
    for below in command.get_subcommands() {
        let path = format!("{path}{} ", below.get_name());
        if !below.has_subcommands() {
            items.insert(path.trim_end().to_owned());
        }
        of_command(below, &path, items);
    }
}

fn of_argument(argument: &clap::Arg, path: &str, items: &mut BTreeSet<String>) {
    let name = match argument.get_long() {
        Some(long) => format!("{path}--{long}"),
        None => format!("{path}{}", argument.get_id().as_str().to_uppercase()),
    };
    if argument.get_action().takes_values() {
        let values = argument.get_possible_values().into_iter();
        items.extend(values.map(|value| format!("{name} {}", value.get_name())));
    }
    let aliases = argument.get_visible_aliases().into_iter().flatten();
    items.extend(aliases.map(|alias| format!("{path}--{alias}")));
    items.extend(argument.get_env().map(|variable| variable.to_string_lossy().into_owned()));
    items.insert(name);
}

/// Variables that the program reads: wherever one is named in its source as a whole string.
fn variables() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut directories = vec![std::path::PathBuf::from("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs_err::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let Ok(text) = fs_err::read_to_string(&path) else { continue };
            let calls =
                ["var(\"", "var_os(\"", "env = \""].into_iter().flat_map(|call| text.split(call).skip(1));
            let names = calls.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned());
            found.extend(names.filter(|name| name.starts_with("TIB_") && !name.starts_with("TIB_TEST_")));
        }
    }
    found
}

/// Keys of a JSON Schema: `user.uid`, `check package.version`; and values that are counted: `service.state = masked`.
pub(crate) fn keys(schema: &str) -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(&fs_err::read_to_string(schema).unwrap()).unwrap();
    let mut walk = Walk { schema: &schema, items: BTreeSet::new(), conditions: false };
    walk.node(&schema, "");
    walk.items
}

struct Walk<'a> {
    schema: &'a Value,
    items: BTreeSet<String>,
    /// Whether the keys of a condition are listed: they are the same everywhere.
    conditions: bool,
}

impl Walk<'_> {
    fn node(&mut self, node: &Value, path: &str) {
        if let Some(reference) = node["$ref"].as_str() {
            let name = reference.strip_prefix("#/$defs/").unwrap();
            if name == "When" && std::mem::replace(&mut self.conditions, true) {
                return;
            }
            let path = if name == "When" { "when" } else { path };
            let schema = self.schema;
            return self.node(&schema["$defs"][name], path);
        }
        let values = node["enum"].as_array().into_iter().flatten().chain(node.get("const"));
        self.items.extend(values.filter_map(Value::as_str).map(|value| format!("{path} = {value}")));
        for below in ["items", "additionalProperties"].into_iter().filter_map(|key| node.get(key)) {
            self.node(below, path);
        }
        for alternative in
            ["anyOf", "oneOf", "allOf"].into_iter().flat_map(|key| node[key].as_array()).flatten()
        {
            self.node(alternative, path);
        }
        let Some(properties) = node["properties"].as_object() else { return };
        // Kinds of checks are told from each other by one key.
        let kind = properties.get("check").and_then(|check| check["const"].as_str());
        let path = match kind {
            Some(kind) => format!("check {kind}"),
            None => path.to_owned(),
        };
        for (key, value) in properties {
            let below = match (kind.is_some() && key == "check", path.as_str()) {
                (true, _) => path.clone(),
                (false, "") => key.clone(),
                (false, path) => format!("{path}.{key}"),
            };
            self.items.insert(below.clone());
            if kind.is_none() || key != "check" {
                self.node(value, &below);
            }
        }
    }
}
