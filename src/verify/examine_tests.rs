use super::*;
use crate::disk::{BootSector, CoreImage};
use crate::distro::well_known;
use crate::os::testing::{MemTree, layout};
use crate::recipe::{AgentSource, Library, Request};
use crate::report::Outcome;

/// A program of an x86-64 machine, as far as its header.
const PROGRAM: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0";
/// A kernel for x86 that says that it has as many bytes as this.
fn kernel() -> Vec<u8> {
    let mut kernel = vec![0; 32 * 512 + 256 * 16];
    kernel[0x1f1] = 31;
    kernel[0x1f4..0x1f8].copy_from_slice(&256u32.to_le_bytes());
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel
}

const KERNEL: &str = "/boot/vmlinuz-6.1.0-1-amd64";

/// A system that starts: systemd is init, and GRUB has a kernel.
fn system() -> MemTree {
    MemTree::new()
        .file("/etc/os-release", "ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"Debian 12\"\n")
        .program("/bin/sh", PROGRAM)
        .program("/usr/lib/systemd/systemd", PROGRAM)
        .link("/sbin/init", "/usr/lib/systemd/systemd")
        .file(KERNEL, kernel())
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
fn what_the_default_entry_starts_is_whole() {
    const DISK: &str = "its initial RAM disk is there";
    const MODULES: &str = "its kernel has its modules";
    const ROOT: &str = "its kernel is told of a root that is there";
    let initrd = "/boot/initrd.img-6.1.0-1-amd64";
    let ram_disk = |magic: &[u8], size: usize| {
        let mut content = magic.to_vec();
        content.resize(size, 0);
        system().file(initrd, content).file(
            "/boot/grub/grub.cfg",
            format!("menuentry 'x' {{\nlinux {KERNEL} root=UUID=aa ro\ninitrd {initrd}\n}}\n"),
        )
    };
    let whole = || ram_disk(b"\x28\xb5\x2f\xfd", 20 << 10);
    let config = "/boot/config-6.1.0-1-amd64";
    let modular = |text: &str| whole().file(config, text);
    let dep = |version: &str| format!("/usr/lib/modules/{version}/modules.dep");
    let nothing = "there is nothing in /lib/modules/6.1.0-1-amd64";
    for (tree, title, wrong) in [
        (system().file(KERNEL, ""), DEFAULT, "which is empty"),
        (system().file(KERNEL, &kernel()[..5000]), DEFAULT, "which is cut: it has 5000 of 20480 bytes"),
        (system().link(KERNEL, "gone"), DEFAULT, "which is a link to nothing"),
        (system().file(KERNEL, PROGRAM), DEFAULT, ""),
        (whole(), DISK, ""),
        (ram_disk(b"070701", 20 << 10), DISK, ""),
        (ram_disk(b"\x1f\x8b", 20 << 10), DISK, ""),
        (whole().without(initrd), DISK, "which does not exist"),
        (whole().link(initrd, "gone"), DISK, "which does not exist"),
        (ram_disk(b"", 0), DISK, "which is empty"),
        (ram_disk(b"<html>", 20 << 10), DISK, "which is no archive that Linux unpacks"),
        (ram_disk(b"070701", 5000), DISK, "which is cut: it has only 5000 bytes"),
        (whole(), MODULES, ""),
        (modular("CONFIG_EXT4_FS=y\n"), MODULES, ""),
        (modular("CONFIG_EXT4_FS=m\n"), MODULES, nothing),
        (modular("CONFIG_EXT4_FS=m\n").file(&dep("6.1.0-1-amd64"), ""), MODULES, ""),
        (whole().file(&dep("6.1.0-2-amd64"), ""), MODULES, nothing),
        (whole(), ROOT, ""),
    ] {
        let found = found(&report_of(&tree, &bios(), None), title).unwrap_or_default();
        assert_eq!(found.is_empty(), wrong.is_empty(), "{title}: {found}, not {wrong}");
        assert!(found.ends_with(wrong), "{title}: {found}, not {wrong}");
    }
    assert!(!was_asked(&report_of(&system(), &bios(), None), DISK), "the entry names none");
    let mut layout = bios();
    for (uuid, wrong) in
        [("AA", None), ("bb", Some("/boot/grub/grub.cfg says root=UUID=aa, which no volume of the image is"))]
    {
        layout.partitions[0].content.as_mut().unwrap().uuid = Some(uuid.to_owned());
        assert_eq!(found(&report_of(&whole(), &layout, None), ROOT).as_deref(), wrong);
    }
}

#[test]
fn nothing_stops_the_boot_before_units_start() {
    let told = |words: &str| {
        system().file("/boot/grub/grub.cfg", format!("menuentry 'x' {{\nlinux {KERNEL} ro {words}\n}}\n"))
    };
    let unit = "/usr/lib/systemd/system";
    let default = "/etc/systemd/system/default.target";
    let targets = || system().file(&format!("{unit}/multi-user.target"), "[Unit]\n");
    let stops = |word: &str| {
        Some(format!("`{word}` on the kernel's command line stops the boot for a person at the console"))
    };
    let found_is = |found: &str| Some(found.to_owned());
    for (tree, wrong) in [
        (told("quiet console=ttyS0 systemd.show_status=1"), None),
        (told("single"), stops("single")),
        (told("1"), stops("1")),
        (told("emergency"), stops("emergency")),
        (told("break=premount"), stops("break=premount")),
        (told("rd.break"), stops("rd.break")),
        (told("init=/bin/sh"), found_is("the kernel is told to start /bin/sh, which starts no unit")),
        (
            told("systemd.mask=multi-user.target"),
            found_is("systemd.mask=multi-user.target stands on the kernel's command line"),
        ),
        (
            system().file("/usr/lib/systemd/systemd", PROGRAM),
            found_is("/usr/lib/systemd/systemd is not executable"),
        ),
        (system().program("/usr/lib/systemd/systemd", ""), found_is("/usr/lib/systemd/systemd is empty")),
        (system().dir("/proc").dir("/sys").dir("/dev").dir("/run"), None),
        (system().dir("/proc").dir("/sys").dir("/dev"), found_is("there is no directory /run")),
        (targets().link(default, "/usr/lib/systemd/system/multi-user.target"), None),
        (targets().link(default, "/lib/systemd/system/multi-user.target"), None),
        (targets().link(default, "/dev/null"), found_is("default.target is masked")),
        (
            targets().link(default, "/lib/systemd/system/gone.target"),
            found_is("default.target is a link to /lib/systemd/system/gone.target, which does not exist"),
        ),
        (
            targets().link("/etc/systemd/system/multi-user.target", "/dev/null"),
            found_is("multi-user.target is masked"),
        ),
    ] {
        assert_eq!(found(&report_of(&tree, &bios(), None), FIRST), wrong);
    }
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
