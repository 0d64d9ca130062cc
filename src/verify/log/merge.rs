//! Puts the entries of several files in order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// The most that is kept to be put in order.
const KEPT_LIMIT: usize = 1 << 30;

/// Where an entry belongs among those of its series.
type Place = (u64, u64);

/// Entries of files that number their entries together. The number orders them, whatever the clock did.
#[derive(Debug, Default)]
struct Series {
    entries: BTreeMap<Place, Vec<u8>>,
    /// The latest time of those that were dropped.
    dropped: u64,
}

impl Series {
    /// Texts with the time at which their turn has come: an entry never comes before one with a lower number.
    fn turns(self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        self.entries.into_iter().scan(self.dropped, |latest, ((_, realtime), text)| {
            *latest = realtime.max(*latest);
            Some((*latest, text))
        })
    }
}

/// Collects what is to be printed of entries, and puts it in order: within a series by number, series among each
/// other by time. That is also how journalctl does it.
#[derive(Debug, Default)]
pub(super) struct Merge {
    series: BTreeMap<[u8; 16], Series>,
    newest: Option<usize>,
    kept: usize,
}

impl Merge {
    /// `newest`: how many entries are wanted; all if `None`.
    pub(super) fn new(newest: Option<usize>) -> Self {
        Self { newest, ..Self::default() }
    }

    /// Adds an entry. The same entry in two files counts once. `false` if there is more than can be kept.
    pub(super) fn add(&mut self, seqnum_id: [u8; 16], seqnum: u64, realtime: u64, text: Vec<u8>) -> bool {
        /// What an entry costs beside its text.
        const COST: usize = 64;
        let series = self.series.entry(seqnum_id).or_default();
        self.kept += text.len() + COST;
        let replaced = series.entries.insert((seqnum, realtime), text);
        let mut dropped = None;
        // No more than that many of one series can be among the newest of all.
        if self.newest.is_some_and(|newest| series.entries.len() > newest)
            && let Some(((_, realtime), text)) = series.entries.pop_first()
        {
            series.dropped = realtime.max(series.dropped);
            dropped = Some(text);
        }
        for gone in [replaced, dropped].into_iter().flatten() {
            self.kept -= gone.len() + COST;
        }
        self.kept <= KEPT_LIMIT
    }

    /// Everything in order, newest last.
    pub(super) fn finish(self) -> Vec<Vec<u8>> {
        let mut series: Vec<_> = self.series.into_values().map(|series| series.turns().peekable()).collect();
        let mut heads = BinaryHeap::new();
        for (number, series) in series.iter_mut().enumerate() {
            heads.extend(series.peek().map(|(time, _)| Reverse((*time, number))));
        }
        let mut all = Vec::new();
        while let Some(Reverse((_, number))) = heads.pop() {
            all.extend(series[number].next().map(|(_, text)| text));
            heads.extend(series[number].peek().map(|(time, _)| Reverse((*time, number))));
        }
        if let Some(newest) = self.newest {
            all.drain(..all.len().saturating_sub(newest));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Series, number and time; the text says them too.
    const ENTRIES: [(u8, u64, u64); 7] =
        [(1, 1, 10), (2, 7, 15), (1, 2, 20), (1, 3, 5), (2, 8, 18), (1, 4, 30), (1, 2, 20)];

    fn merged(newest: Option<usize>) -> Vec<String> {
        let mut merge = Merge::new(newest);
        for (series, number, time) in ENTRIES {
            assert!(merge.add([series; 16], number, time, format!("{series}/{number}").into_bytes()));
        }
        merge.finish().into_iter().map(|text| String::from_utf8(text).unwrap()).collect()
    }

    #[test]
    fn numbers_order_within_a_series_and_times_between_them() {
        assert_eq!(merged(None), ["1/1", "2/7", "2/8", "1/2", "1/3", "1/4"]);
    }

    #[test]
    fn the_newest_are_the_end_of_all() {
        let all = merged(None);
        for newest in 0..8 {
            assert_eq!(merged(Some(newest)), all[all.len().saturating_sub(newest)..], "{newest}");
        }
    }

    #[test]
    fn what_is_dropped_is_not_counted() {
        let mut merge = Merge::new(Some(1));
        assert!((0..20).all(|number| merge.add([0; 16], number, number, vec![0; KEPT_LIMIT / 8])));
        let mut merge = Merge::new(None);
        assert!(!(0..20).all(|number| merge.add([0; 16], number, number, vec![0; KEPT_LIMIT / 8])));
    }
}
