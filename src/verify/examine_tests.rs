use super::*;
use crate::disk::{BootSector, CoreImage};
use crate::distro::well_known;
use crate::os::testing::{MemTree, layout};
use crate::recipe::{AgentSource, Library, Request};
use crate::report::Outcome;

/// A program of an x86-64 machine, as far as its header.
const PROGRAM: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0";
const KERNEL: &str = "/boot/vmlinuz-6.1.0-1-amd64";

/// A system that starts: systemd is init, and GRUB has a kernel.
fn system() -> MemTree {
    MemTree::new()
        .file("/etc/os-release", "ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"Debian 12\"\n")
        .program("/bin/sh", PROGRAM)
        .program("/usr/lib/systemd/systemd", PROGRAM)
        .link("/sbin/init", "/usr/lib/systemd/systemd")
        .file(KERNEL, "")
        .file("/boot/grub/grub.cfg", format!("menuentry 'Debian' {{\nlinux {KERNEL} root=UUID=1 ro\n}}\n"))
}

fn bios() -> Layout {
    let core = Some(CoreImage { start: 512, partition: Some(1), present: true });
    layout(Some(BootSector { loader: Some("GRUB".to_owned()), core }), &[])
}

fn uefi(path: &str) -> Layout {
    layout(None, &[(path, "x86_64")])
}

fn plan(recipe: &str, agent: Option<&str>) -> Plan {
    let os = well_known("debian-12").unwrap();
    let agent: Option<AgentSource> = agent.map(|agent| agent.parse().unwrap());
    let request = Request { agent, ..Request::new(&os) };
    Library::new(Vec::new()).load(recipe).unwrap().plan(&request).unwrap()
}

fn report_of(tree: &MemTree, layout: &Layout, plan: Option<&Plan>) -> Report {
    examine(&mut tree.clone(), Path::new("image.qcow2"), layout, plan, &[], None)
}

/// What a check of this title found wrong; `None` if it passed.
#[track_caller]
fn found(report: &Report, title: &str) -> Option<String> {
    let result = report.results.iter().find(|result| result.title == title).expect("the check was made");
    match &result.outcome {
        Outcome::Passed => None,
        Outcome::Failed { found } => Some(found.clone()),
        Outcome::NotChecked { reason } => Some(format!("not checked: {reason}")),
    }
}

fn was_asked(report: &Report, title: &str) -> bool {
    report.results.iter().any(|result| result.title == title)
}

fn fact<'a>(report: &'a Report, name: &str) -> &'a str {
    &report.facts.iter().find(|(fact, _)| *fact == name).expect("the fact is told").1
}

const LOADER: &str = "firmware finds a boot loader";
const DEFAULT: &str = "the kernel that starts by default is there";
const FIRST: &str = "its first process starts its units";
const RUNS: &str = "a unit runs the recipe's guest agent";

#[test]
fn an_image_that_no_firmware_can_start_fails() {
    let nothing = "BIOS: no program in the boot sector; UEFI: no program in an EFI system partition";
    let vendor = "only /EFI/debian/grubx64.efi in partition 15";
    for (layout, wrong) in [
        (bios(), None),
        (uefi("/EFI/BOOT/BOOTX64.EFI"), None),
        (layout(None, &[]), Some(nothing)),
        (uefi("/EFI/debian/grubx64.efi"), Some(vendor)),
    ] {
        let report = report_of(&system(), &layout, None);
        let found = found(&report, LOADER);
        assert_eq!(found.is_some(), wrong.is_some(), "{found:?}");
        assert!(found.unwrap_or_default().contains(wrong.unwrap_or_default()));
        assert_eq!(self::found(&report, FIRST), None);
    }
    assert!(fact(&report_of(&system(), &bios(), None), "BIOS").starts_with("GRUB in the boot sector"));
}

#[test]
fn a_recipe_may_say_that_somebody_else_starts_the_image() {
    let mut plan = plan("redis", None);
    assert!(plan.boots);
    let asked = |plan: &Plan| report_of(&system(), &layout(None, &[]), Some(plan));
    assert!(found(&asked(&plan), LOADER).is_some());
    plan.boots = false;
    let report = asked(&plan);
    assert!(!was_asked(&report, LOADER) && !was_asked(&report, DEFAULT));
    assert_eq!(found(&report, FIRST), None, "what the kernel starts is needed all the same");
}

#[test]
fn a_kernel_that_is_gone_fails() {
    assert_eq!(found(&report_of(&system(), &bios(), None), DEFAULT), None);
    let without = report_of(&system().without(KERNEL), &bios(), None);
    assert!(found(&without, DEFAULT).unwrap().contains(&format!("starts {KERNEL}, which does not exist")));
    let unreadable = report_of(&system().broken("/boot/grub"), &bios(), None);
    assert!(
        found(&unreadable, "its boot loader's configuration can be read").unwrap().starts_with("not checked")
    );
}

#[test]
fn units_need_systemd_as_the_first_process() {
    let other = || system().without("/sbin/init").program("/sbin/init", PROGRAM).file("/etc/inittab", "");
    let told = |program: &str| {
        other().file("/boot/grub/grub.cfg", format!("menuentry 'x' {{\nlinux {KERNEL} init={program}\n}}\n"))
    };
    for (tree, wrong) in [
        (system(), None),
        (system().without("/sbin/init"), Some("there is no /sbin/init")),
        (system().without("/usr/lib/systemd/systemd"), Some("there is no /sbin/init")),
        (other(), Some("/sbin/init is System V init, and systemd is only beside it")),
        (other().without("/usr/lib/systemd/systemd"), None),
        (told("/usr/lib/systemd/systemd"), None),
        (told("/bin/gone"), Some("the kernel is told to start /bin/gone, which does not exist")),
    ] {
        assert_eq!(found(&report_of(&tree, &bios(), None), FIRST).as_deref(), wrong);
    }
}

#[test]
fn the_report_says_which_agent_there_is_and_a_recipe_with_one_insists() {
    let unit = |name: &str, command: &str| {
        system()
            .file(&format!("/etc/systemd/system/{name}"), format!("[Service]\nExecStart={command}\n"))
            .program("/opt/guest-agent-venv/bin/trove-guestagent", PROGRAM)
            .link("/usr/local/bin/db", "/opt/guest-agent-venv/bin/trove-guestagent")
    };
    let with = plan("trove-guest", Some("pypi"));
    let without = plan("trove-guest", Some("none"));
    for (tree, by_itself, by_recipe) in [
        (system(), None, None),
        // Whose name alone is an agent's: not the one that the recipe installs.
        (unit("guest-agent.service", "/bin/sh"), Some("guest-agent.service"), None),
        // Another name: by what it runs, and where that is.
        (
            unit("our-trove.service", "/usr/local/bin/db --x"),
            Some("our-trove.service"),
            Some("our-trove.service"),
        ),
        (unit("dbagent.service", "/bin/sh -m trove.cmd.guest"), Some("dbagent.service"), None),
        (unit("database.service", "/opt/guest-agent-venv/bin/x"), None, Some("database.service")),
        (unit("database.service", "/usr/local/bin/db"), None, Some("database.service")),
        (unit("qemu-guest-agent.service", "/usr/sbin/qemu-ga"), None, None),
    ] {
        for plan in [None, Some(&without)] {
            let report = report_of(&tree, &bios(), plan);
            assert_eq!(fact(&report, "Guest agent"), by_itself.unwrap_or("none found"));
            assert!(!was_asked(&report, RUNS), "nobody asks for one");
        }
        let report = report_of(&tree, &bios(), Some(&with));
        assert_eq!(fact(&report, "Guest agent"), by_recipe.unwrap_or("none found"));
        let missing = by_recipe.is_none().then_some("no unit runs anything in /opt/guest-agent-venv");
        assert_eq!(found(&report, RUNS).as_deref(), missing);
    }
}

#[test]
fn an_image_that_labels_its_files_itself_is_a_warning() {
    assert_eq!(report_of(&system(), &bios(), None).warnings, [""; 0]);
    let report = report_of(&system().file("/.autorelabel", ""), &bios(), None);
    assert!(report.warnings[0].contains("/.autorelabel"), "{:?}", report.warnings);
    assert_eq!(report.failures(), report_of(&system(), &bios(), None).failures(), "not a failed check");
}
