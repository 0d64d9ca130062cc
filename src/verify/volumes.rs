//! Which volumes an image has, for what names one of them.

use crate::disk::fstab::{Names, Spec};
use crate::disk::{Layout, TableKind, VolumeContent};

/// Types of partitions that hold a boot loader's code and no file system: PReP and BIOS boot.
const BOOT_CODE: [&str; 3] =
    ["0x41", "9e1a2d38-c612-4316-aa26-8b49521e5a8b", "21686148-6449-6e6f-744e-656564454649"];
/// What may hold file systems that tib does not see.
const HIDING: [&str; 2] = ["luks", "raid"];
/// Labels of disks that a cloud makes for an instance.
const FROM_THE_CLOUD: [&str; 3] = ["config-2", "cidata", "ephemeral"];

/// Whether no volume of the image is what `spec` names, and none can be within what tib does not read. Only of names that
/// belong to a volume alone (`UUID=` and the like) this can be said: the others may mean disks that an instance gets.
pub(super) fn is_missing(layout: &Layout, spec: &Spec) -> bool {
    let partitions = &layout.partitions;
    let is_judged = match spec {
        Spec::Uuid(_) => all_known(layout),
        Spec::Label(label) => {
            let label = label.to_ascii_lowercase();
            !FROM_THE_CLOUD.iter().any(|cloud| label.starts_with(cloud)) && all_known(layout)
        }
        Spec::PartUuid(_) => partitions.iter().any(|partition| partition.id.is_some()),
        Spec::PartLabel(_) => layout.table == TableKind::Gpt && !partitions.is_empty(),
        _ => false,
    };
    let is_partition = || {
        partitions.iter().any(|partition| {
            let names = Names {
                part_uuid: partition.id.as_deref(),
                part_label: partition.label.as_deref(),
                ..names(partition.content.as_ref())
            };
            spec.means(&names)
        })
    };
    let is_logical =
        || layout.logical_volumes.iter().any(|volume| spec.means(&names(volume.content.as_ref())));
    is_judged && !is_partition() && !is_logical()
}

fn names(content: Option<&VolumeContent>) -> Names<'_> {
    Names {
        uuid: content.and_then(|content| content.uuid.as_deref()),
        label: content.and_then(|content| content.label.as_deref()),
        ..Names::default()
    }
}

/// Whether tib knows what lies in each volume, and what that is called.
fn all_known(layout: &Layout) -> bool {
    let is_known = |content: Option<&VolumeContent>| {
        content.is_some_and(|content| match content.kind.as_str() {
            "lvm" => !layout.logical_volumes.is_empty(),
            kind => content.uuid.is_some() && !HIDING.contains(&kind),
        })
    };
    let is_boot_code = |code: &Option<String>| {
        code.as_ref().is_some_and(|code| BOOT_CODE.iter().any(|known| code.eq_ignore_ascii_case(known)))
    };
    let partitions = layout.partitions.iter().all(|partition| {
        is_boot_code(&partition.type_code)
            || (partition.problem.is_none() && is_known(partition.content.as_ref()))
    });
    partitions
        && layout.logical_volumes.iter().all(|volume| is_known(volume.content.as_ref()))
        && layout.partitions.iter().any(|partition| partition.content.is_some())
}
