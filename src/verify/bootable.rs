//! Whether the image can start: a boot loader for some firmware, the kernel that it starts, and an init for the units.

use crate::disk::{Layout, Tree};
use crate::os::ReadError;

use crate::inspect::boot;
use crate::inspect::{InitKind, init};
use crate::report::{CheckGroup, CheckResult};

/// Parameters of the kernel's command line that choose another first process.
const INIT: &str = "init=";

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
            Ok(boot) => loader(layout, &boot),
            Err(error) => vec![result("its boot loader's configuration can be read", Err(error))],
        });
    }
    checked.results.push(
        result("its first process starts its units", first_process(tree, command_line.as_deref()))
            .why("nothing of what is set to start at boot would start, the guest agent included")
            .fix("install what provides /sbin/init: systemd-sysv on Debian's family"),
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

fn loader(layout: &Layout, boot: &boot::Boot) -> Vec<CheckResult> {
    let mut results = vec![
        result("firmware finds a boot loader", Ok(no_boot_loader(layout)))
            .why("an instance would stay in BUILD with an empty console")
            .fix(
                "take a base that boots, or install a boot loader; if the image is started with a kernel of its own, say \
                 `boots = false` in the recipe",
            ),
    ];
    if let Some(entry) = default_entry(boot) {
        let kernel = entry.kernel.as_deref().unwrap_or_default();
        let missing = entry.kernel_present == Some(false);
        let found = missing.then(|| format!("{} starts {kernel}, which does not exist", entry.source));
        results.push(
            result("the kernel that starts by default is there", Ok(found))
                .why("the boot loader would stop at an error that nobody sees")
                .fix("install a kernel, and have the boot loader's configuration written again"),
        );
    }
    results
}

/// What is started when nobody chooses: where none is marked, it is the first.
fn default_entry(boot: &boot::Boot) -> Option<&boot::BootEntry> {
    boot.entries.iter().find(|entry| entry.default).or(boot.entries.first())
}

fn first_process(tree: &mut dyn Tree, command_line: Option<&str>) -> Result<Option<String>, ReadError> {
    let mut parameters = command_line.unwrap_or_default().split_whitespace();
    if let Some(program) =
        parameters.rfind(|word| word.starts_with(INIT)).and_then(|word| word.strip_prefix(INIT))
    {
        // Somebody has decided, as Debian had its users do it when systemd was new.
        let missing = !tree.exists(program.as_bytes())?;
        return Ok(missing.then(|| format!("the kernel is told to start {program}, which does not exist")));
    }
    let init = init::init(tree)?;
    if init.kind == InitKind::Missing {
        return Ok(Some("there is no /sbin/init".to_owned()));
    }
    if init.kind != InitKind::Systemd && init::has_systemd(tree)? {
        return Ok(Some(format!("/sbin/init is {}, and systemd is only beside it", init.kind.name())));
    }
    Ok(None)
}

fn result(title: &str, found: Result<Option<String>, ReadError>) -> CheckResult {
    CheckResult::new(CheckGroup::Image, title, found)
}
