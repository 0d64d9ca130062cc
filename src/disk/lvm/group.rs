//! A volume group as its metadata describes it, and where its logical volumes lie.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::linear::{Map, Stretch};
use super::text::Section;
use super::{LogicalVolume, Physical};
use crate::disk::{DiskError, SECTOR};
use crate::shown::escape;

/// A volume group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) id: String,
    /// Each change of the metadata has a higher one.
    pub(super) number: u64,
    /// Bytes of an extent.
    extent: u64,
    /// Its physical volumes by the names that segments know them by.
    members: BTreeMap<String, Member>,
    volumes: BTreeMap<String, Volume>,
    /// It is on its way to another machine, and nobody uses it here.
    exported: bool,
}

#[derive(Debug)]
struct Member {
    id: String,
    /// Byte of the first extent.
    first: u64,
    extents: u64,
    /// It was away when the group was changed.
    missing: bool,
}

#[derive(Debug)]
struct Volume {
    id: String,
    visible: bool,
    segments: Vec<Segment>,
}

#[derive(Debug)]
struct Segment {
    start: u64,
    extents: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Of a physical volume, from this extent on.
    Linear(String, u64),
    /// Anything else, in LVM's words.
    Other(String),
    /// What another volume holds for a third.
    Snapshot { origin: String, store: Option<String>, merging: Option<String> },
}

impl Group {
    /// Reads the metadata of a group.
    pub(super) fn parse(text: &Section) -> Result<Self, DiskError> {
        let mut sections = text.sections();
        let (Some((name, group)), None) = (sections.next(), sections.next()) else {
            return Err(damaged("describes no volume group, or several"));
        };
        let extent = group.number("extent_size")?.checked_mul(SECTOR).filter(|extent| *extent > 0);
        let sections = |name: &str| group.section(name).into_iter().flat_map(Section::sections);
        let mut members = BTreeMap::new();
        for (name, member) in sections("physical_volumes") {
            members.insert(name.to_owned(), Member::parse(member)?);
        }
        let mut volumes = BTreeMap::new();
        for (name, volume) in sections("logical_volumes") {
            volumes.insert(name.to_owned(), Volume::parse(volume, name)?);
        }
        Ok(Self {
            name: name.to_owned(),
            id: identity(group)?,
            number: group.number("seqno")?,
            extent: extent.ok_or_else(|| damaged("has extents of an absurd size"))?,
            members,
            volumes,
            exported: group.has("status", "EXPORTED"),
        })
    }

    /// Whether a physical volume is one of the group.
    pub(super) fn has(&self, id: &str) -> bool {
        self.members.values().any(|member| member.id == id)
    }

    /// The identities of its physical volumes.
    #[cfg(any(test, fuzzing, debug_assertions))]
    pub(super) fn members(&self) -> impl Iterator<Item = &str> {
        self.members.values().map(|member| member.id.as_str())
    }

    /// The logical volumes that can hold something, with where they lie on these physical ones.
    pub(super) fn volumes(
        &self,
        physical: &BTreeMap<String, Physical>,
    ) -> Result<Vec<LogicalVolume>, DiskError> {
        let snapshots = self.snapshots();
        let mut found = Vec::new();
        let mut used = BTreeSet::new();
        for (name, volume) in &self.volumes {
            let snapshot = snapshots.get(name.as_str());
            // What lies below others is not for use, and what only ties a snapshot to its origin is no volume.
            let is_tie = volume.segments.iter().any(|segment| matches!(segment.kind, Kind::Snapshot { .. }));
            if is_tie || !volume.visible && snapshot.is_none() {
                continue;
            }
            let size = volume.extents().checked_mul(self.extent);
            let size = size.filter(|size| *size > 0).ok_or_else(|| self.fault(name, "has an absurd size"))?;
            let kind = snapshot.map_or_else(|| volume.kind(), |(kind, _)| (*kind).to_owned());
            let mut partitions = BTreeSet::new();
            let map = if let Some((_, reason)) = snapshot {
                Err(reason.clone())
            } else if self.exported {
                Err(" is in a volume group that is exported".to_owned())
            } else {
                self.map(name, volume, physical, &mut partitions)?
            };
            for stretch in map.iter().flat_map(|map| map.stretches()) {
                used.insert((stretch.on_disk, stretch.length, name.as_str()));
            }
            found.push(LogicalVolume {
                group: self.name.clone(),
                name: name.clone(),
                mapper_id: format!("LVM-{}{}", self.id.replace('-', ""), volume.id.replace('-', "")),
                id: volume.id.clone(),
                size,
                kind,
                partitions: partitions.into_iter().collect(),
                map,
            });
        }
        let mut end = 0;
        for (at, length, name) in used {
            if at < end {
                return Err(self.fault(name, "lies where another does"));
            }
            end = at + length;
        }
        Ok(found)
    }

    /// Volumes that are not what their own segments say: kind, and why they are not read.
    fn snapshots(&self) -> BTreeMap<&str, (&'static str, String)> {
        let mut found = BTreeMap::new();
        let segments = self.volumes.values().flat_map(|volume| &volume.segments);
        for segment in segments {
            let Kind::Snapshot { origin, store, merging } = &segment.kind else { continue };
            for store in store.iter().chain(merging) {
                let reason = format!(" is a snapshot of {}/{}", escape(&self.name), escape(origin));
                found.insert(store.as_str(), ("snapshot", reason));
            }
            if let Some(store) = merging {
                let reason = format!(" is being put back to its snapshot {}", escape(store));
                found.insert(origin.as_str(), ("snapshot-merge", reason));
            }
        }
        found
    }

    /// Where a volume lies, or why that is not known.
    fn map(
        &self,
        name: &str,
        volume: &Volume,
        physical: &BTreeMap<String, Physical>,
        partitions: &mut BTreeSet<u32>,
    ) -> Result<Result<Arc<Map>, String>, DiskError> {
        let mut stretches = Vec::with_capacity(volume.segments.len());
        for segment in &volume.segments {
            let (member, first) = match &segment.kind {
                Kind::Linear(member, first) => (member, *first),
                _ => return Ok(Err(format!(" is {}", words(&volume.kind())))),
            };
            let fault = |what: &str| self.fault(name, what);
            if self.volumes.contains_key(member) {
                return Ok(Err(format!(" lies on the volume {}/{}", escape(&self.name), escape(member))));
            }
            let Some(member) = self.members.get(member) else {
                return Err(fault("lies on a physical volume that its group does not have"));
            };
            if first.checked_add(segment.extents).is_none_or(|end| end > member.extents) {
                return Err(fault("lies outside its physical volume"));
            }
            let Some(place) = physical.get(&member.id).filter(|_| !member.missing) else {
                let reason =
                    format!(" lies on the physical volume {}, which this disk does not have", member.id);
                return Ok(Err(reason));
            };
            let at = segment.start * self.extent;
            let length = segment.extents * self.extent;
            let within = first.checked_mul(self.extent).and_then(|bytes| bytes.checked_add(member.first));
            let fits = |within: &u64| within.checked_add(length).is_some_and(|end| end <= place.length);
            let Some(within) = within.filter(fits) else {
                return Err(fault("lies outside its physical volume"));
            };
            partitions.insert(place.number);
            stretches.push(Stretch { at, length, on_disk: place.start + within });
        }
        Ok(Ok(Arc::new(Map::new(stretches))))
    }

    fn fault(&self, volume: &str, what: &str) -> DiskError {
        DiskError::Damaged(format!("the logical volume {}/{} {what}", escape(&self.name), escape(volume)))
    }
}

impl Member {
    fn parse(text: &Section) -> Result<Self, DiskError> {
        let first = text.number("pe_start")?.checked_mul(SECTOR);
        Ok(Self {
            id: identity(text)?,
            first: first.ok_or_else(|| damaged("has a physical volume of an absurd size"))?,
            extents: text.number("pe_count")?,
            missing: text.has("flags", "MISSING") || text.has("status", "MISSING"),
        })
    }
}

impl Volume {
    fn parse(text: &Section, name: &str) -> Result<Self, DiskError> {
        let fault = |what: &str| damaged(&format!("has the volume `{}` {what}", escape(name)));
        let segments = text.sections().filter(|(name, _)| name.starts_with("segment"));
        let mut segments =
            segments.map(|(_, text)| Segment::parse(text)).collect::<Result<Vec<_>, DiskError>>()?;
        if segments.len() as u64 != text.number("segment_count")? {
            return Err(fault("with more or fewer segments than it says"));
        }
        segments.sort_by_key(|segment| segment.start);
        let mut end = 0u64;
        for segment in &segments {
            if segment.start != end || segment.extents == 0 {
                return Err(fault("with segments that do not follow one another"));
            }
            end = end.checked_add(segment.extents).ok_or_else(|| fault("of an absurd size"))?;
        }
        Ok(Self { id: identity(text)?, visible: text.has("status", "VISIBLE"), segments })
    }

    fn extents(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.start + last.extents)
    }

    /// How it is laid out: by the first segment that is not linear.
    fn kind(&self) -> String {
        let other = self.segments.iter().find_map(|segment| match &segment.kind {
            Kind::Other(kind) => Some(kind.clone()),
            _ => None,
        });
        other.unwrap_or_else(|| "linear".to_owned())
    }
}

impl Segment {
    fn parse(text: &Section) -> Result<Self, DiskError> {
        let name = text.text("type").ok_or_else(|| damaged("has a segment without a type"))?;
        // What follows tells older versions that they do not know all of it.
        let (bare, _) = name.split_once('+').unwrap_or((name, ""));
        let word = |key: &str| text.text(key).map(str::to_owned);
        let kind = match bare {
            "striped" | "linear" => match text.pairs("stripes")?.as_slice() {
                [(member, first)] => Kind::Linear((*member).to_owned(), *first),
                _ => Kind::Other("striped".to_owned()),
            },
            "snapshot" => Kind::Snapshot {
                origin: word("origin").unwrap_or_default(),
                store: word("cow_store"),
                merging: word("merging_store"),
            },
            other => Kind::Other(other.to_owned()),
        };
        Ok(Self { start: text.number("start_extent")?, extents: text.number("extent_count")?, kind })
    }
}

/// A kind of volume, for people.
fn words(kind: &str) -> String {
    match kind {
        "striped" => "striped over several physical volumes".to_owned(),
        "mirror" => "a mirror".to_owned(),
        "thin" => "thin".to_owned(),
        "thin-pool" => "a pool for thin volumes".to_owned(),
        "cache" => "cached".to_owned(),
        "cache-pool" => "a pool for caching".to_owned(),
        "writecache" => "cached for writing".to_owned(),
        "vdo" => "deduplicated (VDO)".to_owned(),
        "vdo-pool" => "a pool for deduplicated volumes (VDO)".to_owned(),
        kind if kind.starts_with("raid") => format!("a RAID ({})", escape(kind)),
        kind => format!("of the kind `{}`", escape(kind)),
    }
}

fn identity(text: &Section) -> Result<String, DiskError> {
    text.text("id").map(str::to_owned).ok_or_else(|| damaged("describes something without identity"))
}

fn damaged(what: &str) -> DiskError {
    DiskError::Damaged(format!("the metadata of LVM {what}"))
}
