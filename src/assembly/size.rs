//! How large the image's disk must be, and whether the root file system can have it.

use crate::disk::{FileSystemKind, Growth, GrowthPlan, LARGEST_DISK, Obstacle, SECTOR};
use crate::size::Size;

use super::BuildError;

/// File systems lose a little to their own structures, and packages unpack beside what they replace.
const SPARE: u64 = 256 << 20;
/// Sizes are rounded up to this, so that small differences do not make other layers.
const STEP: u64 = 1 << 30;

/// The disk that a build makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its bytes.
    pub(crate) size: u64,
    /// What is done to the base's disk first.
    pub(crate) growth: Option<Growth>,
    /// Whether the root fills the disk then. Where the appliance cannot enlarge it, a base that is large enough stays as it
    /// is, and layers on it are others than where it can.
    pub(crate) filled: bool,
}

/// Decides the size of the disk for a recipe that adds `new` bytes to a base.
pub(crate) fn decide(asked: Option<Size>, base: &GrowthPlan, new: u64) -> Result<Target, BuildError> {
    if base.sector() != SECTOR {
        return Err(BuildError::Sectors { sector: base.sector() });
    }
    for size in [Size(new), asked.unwrap_or_default()] {
        if size.0 > LARGEST_DISK {
            return Err(BuildError::TooLarge { size });
        }
    }
    let wanted = new + new / 10 + SPARE;
    let missing = wanted.saturating_sub(base.free(base.size()));
    // A file system needs a little of what it is given for itself.
    let needed = base.size() + missing + missing / 32;
    let size = match asked {
        None if missing == 0 => base.size(),
        None => needed.next_multiple_of(STEP),
        Some(asked) if asked.0 >= needed => asked.0.next_multiple_of(SECTOR),
        Some(asked) => {
            let reason = if missing == 0 {
                format!("the base's own disk has {}", Size(base.size()))
            } else {
                format!("the base uses {} and the recipe adds about {}", Size(base.used()), Size(new))
            };
            return Err(BuildError::TooSmall { asked, needed: Size(needed), reason });
        }
    };
    let growth = match base.grow(size) {
        Ok(growth) => growth,
        // The root has all that it needs.
        Err(_) if size == base.size() => None,
        Err(obstacle) => return Err(cannot_grow(obstacle, asked, base, size, missing)),
    };
    // Without its tools, a volume of LVM cannot even be mounted.
    if let Some(kind) = base.lacks()
        && (size > base.size() || kind == FileSystemKind::Lvm.name())
    {
        return Err(BuildError::NoTools { kind });
    }
    let filled = growth.is_none() || base.lacks().is_none();
    Ok(Target { size, growth: growth.filter(|_| filled), filled })
}

fn cannot_grow(
    obstacle: Obstacle,
    asked: Option<Size>,
    base: &GrowthPlan,
    size: u64,
    missing: u64,
) -> BuildError {
    let without = (missing == 0 && asked.is_some()).then(|| Size(base.size()));
    BuildError::CannotGrow { from: Size(base.size()), to: Size(size), without, source: obstacle }
}

#[cfg(test)]
#[path = "size_tests.rs"]
mod tests;
