//! What the image brings along beside packages, and where its space goes.

use super::access::word;
use crate::inspect::page::{Cell, Page, Tone};
use crate::inspect::{CloudInit, Containers, Python, PythonEnvironment, Sizes};
use crate::size::Size;

pub(crate) fn cloud(page: &mut Page, cloud: &Option<CloudInit>) {
    let Some(cloud) = cloud else { return page.line("not installed") };
    let datasources = match &cloud.datasources {
        Some(sources) => format!("{} ({})", sources.list.join(", "), sources.file),
        None => "all it knows".to_owned(),
    };
    let identify = cloud.ds_identify.as_ref().map(|identify| {
        let fields = [("policy", &identify.policy), ("datasource", &identify.datasource)];
        let fields = fields.iter().filter_map(|(name, value)| Some(format!("{name}: {}", value.as_ref()?)));
        fields.collect::<Vec<_>>().join(", ")
    });
    page.facts(vec![
        ("version", Cell::from(cloud.version.clone())),
        ("disabled", cloud.disabled.clone().map_or(Cell::from(""), |why| Cell::toned(why, Tone::Bad))),
        ("data sources", Cell::from(datasources)),
        ("ds-identify", Cell::from(identify)),
        (
            "default user",
            Cell::from(cloud.default_user.as_ref().map(|user| format!("{} ({})", user.name, user.file))),
        ),
    ]);
}

pub(crate) fn python(page: &mut Page, python: &Python) {
    let rows = python.interpreters.iter();
    let rows = rows.map(|found| vec![Cell::from(found.path.as_str()), Cell::from(found.version.as_str())]);
    page.table(&["INTERPRETER", "VERSION"], rows.collect());
    let kind = |environment: &PythonEnvironment| match &environment.venv {
        None => Cell::from("packages of the interpreter"),
        Some(venv) if venv.usable => Cell::from(format!("virtual, Python {}", venv.version)),
        Some(venv) => Cell::toned(format!("virtual, without its Python {}", venv.version), Tone::Bad),
    };
    let rows = python.environments.iter().map(|environment| {
        vec![
            Cell::from(environment.path.as_str()),
            kind(environment),
            Cell::from(environment.packages.len().to_string()),
            Cell::toned(environment.unreadable.join(", "), Tone::Bad),
        ]
    });
    page.table(&["ENVIRONMENT", "KIND", ">PACKAGES", "UNREADABLE"], rows.collect());
    if !page.all() {
        return;
    }
    let rows = python.environments.iter().flat_map(|environment| {
        environment.packages.iter().map(|package| {
            vec![
                Cell::from(package.name.as_str()),
                Cell::from(package.version.as_str()),
                Cell::from(if package.editable { "editable" } else { "" }),
                Cell::from(environment.path.as_str()),
            ]
        })
    });
    page.table(&["PACKAGE", "VERSION", "", "ENVIRONMENT"], rows.collect());
}

pub(crate) fn containers(page: &mut Page, containers: &Containers) {
    if containers.images.is_empty() && containers.unreadable.is_empty() {
        page.line("none");
    }
    let rows = containers.images.iter().map(|image| {
        vec![
            Cell::from(if image.references.is_empty() {
                "(no name)".to_owned()
            } else {
                image.references.join(", ")
            }),
            Cell::from(word(image.store)),
            Cell::from(image.size.map(|bytes| Size(bytes).to_string())),
            Cell::from(image.created.clone()),
            Cell::from(image.id.clone().or_else(|| image.digest.clone())),
            Cell::from(image.location.as_str()),
        ]
    });
    page.table(&["IMAGE", "KEPT BY", ">SIZE", "MADE", "ID", "WHERE"], rows.collect());
    for what in &containers.unreadable {
        page.line(Cell::toned(format!("cannot be read: {what}"), Tone::Bad));
    }
}

pub(crate) fn sizes(page: &mut Page, sizes: &Sizes) {
    let total = &sizes.total;
    let text = format!(
        "{} on disk, {} of content, {} entries",
        Size(total.allocated),
        Size(total.apparent),
        total.entries
    );
    page.facts(vec![("all files", Cell::from(text))]);
    let rows = sizes.directories.iter().map(|directory| {
        vec![
            Cell::from(directory.path.as_str()),
            Cell::from(Size(directory.allocated).to_string()),
            Cell::from(Size(directory.apparent).to_string()),
            Cell::from(directory.entries.to_string()),
        ]
    });
    // How many there are was asked for already.
    page.whole_table(&["DIRECTORY", ">ON DISK", ">CONTENT", ">ENTRIES"], rows.collect());
    let rows = sizes.files.iter().map(|file| {
        vec![
            Cell::from(file.path.as_str()),
            Cell::from(Size(file.allocated).to_string()),
            Cell::from(Size(file.apparent).to_string()),
        ]
    });
    page.whole_table(&["FILE", ">ON DISK", ">CONTENT"], rows.collect());
}
