//! Whether the image can start: a boot loader for some firmware, the kernel that it starts, and an init for the units.

use super::{entry, first_process};
use crate::disk::{Layout, Tree};
use crate::os::ReadError;

use crate::inspect::boot;
use crate::report::{CheckGroup, CheckResult};

/// What was found out about how an image starts.
pub(super) struct Bootable {
    /// What is told of it in any case.
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) results: Vec<CheckResult>,
    /// What the kernel is told by default.
    pub(super) command_line: Option<String>,
}

/// Checks that the image can start. With `alone` it has to do so by itself; otherwise somebody gives it a kernel, and only
/// what that would start is looked at.
pub(super) fn bootable(tree: &mut dyn Tree, layout: &Layout, alone: bool) -> Bootable {
    let mut checked = Bootable { facts: Vec::new(), results: Vec::new(), command_line: None };
    let boot = boot::boot(tree, Some(layout));
    if let Ok(boot) = &boot {
        checked.facts = vec![("BIOS", boot.bios.how.clone()), ("UEFI", boot.uefi.how.clone())];
    }
    let command_line = boot.as_ref().ok().and_then(default_entry).map(|entry| entry.command_line.clone());
    if alone {
        checked.results.extend(match boot {
            Ok(boot) => loader(tree, layout, &boot),
            Err(error) => vec![result("its boot loader's configuration can be read", Err(error))],
        });
    }
    checked.results.push(
        result("its first process starts its units", first_process::check(tree, command_line.as_deref()))
            .why("nothing of what is set to start at boot would start, the guest agent included")
            .fix(
                "install what provides /sbin/init (systemd-sysv on Debian's family), and take what stops the boot out of the \
                 kernel's command line",
            ),
    );
    checked.command_line = command_line;
    checked
}

/// Why neither kind of firmware finds anything to start, if so.
pub fn no_boot_loader(layout: &Layout) -> Option<String> {
    let (bios, uefi) = (boot::bios(layout), boot::uefi(layout));
    let boots = [&bios, &uefi].iter().any(|firmware| firmware.boots == Some(true));
    (!boots).then(|| format!("BIOS: {}; UEFI: {}", bios.how, uefi.how))
}

fn loader(tree: &mut dyn Tree, layout: &Layout, boot: &boot::Boot) -> Vec<CheckResult> {
    let mut results = vec![
        result("firmware finds a boot loader", Ok(no_boot_loader(layout)))
            .why("an instance would stay in BUILD with an empty console")
            .fix(
                "take a base that boots, or install a boot loader; if the image is started with a kernel of its own, say \
                 `boots = false` in the recipe",
            ),
    ];
    if let Some(default) = default_entry(boot) {
        results.extend(entry::check(tree, layout, default));
    }
    results
}

/// What is started when nobody chooses: where none is marked, it is the first.
fn default_entry(boot: &boot::Boot) -> Option<&boot::BootEntry> {
    boot.entries.iter().find(|entry| entry.default).or(boot.entries.first())
}

fn result(title: &str, found: Result<Option<String>, ReadError>) -> CheckResult {
    CheckResult::new(CheckGroup::Image, title, found)
}
