//! From the items of a recipe to steps, kind by kind.

use std::collections::BTreeMap;

use super::error::RecipeError;
use super::lowering::{At, Lowering, Package, beside};
use super::model::{File, Repository, User};
use super::step::package_name;
use super::{
    Content, FileStep, GroupStep, RepositoryStep, ScriptStep, ServiceStep, StageName, Step, UserStep,
};
use crate::check::Check;
use crate::distro::Family;
use crate::shown::escape;
use crate::valid;

/// Lowers everything but the agent.
pub(super) fn lower(plan: &mut Lowering<'_>) -> Result<(), RecipeError> {
    repositories(plan)?;
    accounts(plan)?;
    packages(plan)?;
    super::artifact_items::lower(plan)?;
    files(plan)?;
    settings(plan)?;
    super::selinux_items::lower(plan)?;
    super::apparmor_items::lower(plan)?;
    services(plan)?;
    remarks(plan)
}

fn repositories(plan: &mut Lowering<'_>) -> Result<(), RecipeError> {
    for (at, item) in plan.each(|file| &file.repository, |item| item.when.as_ref())? {
        let fault = |message: String| at.error(message);
        let line = |key: &str, text: &str| {
            plan.text(&at, key, text).and_then(|text| valid::line(text, key).map_err(fault))
        };
        let name = plan.text(&at, "repository.name", &item.name)?;
        let name = valid::word(name, "repository name").map_err(fault)?;
        let url = valid::url(plan.text(&at, "repository.url", &item.url)?).map_err(fault)?;
        let suite = item.suite.as_deref().map(|suite| line("suite", suite)).transpose()?;
        let components =
            item.components.iter().map(|text| line("component", text)).collect::<Result<_, _>>()?;
        let key = match (&item.key, &item.key_file, &item.key_url) {
            (Some(key), None, None) => {
                valid::armoured_key(key).map_err(fault)?;
                Content::Text(key.clone())
            }
            (None, Some(file), None) => beside(&at, file)?,
            (None, None, Some(url)) => {
                let url = plan.text(&at, "repository.key_url", url)?;
                Content::Url(valid::url(url).map_err(fault)?)
            }
            (None, None, None) => {
                return Err(at.error(format!("repository {name} has no `key`, `key_file` or `key_url`")));
            }
            _ => {
                return Err(
                    at.error(format!("repository {name} has several of `key`, `key_file` and `key_url`"))
                );
            }
        };
        let mut fingerprints: Vec<String> = Vec::new();
        for text in plan.texts(&at, "repository.fingerprint", item.fingerprint.as_slice())? {
            let fingerprint = valid::fingerprint(&text).map_err(fault)?;
            if !fingerprints.contains(&fingerprint) {
                fingerprints.push(fingerprint);
            }
        }
        let modules = modules(plan, &at, item)?;
        if (!modules.is_empty() || item.module_hotfixes) && plan.now.os.family != Family::Rhel {
            let os = plan.now.os.label();
            return Err(at.error(format!(
                "repository {name}: `module` and `module_hotfixes` are for dnf, and {os} has no modules: add `when = {{ family = \"rhel\" }}`"
            )));
        }
        let step = RepositoryStep {
            name: name.clone(),
            url,
            suite,
            components,
            key,
            fingerprints,
            bundle: item.bundle,
            priority: item.priority,
            module_hotfixes: item.module_hotfixes,
            modules,
            in_image: None,
        };
        plan.put(&at, format!("repository {name}"), Step::Repository(step))?;
    }
    Ok(())
}

/// What becomes of modules of the distribution: the stream that is enabled, or none.
fn modules(
    plan: &Lowering<'_>,
    at: &At<'_>,
    item: &Repository,
) -> Result<BTreeMap<String, Option<String>>, RecipeError> {
    let Some(asked) = &item.module else { return Ok(BTreeMap::new()) };
    let mut modules = BTreeMap::new();
    let mut put = |name: &str, stream: Option<&str>| {
        for word in [Some(name), stream].into_iter().flatten() {
            valid::word(word.to_owned(), "module").map_err(|fault| at.error(fault))?;
        }
        match modules.insert(name.to_owned(), stream.map(str::to_owned)) {
            None => Ok(()),
            Some(_) => Err(at.error(format!("module {name} is named twice"))),
        }
    };
    for text in plan.texts(at, "repository.module.enable", &asked.enable)? {
        let (name, stream) = text.split_once(':').ok_or_else(|| {
            at.error(format!("module `{}` has no stream: write `NAME:STREAM`", escape(&text)))
        })?;
        put(name, Some(stream))?;
    }
    for name in plan.texts(at, "repository.module.disable", &asked.disable)? {
        put(&name, None)?;
    }
    Ok(modules)
}

fn accounts(plan: &mut Lowering<'_>) -> Result<(), RecipeError> {
    for (at, item) in plan.each(|file| &file.group, |item| item.when.as_ref())? {
        let name = account(plan, &at, "group.name", &item.name)?;
        let step = GroupStep { name: name.clone(), gid: item.gid, system: item.system };
        plan.put(&at, format!("group {name}"), Step::Group(step))?;
    }
    // Entries for one user add up, and the user is made in the latest of their stages: by then the groups
    // that packages bring exist.
    let mut users: BTreeMap<String, (StageName, UserStep)> = BTreeMap::new();
    for (at, item) in plan.each(|file| &file.user, |item| item.when.as_ref())? {
        let name = account(plan, &at, "user.name", &item.name)?;
        let (stage, user) = users.entry(name.clone()).or_insert_with(|| (at.stage(), plain_user(name)));
        *stage = at.stage().max(*stage);
        merge_user(plan, &at, user, item)?;
    }
    for (stage, user) in users.into_values() {
        plan.push(stage, Step::User(user));
    }
    Ok(())
}

fn plain_user(name: String) -> UserStep {
    UserStep {
        home: format!("/home/{name}"),
        name,
        uid: None,
        group: None,
        groups: Vec::new(),
        shell: "/bin/bash".to_owned(),
        system: false,
        sudo: false,
        home_given: false,
        shell_given: false,
        password_hash: None,
    }
}

fn merge_user(plan: &Lowering<'_>, at: &At<'_>, user: &mut UserStep, item: &User) -> Result<(), RecipeError> {
    user.uid = item.uid.or(user.uid);
    user.system |= item.system;
    user.sudo |= item.sudo;
    if let Some(group) = &item.group {
        user.group = Some(account(plan, at, "user.group", group)?);
    }
    for group in &item.groups {
        let group = account(plan, at, "user.groups", group)?;
        if !user.groups.contains(&group) {
            user.groups.push(group);
        }
    }
    user.groups.sort();
    if let Some(home) = &item.home {
        user.home = path(plan, at, "user.home", home)?;
        user.home_given = true;
    }
    if let Some(shell) = &item.shell {
        user.shell = path(plan, at, "user.shell", shell)?;
        user.shell_given = true;
    }
    if let Some(hash) = &item.password_hash {
        let hash = plan.text(at, "user.password_hash", hash)?;
        user.password_hash = Some(valid::password_hash(hash).map_err(|fault| at.error(fault))?);
    }
    Ok(())
}

fn packages(plan: &mut Lowering<'_>) -> Result<(), RecipeError> {
    for (at, item) in plan.each(|file| &file.packages, |item| item.when.as_ref())? {
        for (names, install, key) in
            [(&item.install, true, "packages.install"), (&item.remove, false, "packages.remove")]
        {
            for text in plan.texts(&at, key, names)? {
                let text = valid::package(text, install).map_err(|fault| at.error(fault))?;
                let name = package_name(&text).to_owned();
                let recommends = install && item.recommends;
                let package = Package { stage: at.stage(), text, install, recommends, place: at.place() };
                plan.packages.insert(name, package);
            }
        }
        for line in plan.texts(&at, "packages.debconf", &item.debconf)? {
            let line = valid::line(line, "debconf answer").map_err(|fault| at.error(fault))?;
            plan.debconf.entry(at.stage()).or_default().push((line, at.place()));
        }
        for (name, value) in &item.environment {
            let name = valid::variable(name.clone()).map_err(|fault| at.error(fault))?;
            let value = plan.text(&at, "packages.environment", value)?;
            let value = valid::line(value, "variable's value").map_err(|fault| at.error(fault))?;
            plan.environment.entry(at.stage()).or_default().insert(name, value);
        }
    }
    Ok(())
}

fn files(plan: &mut Lowering<'_>) -> Result<(), RecipeError> {
    for (at, item) in plan.each(|file| &file.directory, |item| item.when.as_ref())? {
        let path = path(plan, &at, "directory.path", &item.path)?;
        let mode = mode(plan, &at, &path, &item.mode)?;
        let owner = account(plan, &at, "directory.owner", &item.owner)?;
        let group = account(plan, &at, "directory.group", &item.group)?;
        plan.put(&at, path.clone(), Step::Directory { path, mode, owner, group })?;
    }
    for (at, item) in plan.each(|file| &file.file, |item| item.when.as_ref())? {
        let path = path(plan, &at, "file.path", &item.path)?;
        let step = FileStep {
            content: content(plan, &at, item, &path)?,
            mode: mode(plan, &at, &path, &item.mode)?,
            owner: account(plan, &at, "file.owner", &item.owner)?,
            group: account(plan, &at, "file.group", &item.group)?,
            path: path.clone(),
        };
        plan.put(&at, path, Step::File(step))?;
    }
    for (at, item) in plan.each(|file| &file.link, |item| item.when.as_ref())? {
        let path = path(plan, &at, "link.path", &item.path)?;
        let target = plan.text(&at, "link.target", &item.target)?;
        let target = valid::line(target, "target").map_err(|fault| at.error(fault))?;
        plan.put(&at, path.clone(), Step::Link { path, target })?;
    }
    Ok(())
}

fn content(plan: &Lowering<'_>, at: &At<'_>, item: &File, path: &str) -> Result<Content, RecipeError> {
    match (&item.text, &item.source) {
        (Some(text), None) => plan.text(at, "file.text", text).map(Content::Text),
        (None, Some(source)) => beside(at, &plan.text(at, "file.source", source)?),
        (None, None) => Err(at.error(format!("file {path} has no `text` and no `source`"))),
        (Some(_), Some(_)) => Err(at.error(format!("file {path} has both `text` and `source`"))),
    }
}

/// Kernel settings and cloud-init's datasources, each as one file for each recipe that has any.
fn settings(plan: &mut Lowering<'_>) -> Result<(), RecipeError> {
    let mut values: BTreeMap<String, (At<'_>, String)> = BTreeMap::new();
    for (at, item) in plan.each(|file| &file.sysctl, |item| item.when.as_ref())? {
        let key = plan.text(&at, "sysctl.key", &item.key)?;
        let key = valid::word(key, valid::SYSCTL).map_err(|fault| at.error(fault))?;
        let value = plan.text(&at, "sysctl.value", &item.value)?;
        let value = valid::line(value, "value").map_err(|fault| at.error(fault))?;
        values.insert(key, (at, value));
    }
    let mut texts: BTreeMap<usize, (At<'_>, String)> = BTreeMap::new();
    for (key, (at, value)) in values {
        let (_, text) = texts.entry(at.index).or_insert_with(|| (at, String::new()));
        text.push_str(&format!("{key} = {value}\n"));
    }
    for (at, text) in texts.into_values() {
        let path = format!("/etc/sysctl.d/60-tib-{}.conf", at.source.name());
        put_text(plan, &at, path, text)?;
    }
    let tables = plan.each(|file| file.cloud_init.as_slice(), |item| item.when.as_ref())?;
    if let Some((at, item)) = tables.into_iter().next_back() {
        let names = plan.texts(&at, "cloud_init.datasources", &item.datasources)?;
        if let Some(bad) = names.iter().find(|name| !name.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            return Err(at.error(format!("`{}` is not a datasource of cloud-init", escape(bad))));
        }
        // On one line: ds-identify, a shell script, reads no other form.
        let text = format!("datasource_list: [{}, None]\n", names.join(", "));
        put_text(plan, &at, "/etc/cloud/cloud.cfg.d/95-tib-datasources.cfg".to_owned(), text)?;
        plan.checks.push(Check::Datasources { names });
    }
    Ok(())
}

fn put_text(plan: &mut Lowering<'_>, at: &At<'_>, path: String, text: String) -> Result<(), RecipeError> {
    let root = || "root".to_owned();
    let content = Content::Text(text);
    let step = FileStep { path: path.clone(), content, mode: 0o644, owner: root(), group: root() };
    plan.put(at, path, Step::File(step))
}

fn services(plan: &mut Lowering<'_>) -> Result<(), RecipeError> {
    for (at, item) in plan.each(|file| &file.script, |item| item.when.as_ref())? {
        let purpose = plan.text(&at, "script.purpose", &item.purpose)?;
        let purpose = valid::line(purpose, "purpose").map_err(|fault| at.error(fault))?;
        let text = plan.text(&at, "script.text", &item.text)?;
        let step = ScriptStep { purpose: purpose.clone(), text, network: item.network };
        plan.put(&at, format!("script `{purpose}`"), Step::Script(step))?;
    }
    for (at, item) in plan.each(|file| &file.service, |item| item.when.as_ref())? {
        let unit = plan.text(&at, "service.unit", &item.unit)?;
        let unit = valid::word(unit, "unit").map_err(|fault| at.error(fault))?;
        let step = ServiceStep { unit: unit.clone(), state: item.state };
        plan.put(&at, format!("unit {unit}"), Step::Service(step))?;
    }
    Ok(())
}

fn remarks(plan: &mut Lowering<'_>) -> Result<(), RecipeError> {
    for (at, item) in plan.each(|file| &file.check, |item| item.when.as_ref())? {
        let mut table = toml::Value::Table(item.rest.clone());
        render_all(plan, &at, &mut table)?;
        let check: Check = table.try_into().map_err(|error: toml::de::Error| at.error(error.message()))?;
        check.validate().map_err(|fault| at.error(fault))?;
        plan.checks.push(check);
    }
    for (at, item) in plan.each(|file| &file.note, |item| item.when.as_ref())? {
        let text = plan.text(&at, "note.text", &item.text)?;
        plan.notes.push(valid::line(text, "note").map_err(|fault| at.error(fault))?);
    }
    Ok(())
}

fn render_all(plan: &Lowering<'_>, at: &At<'_>, value: &mut toml::Value) -> Result<(), RecipeError> {
    match value {
        toml::Value::String(text) => *text = plan.text(at, "check", text)?,
        toml::Value::Array(values) => {
            for value in values {
                render_all(plan, at, value)?;
            }
        }
        toml::Value::Table(table) => {
            for (_, value) in table.iter_mut() {
                render_all(plan, at, value)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn account(plan: &Lowering<'_>, at: &At<'_>, key: &str, text: &str) -> Result<String, RecipeError> {
    valid::account(plan.text(at, key, text)?).map_err(|fault| at.error(format!("`{key}`: {fault}")))
}

fn path(plan: &Lowering<'_>, at: &At<'_>, key: &str, text: &str) -> Result<String, RecipeError> {
    valid::path(plan.text(at, key, text)?).map_err(|fault| at.error(fault))
}

fn mode(plan: &Lowering<'_>, at: &At<'_>, path: &str, text: &str) -> Result<u32, RecipeError> {
    let text = plan.text(at, "mode", text)?;
    valid::mode(&text).map_err(|fault| at.error(format!("{path}: {fault}")))
}

#[cfg(test)]
mod tests {
    use super::super::{Request, Step, library::Recipe};
    use crate::distro::well_known;

    fn steps(text: &str) -> Vec<String> {
        let os = well_known("debian-12").unwrap();
        let recipe = Recipe::from_text("t", &format!("name = 't'\nsummary = 's'\n{text}")).unwrap();
        let plan = recipe.plan(&Request::new(&os)).unwrap();
        plan.stages.iter().flat_map(|stage| &stage.steps).map(Step::summary).collect()
    }

    #[test]
    fn kinds_run_in_a_fixed_order() {
        let text = r#"
            service = [{ unit = "x.service", state = "enabled" }]
            script = [{ purpose = "try", text = "true" }]
            link = [{ path = "/l", target = "x" }]
            file = [{ path = "/f", text = "" }]
            directory = [{ path = "/d" }]
            packages = [{ install = ["b"] }, { install = ["a"], remove = ["c"] }]
            user = [{ name = "u" }]
            group = [{ name = "g" }]
        "#;
        let wanted = [
            "group g",
            "user u",
            "install a, b; remove c",
            "directory /d (0755 root)",
            "file /f (0644 root)",
            "link /l -> x",
            "script: try",
            "enable x.service",
        ];
        assert_eq!(steps(text), wanted);
    }

    #[test]
    fn users_add_up_and_sysctl_is_one_file() {
        let text = r#"
            user = [{ name = "u", uid = 7, groups = ["b"] }, { name = "u", sudo = true, groups = ["a", "b"] }]
            sysctl = [{ key = "b.c", value = "2" }, { key = "a.b", value = "1" }]
        "#;
        assert_eq!(steps(text), ["user u", "file /etc/sysctl.d/60-tib-t.conf (0644 root)"]);
        let os = well_known("debian-12").unwrap();
        let recipe = Recipe::from_text("t", &format!("name = 't'\nsummary = 's'\n{text}")).unwrap();
        let plan = recipe.plan(&Request::new(&os)).unwrap();
        let [Step::User(user), Step::File(file)] = plan.stages[0].steps.as_slice() else {
            panic!("{:?}", plan.stages);
        };
        assert_eq!(
            (user.uid, user.sudo, user.groups.as_slice()),
            (Some(7), true, &["a".into(), "b".into()][..])
        );
        assert_eq!(file.content, super::Content::Text("a.b = 1\nb.c = 2\n".to_owned()));
    }
}
