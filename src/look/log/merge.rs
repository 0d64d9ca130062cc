//! Puts the entries of several files in order.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// The most that is kept to be put in order.
const KEPT_LIMIT: usize = 1 << 30;

/// What an entry costs beside its text.
const COST: usize = 96;

/// How many entries without text are kept of a series before their number is reduced.
const MANY: usize = 1 << 20;

/// When an entry was written, in the four ways that the journal knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// Its number among the entries of its series.
    pub(crate) seqnum: u64,
    /// Microseconds since 1970.
    pub(crate) realtime: u64,
    /// The boot.
    pub(crate) boot_id: [u8; 16],
    /// Microseconds since that boot.
    pub(crate) monotonic: u64,
}

impl Moment {
    /// The order of entries of two series. No clock that is set disturbs it within a boot.
    fn compare(&self, other: &Self) -> Ordering {
        let boot = match self.boot_id == other.boot_id {
            true => self.monotonic.cmp(&other.monotonic),
            false => Ordering::Equal,
        };
        boot.then(self.realtime.cmp(&other.realtime))
    }

    /// Whether an entry that waits for `earlier`, of the same series, waits for this one as well.
    fn outweighs(&self, earlier: &Self) -> bool {
        self.boot_id == earlier.boot_id
            && self.monotonic >= earlier.monotonic
            && self.realtime >= earlier.realtime
    }
}

/// Entries of files that number their entries together. The number orders them, whatever the clock did.
#[derive(Debug, Default)]
struct Series {
    entries: BTreeMap<Moment, Vec<u8>>,
    /// Entries that are no longer wanted. They hold up others of other series, and so have a say in what is newest.
    dropped: BTreeSet<Moment>,
    /// How many of them are too many.
    many: usize,
}

impl Series {
    /// Forgets the first entry's text. Returns how much was kept of it before, and is not now.
    fn drop_first(&mut self) -> usize {
        let Some((moment, text)) = self.entries.pop_first() else { return 0 };
        let before = self.dropped.len() + 1;
        self.dropped.insert(moment);
        if self.dropped.len() >= self.many.max(MANY) {
            self.thin();
            self.many = 2 * self.dropped.len();
        }
        text.len() + COST * (before - self.dropped.len())
    }

    /// Forgets what was dropped and holds up nothing that the one behind it does not hold up too.
    fn thin(&mut self) {
        let mut rest: BTreeSet<Moment> = BTreeSet::new();
        while let Some(moment) = self.dropped.pop_last() {
            if !rest.first().is_some_and(|later| later.outweighs(&moment)) {
                rest.insert(moment);
            }
        }
        self.dropped = rest;
    }

    /// All moments in order, with the text where it is wanted.
    fn in_order(self) -> impl Iterator<Item = (Moment, Option<Vec<u8>>)> {
        let dropped = self.dropped.into_iter().map(|moment| (moment, None));
        dropped.chain(self.entries.into_iter().map(|(moment, text)| (moment, Some(text))))
    }
}

/// Collects what is to be printed of entries, and puts it in order as journalctl does: within a series by number;
/// series among each other by the time since boot within one boot, else by the clock.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    series: BTreeMap<[u8; 16], Series>,
    newest: Option<usize>,
    kept: usize,
}

impl Merge {
    /// `newest`: how many entries are wanted; all if `None`.
    pub(crate) fn new(newest: Option<usize>) -> Self {
        Self { newest, ..Self::default() }
    }

    /// Adds an entry. The same entry in two files counts once. `false` if there is more than can be kept.
    pub(crate) fn add(&mut self, seqnum_id: [u8; 16], moment: Moment, text: Vec<u8>) -> bool {
        let series = self.series.entry(seqnum_id).or_default();
        self.kept += text.len() + COST;
        if let Some(same) = series.entries.insert(moment, text) {
            self.kept -= same.len() + COST;
        }
        // No more than that many of one series can be among the newest of all.
        if self.newest.is_some_and(|newest| series.entries.len() > newest) {
            self.kept -= series.drop_first();
        }
        self.kept <= KEPT_LIMIT
    }

    /// Everything in order, newest last.
    pub(crate) fn finish(self) -> Vec<Vec<u8>> {
        let mut series: Vec<_> =
            self.series.into_values().map(|series| series.in_order().peekable()).collect();
        let mut all = Vec::new();
        // A before B before C does not mean A before C here, so nothing that relies on it will do: no sorting, no heap.
        loop {
            let mut first: Option<(Moment, usize)> = None;
            for (number, series) in series.iter_mut().enumerate() {
                let Some(&(head, _)) = series.peek() else { continue };
                if first.is_none_or(|(moment, _)| head.compare(&moment).is_lt()) {
                    first = Some((head, number));
                }
            }
            let Some((_, number)) = first else { break };
            all.extend(series[number].next().and_then(|(_, text)| text));
        }
        if let Some(newest) = self.newest {
            all.drain(..all.len().saturating_sub(newest));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Series, number, boot, time since boot, time.
    type Row = (u8, u64, u8, u64, u64);

    /// What a time server said at the third entry put the clock back.
    const ENTRIES: [Row; 8] = [
        (1, 1, 1, 1, 10),
        (2, 7, 2, 1, 15),
        (1, 2, 1, 2, 20),
        (1, 3, 1, 3, 5),
        (2, 8, 2, 2, 18),
        (1, 4, 1, 4, 30),
        (1, 2, 1, 2, 20),
        (3, 1, 1, 3, 7),
    ];

    fn merged(entries: &[Row], newest: Option<usize>) -> Vec<String> {
        let mut merge = Merge::new(newest);
        for &(series, seqnum, boot, monotonic, realtime) in entries {
            let moment = Moment { seqnum, realtime, boot_id: [boot; 16], monotonic };
            assert!(merge.add([series; 16], moment, format!("{series}/{seqnum}").into_bytes()));
        }
        merge.finish().into_iter().map(|text| String::from_utf8(text).unwrap()).collect()
    }

    #[test]
    fn numbers_order_within_a_series_and_times_between_them() {
        assert_eq!(merged(&ENTRIES[..7], None), ["1/1", "2/7", "2/8", "1/2", "1/3", "1/4"]);
    }

    #[test]
    fn within_a_boot_its_own_time_counts() {
        let one_boot = [(1, 1, 1, 1, 100), (1, 2, 1, 3, 10), (2, 1, 1, 2, 101), (2, 2, 1, 4, 11)];
        assert_eq!(merged(&one_boot, None), ["1/1", "2/1", "1/2", "2/2"]);
    }

    #[test]
    fn the_newest_are_the_end_of_all() {
        let all = merged(&ENTRIES, None);
        for newest in 0..9 {
            assert_eq!(merged(&ENTRIES, Some(newest)), all[all.len().saturating_sub(newest)..], "{newest}");
        }
    }

    proptest! {
        #[test]
        fn the_newest_are_the_end_of_all_whatever_clocks_do(
            times in prop::collection::vec((1u8..3, 0u8..3, 0u64..4, 0u64..40), 0..24),
            order: u64,
        ) {
            let mut monotonic = [0; 3];
            let mut entries: Vec<Row> = Vec::new();
            for (number, (series, boot, passed, clock)) in times.into_iter().enumerate() {
                let since = &mut monotonic[usize::from(boot)];
                *since += passed;
                entries.push((series, number as u64, boot, *since, clock));
            }
            let all = merged(&entries, None);
            // Files are not read in the order of their entries.
            let turn = if entries.is_empty() { 0 } else { (order % entries.len() as u64) as usize };
            entries.rotate_left(turn);
            for newest in 0..entries.len() {
                prop_assert_eq!(&merged(&entries, Some(newest)), &all[all.len() - newest..], "{}", newest);
            }
        }
    }

    #[test]
    fn what_is_dropped_is_not_counted() {
        let moment =
            |number| Moment { seqnum: number, realtime: number, boot_id: [1; 16], monotonic: number };
        let mut merge = Merge::new(Some(1));
        assert!((0..20).all(|number| merge.add([0; 16], moment(number), vec![0; KEPT_LIMIT / 8])));
        let mut merge = Merge::new(None);
        assert!(!(0..20).all(|number| merge.add([0; 16], moment(number), vec![0; KEPT_LIMIT / 8])));
    }

    #[test]
    fn what_is_dropped_is_reduced_to_what_has_a_say() {
        let mut series = Series::default();
        let entries = [(1, 1, 10), (1, 2, 20), (1, 3, 5), (1, 4, 6), (2, 1, 7), (2, 2, 8)];
        for (seqnum, (boot, monotonic, realtime)) in (0..).zip(entries) {
            let moment = Moment { seqnum, realtime, boot_id: [boot; 16], monotonic };
            series.entries.insert(moment, vec![0; 5]);
        }
        for _ in entries {
            assert_eq!(series.drop_first(), 5);
        }
        series.thin();
        assert_eq!(series.dropped.iter().map(|moment| moment.seqnum).collect::<Vec<_>>(), [1, 3, 5]);
    }
}
