//! A way in for fuzzers: any bytes as a physical volume.

use std::sync::{Arc, Mutex};

use super::group::Group;
use super::text::Section;
use super::{Physical, find, view};
use crate::block::{Memory, Shared, lock};
use crate::disk::partition::{Kind, Partition};

/// Reads bytes as a physical volume of LVM, and as the metadata of one. Returns how many logical volumes it came to.
#[doc(hidden)]
pub fn any_lvm(bytes: &[u8]) -> usize {
    let disk: Shared = Arc::new(Mutex::new(Box::new(Memory(bytes.to_vec()))));
    let length = bytes.len() as u64;
    let whole = Partition { number: 0, start: 0, length, kind: Kind::Disk, label: None, id: None };
    let volumes = find(&disk, &[&whole]).unwrap_or_default();
    for map in volumes.iter().filter_map(|volume| volume.map.as_ref().ok()) {
        let volume = view(&disk, map);
        let mut volume = lock(&volume);
        let mut piece = [0; 512];
        for at in [0, volume.size() / 2, volume.size() - 512] {
            // What is on the disk is read, whatever the metadata says.
            volume.read_exact_at(&mut piece, at).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    volumes.len() + any_metadata(bytes)
}

/// Reads bytes as metadata of a group all of whose physical volumes are there. Returns how many logical volumes they describe.
fn any_metadata(bytes: &[u8]) -> usize {
    let Ok(group) = Section::parse(bytes).and_then(|text| Group::parse(&text)) else { return 0 };
    let whole = |id: &str| (id.to_owned(), Physical { number: 1, start: 0, length: 1 << 50 });
    group.volumes(&group.members().map(whole).collect()).map_or(0, |volumes| volumes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::testing::Lab;

    #[test]
    fn lvm_is_read_and_noise_is_not() {
        let lab = Lab::new();
        let packed = include_bytes!("../../../tests/fixtures/lvm-physical-volume.xz");
        std::fs::write(lab.path("pv.xz"), packed).unwrap();
        lab.run("sh", &["-c", "xz -dc pv.xz >pv; truncate -s 384M pv"]);
        let good = std::fs::read(lab.path("pv")).unwrap();
        assert_eq!(any_lvm(&good), 1);
        assert_eq!(any_lvm(&good[..500]), 0);
        let front = &good[..12_288];
        let at = front.windows(8).rposition(|window| window == b"seqno = ").unwrap();
        let start = front[..at].iter().rposition(|byte| *byte == b'{').unwrap() - 3;
        let text = &front[start..];
        assert_eq!(any_lvm(text), 1, "{}", String::from_utf8_lossy(text));
        let mut seed = 5u64;
        for round in 0..20_000 {
            // The label and its area with sums that do not fit any more, or the text alone, which has none.
            let mut bad = if round % 4 == 0 { front.to_vec() } else { text[..2000.min(text.len())].to_vec() };
            for _ in 0..=round % 3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 33) as usize % bad.len();
                bad[at] = b"0123456789{}[]\"=,#a "[(seed >> 17) as usize % 20];
            }
            any_lvm(&bad);
        }
    }
}
