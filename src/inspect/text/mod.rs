//! An inspection for people.

mod access;
mod content;

use super::page::{Cell, Page, Style, Tone};
use super::{Boot, Firmware, Init, Inspection, Kernels, Packages, Part, Section, System, Units};
use crate::disk::{ExtState, Layout, TableKind, VolumeContent};
use crate::os::unit::Unit;
use crate::shown::Text;
use crate::size::Size;

impl Inspection {
    /// The sections that were read, as text. Ends with a newline.
    pub fn to_text(&self, style: Style) -> Text {
        let mut page = Page::new(style);
        if let Some(layout) = &self.disk {
            page.heading(Part::Disk.title());
            disk(&mut page, layout);
        }
        section(&mut page, Part::System, self.system.as_ref(), system);
        section(&mut page, Part::Boot, self.boot.as_ref(), boot);
        section(&mut page, Part::Kernels, self.kernels.as_ref(), kernels);
        section(&mut page, Part::Init, self.init.as_ref(), init);
        section(&mut page, Part::Packages, self.packages.as_ref(), packages);
        section(&mut page, Part::Units, self.units.as_ref(), units);
        section(&mut page, Part::Accounts, self.accounts.as_ref(), access::accounts);
        section(&mut page, Part::Ssh, self.ssh.as_ref(), access::ssh);
        section(&mut page, Part::Cloud, self.cloud.as_ref(), content::cloud);
        section(&mut page, Part::Selinux, self.selinux.as_ref(), access::selinux);
        section(&mut page, Part::Apparmor, self.apparmor.as_ref(), access::apparmor);
        section(&mut page, Part::Python, self.python.as_ref(), content::python);
        section(&mut page, Part::Containers, self.containers.as_ref(), content::containers);
        section(&mut page, Part::Sizes, self.sizes.as_ref(), content::sizes);
        if let Some(why) = &self.no_system {
            page.heading("No operating system");
            page.line(why.as_str());
        }
        if !self.problems.is_empty() {
            page.heading("Could not be read");
            let rows = self.problems.iter();
            let rows = rows.map(|problem| {
                vec![Cell::from(problem.section.title()), Cell::toned(problem.reason.as_str(), Tone::Bad)]
            });
            page.table(&["SECTION", "WHY"], rows.collect());
        }
        let mut text = Text::default();
        text.line(self.image.as_str());
        text.append(&page.into_text());
        text
    }
}

fn section<T>(page: &mut Page, part: Part, section: Option<&Section<T>>, show: fn(&mut Page, &T)) {
    let Some(section) = section else { return };
    page.heading(part.title());
    match section {
        Section::Read(value) => show(page, value),
        Section::Unreadable { unreadable } => {
            page.line(Cell::toned(format!("cannot be read: {unreadable}"), Tone::Bad));
        }
    }
}

fn size(bytes: u64) -> String {
    Size(bytes).to_string()
}

fn disk(page: &mut Page, layout: &Layout) {
    let image = &layout.image;
    let mut format = image.format.name().to_owned();
    if let Some(version) = image.version {
        format += &format!(" version {version}");
    }
    if let Some(cluster) = image.cluster_size {
        format += &format!(", clusters of {}", size(cluster));
    }
    let table = match layout.table {
        TableKind::Gpt => "GPT",
        TableKind::Mbr => "MBR",
        TableKind::None => "none",
    };
    let backing: Vec<String> = image.backing.iter().map(|file| file.path.display().to_string()).collect();
    page.facts(vec![
        ("format", Cell::from(format)),
        ("disk", Cell::from(size(image.virtual_size))),
        ("file", Cell::from(format!("{}, {} on disk", size(image.file_size), size(image.allocated)))),
        ("backing", Cell::from(backing.join(", "))),
        ("partition table", Cell::from(table)),
    ]);
    let rows = layout.partitions.iter().map(|partition| {
        let content = partition.content.clone().unwrap_or_default();
        let state = state(&content);
        let holds = match &partition.problem {
            Some(_) => Cell::toned("unreadable", Tone::Bad),
            None => Cell::from(content.kind.as_str()),
        };
        vec![
            Cell::from(partition.number.to_string()),
            Cell::from(size(partition.start)),
            Cell::from(size(partition.length)),
            Cell::from(partition.type_name.clone().or_else(|| partition.type_code.clone())),
            holds,
            Cell::from(content.used.map(size)),
            Cell::from(content.free.map(size)),
            state,
            Cell::from(content.label.clone().or_else(|| partition.label.clone())),
            Cell::from(content.uuid),
        ]
    });
    page.table(
        &["", ">START", ">SIZE", "TYPE", "HOLDS", ">USED", ">FREE", "STATE", "LABEL", "UUID"],
        rows.collect(),
    );
    logical_volumes(page, layout);
}

fn logical_volumes(page: &mut Page, layout: &Layout) {
    let rows: Vec<Vec<Cell>> = layout
        .logical_volumes
        .iter()
        .map(|volume| {
            let content = volume.content.clone().unwrap_or_default();
            let state = state(&content);
            let holds = match &volume.problem {
                Some(_) => Cell::toned("unreadable", Tone::Bad),
                None => Cell::from(content.kind.as_str()),
            };
            let partitions: Vec<String> = volume.partitions.iter().map(u32::to_string).collect();
            vec![
                Cell::from(format!("{}/{}", volume.group, volume.name)),
                Cell::from(size(volume.length)),
                Cell::from(volume.kind.as_str()),
                Cell::from(partitions.join(", ")),
                holds,
                Cell::from(content.used.map(size)),
                Cell::from(content.free.map(size)),
                state,
                Cell::from(content.label),
                Cell::from(content.uuid),
            ]
        })
        .collect();
    if !rows.is_empty() {
        page.table(
            &["VOLUME", ">SIZE", "KIND", "IN", "HOLDS", ">USED", ">FREE", "STATE", "LABEL", "UUID"],
            rows,
        );
    }
}

fn state(content: &VolumeContent) -> Cell {
    match content.state {
        None => Cell::from(""),
        Some(ExtState::Clean) => Cell::from("clean"),
        Some(ExtState::NotClean) => Cell::toned("not clean", Tone::Bad),
        Some(ExtState::NeedsRecovery) => Cell::toned("needs recovery", Tone::Bad),
        Some(ExtState::Errors) => Cell::toned("errors", Tone::Bad),
    }
}

fn system(page: &mut Page, system: &System) {
    use super::MachineId;
    let version = match (&system.version, &system.full_version) {
        (Some(version), Some(full)) if full != version => Some(format!("{version} ({full})")),
        (version, full) => version.clone().or_else(|| full.clone()),
    };
    page.facts(vec![
        ("name", Cell::from(system.pretty_name.clone())),
        ("id", Cell::from(system.id.clone())),
        ("like", Cell::from(system.id_like.join(" "))),
        ("version", Cell::from(version)),
        ("codename", Cell::from(system.codename.clone())),
        ("variant", Cell::from(system.variant.clone())),
        ("build", Cell::from(system.build.clone())),
        ("supported until", Cell::from(system.support_end.clone())),
        ("architecture", Cell::from(system.architecture.clone())),
        ("hostname", Cell::from(system.hostname.clone())),
        (
            "machine-id",
            match system.machine_id {
                MachineId::Missing => Cell::from("no file: made at boot"),
                MachineId::Empty => Cell::from("empty: made at boot"),
                MachineId::Uninitialized => Cell::from("uninitialized: made at first boot"),
                MachineId::Set => Cell::toned("set: instances would share it", Tone::Bad),
            },
        ),
        ("timezone", Cell::from(system.timezone.clone())),
        ("locale", Cell::from(system.locale.clone())),
    ]);
    let rows = system.mounts.iter().map(|mount| {
        [&mount.path, &mount.source, &mount.kind, &mount.options]
            .map(|text| Cell::from(text.as_str()))
            .to_vec()
    });
    page.table(&["MOUNTED AT", "WHAT", "KIND", "OPTIONS"], rows.collect());
}

fn firmware(firmware: &Firmware) -> Cell {
    match firmware.boots {
        Some(true) => Cell::toned(format!("boots: {}", firmware.how), Tone::Good),
        Some(false) => Cell::from(format!("does not boot: {}", firmware.how)),
        None => Cell::from(""),
    }
}

fn boot(page: &mut Page, boot: &Boot) {
    page.facts(vec![
        ("BIOS", firmware(&boot.bios)),
        ("UEFI", firmware(&boot.uefi)),
        ("configuration", Cell::from(boot.config.clone())),
    ]);
    let rows = boot.entries.iter().map(|entry| {
        let title = if entry.default {
            Cell::toned(entry.title.as_str(), Tone::Good)
        } else {
            entry.title.as_str().into()
        };
        let kernel = match entry.kernel_present {
            Some(false) => {
                Cell::toned(format!("{} (missing)", entry.kernel.clone().unwrap_or_default()), Tone::Bad)
            }
            _ => Cell::from(entry.kernel.clone()),
        };
        vec![
            Cell::from(if entry.default { "*" } else { "" }),
            title,
            kernel,
            Cell::from(entry.command_line.as_str()),
        ]
    });
    page.table(&["", "ENTRY", "KERNEL", "COMMAND LINE"], rows.collect());
}

fn kernels(page: &mut Page, kernels: &Kernels) {
    let rows = kernels.kernels.iter().map(|kernel| {
        let ramdisk = match &kernel.initramfs {
            Some(file) => Cell::from(format!("{} ({})", file.path, size(file.size))),
            None => Cell::toned("none", Tone::Bad),
        };
        let modules = match &kernel.modules {
            Some(path) => Cell::from(path.as_str()),
            None => Cell::toned("none", Tone::Bad),
        };
        vec![
            Cell::from(kernel.version.as_str()),
            Cell::from(kernel.path.as_str()),
            Cell::from(size(kernel.size)),
            modules,
            ramdisk,
        ]
    });
    page.table(&["VERSION", "KERNEL", ">SIZE", "MODULES", "INITIAL RAM DISK"], rows.collect());
    if kernels.kernels.is_empty() {
        page.line("no kernel");
    }
    if !kernels.modules_without_kernel.is_empty() {
        let versions = kernels.modules_without_kernel.join(", ");
        page.line(Cell::toned(format!("modules without kernel: {versions}"), Tone::Bad));
    }
}

fn init(page: &mut Page, init: &Init) {
    let version = init.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let program = init.program.as_ref().map(|path| format!(" ({path})")).unwrap_or_default();
    page.line(format!("{}{version}{program}", init.kind.name()));
}

fn packages(page: &mut Page, packages: &Packages) {
    page.facts(vec![
        ("database", Cell::from(packages.database.as_str())),
        ("tools", Cell::from(packages.tools.join(", "))),
        ("packages", Cell::from(packages.count.to_string())),
        ("size", Cell::from(packages.installed_size.map(size))),
    ]);
    // The largest first, unless all are shown.
    let mut sorted: Vec<_> = packages.packages.iter().collect();
    if !page.all() {
        sorted.sort_by_key(|package| std::cmp::Reverse(package.installed_size));
    }
    let rows = sorted.into_iter().map(|package| {
        vec![
            Cell::from(package.name.as_str()),
            Cell::from(package.version.as_str()),
            Cell::from(package.arch.as_str()),
            Cell::from(package.installed_size.map(size)),
        ]
    });
    page.table(&["PACKAGE", "VERSION", "ARCH", ">SIZE"], rows.collect());
}

fn tone(state: &str) -> Option<Tone> {
    match state {
        "enabled" | "enabled-runtime" => Some(Tone::Good),
        "masked" | "masked-runtime" | "bad" => Some(Tone::Bad),
        _ => None,
    }
}

fn units(page: &mut Page, units: &Units) {
    let counts: Vec<String> = units.counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let masked = units.units.iter().filter(|unit| unit.state.starts_with("masked"));
    let masked: Vec<&str> = masked.map(|unit| unit.name.as_str()).collect();
    page.facts(vec![
        ("default", Cell::from(units.default_target.clone())),
        ("unit files", Cell::from(format!("{}: {}", units.units.len(), counts.join(", ")))),
        ("masked", Cell::from(masked.join(" "))),
    ]);
    // What starts and what is broken, unless all is asked for.
    let tells = |state: &str| state.starts_with("enabled") || state == "bad";
    let mut rows = Vec::new();
    for unit in &units.units {
        if page.all() || tells(&unit.state) {
            let wanted = [&unit.wanted_by, &unit.required_by, &unit.upheld_by].into_iter().flatten();
            let wanted: Vec<&str> = wanted.map(String::as_str).collect();
            let preset = unit.preset.map_or("", |preset| preset.name());
            rows.push(row(&unit.name, &unit.state, preset, &wanted, about(unit)));
        }
        for instance in unit.instances.iter().filter(|instance| page.all() || tells(&instance.state)) {
            let wanted: Vec<&str> = instance.wanted_by.iter().map(String::as_str).collect();
            rows.push(row(
                &instance.name,
                &instance.state,
                "",
                &wanted,
                format!("instance of {}", unit.name),
            ));
        }
    }
    page.table(&["UNIT", "STATE", "PRESET", "WANTED BY", "WHAT"], rows);
    let scripts = units.init_scripts.iter().map(|script| {
        row(&script.name, if script.enabled { "enabled" } else { "disabled" }, "", &[], String::new())
    });
    page.table(&["INIT SCRIPT", "STATE"], scripts.collect());
}

/// What a unit is, in a few words.
fn about(unit: &Unit) -> String {
    let mut about = match (&unit.alias_of, &unit.problem) {
        (Some(target), _) => format!("is {target}"),
        (None, Some(problem)) => problem.clone(),
        (None, None) => unit.description.clone().unwrap_or_default(),
    };
    match unit.drop_ins.len() {
        0 => {}
        1 => about += " (1 drop-in)",
        count => about += &format!(" ({count} drop-ins)"),
    }
    about
}

fn row(name: &str, state: &str, preset: &str, wanted: &[&str], about: String) -> Vec<Cell> {
    let state = match tone(state) {
        Some(tone) => Cell::toned(state, tone),
        None => Cell::from(state),
    };
    vec![Cell::from(name), state, Cell::from(preset), Cell::from(wanted.join(" ")), Cell::from(about)]
}
