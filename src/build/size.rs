//! How large the image's disk must be.

use crate::recipe::Plan;
use crate::size::Size;

use super::BuildError;
use super::materials::Materials;

/// File systems lose a little to their own structures, and packages unpack beside what they replace.
const SPARE: u64 = 256 << 20;
/// Sizes are rounded up to this, so that small differences do not make other layers.
const STEP: u64 = 1 << 30;

/// Decides the size of the disk in bytes, for a base with a disk of `base` bytes of which `used` hold something.
pub(super) fn decide(
    asked: Option<Size>,
    base: u64,
    used: u64,
    plan: &Plan,
    materials: &Materials,
) -> Result<u64, BuildError> {
    let new = materials.installed().max(plan.needs);
    let needed = used + new + new / 10 + SPARE;
    choose(asked, base, needed, used, new)
}

fn choose(asked: Option<Size>, base: u64, needed: u64, used: u64, new: u64) -> Result<u64, BuildError> {
    let minimum = needed.max(base);
    let Some(asked) = asked else {
        return Ok(if needed <= base { base } else { needed.next_multiple_of(STEP) });
    };
    if asked.0 >= minimum {
        return Ok(asked.0.next_multiple_of(512));
    }
    let reason = if base >= needed {
        format!("the base's own disk has {}", Size(base))
    } else {
        format!("the base uses {} and the recipe adds about {}", Size(used), Size(new))
    };
    Err(BuildError::TooSmall { asked, needed: Size(minimum), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn sizes() {
        assert_eq!(choose(None, 4 * GIB, 3 * GIB, 0, 0).unwrap(), 4 * GIB, "the base is large enough");
        assert_eq!(choose(None, 2 * GIB, 2 * GIB + 1, 0, 0).unwrap(), 3 * GIB, "rounded up");
        assert_eq!(choose(Some(Size(10 * GIB + 1)), 4 * GIB, GIB, 0, 0).unwrap(), 10 * GIB + 512);
        let error = choose(Some(Size(GIB)), 2 * GIB, 3 * GIB, GIB, GIB).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a disk of 1 GiB is too small: the base uses 1 GiB and the recipe adds about 1 GiB, so at least 3 GiB are needed"
        );
        let error = choose(Some(Size(GIB)), 2 * GIB, GIB, GIB, 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a disk of 1 GiB is too small: the base's own disk has 2 GiB, so at least 2 GiB are needed"
        );
    }
}
