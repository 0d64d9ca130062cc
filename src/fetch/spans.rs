//! Which bytes of a file are there, and what a server says about the part it sends.

use std::ops::Range;

/// Parts of a file, kept apart only where something is missing between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Spans(Vec<Range<u64>>);

impl Spans {
    /// The first `bytes` of a file.
    pub(crate) fn prefix_of(bytes: u64) -> Self {
        let mut spans = Self::default();
        spans.add(0..bytes);
        spans
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a part. It may touch or overlap others.
    pub(crate) fn add(&mut self, part: Range<u64>) {
        if part.is_empty() {
            return;
        }
        let first = self.0.partition_point(|span| span.end < part.start);
        let last = self.0.partition_point(|span| span.start <= part.end);
        let merged = self.0[first..last]
            .iter()
            .fold(part, |all, span| all.start.min(span.start)..all.end.max(span.end));
        self.0.splice(first..last, [merged]);
    }

    /// How many bytes are there from the start without a gap.
    pub(crate) fn prefix(&self) -> u64 {
        self.0.first().filter(|span| span.start == 0).map_or(0, |span| span.end)
    }

    /// How many bytes are there.
    pub(crate) fn covered(&self) -> u64 {
        self.0.iter().map(|span| span.end - span.start).sum()
    }

    /// The first part that is missing before `end`.
    pub(crate) fn gap(&self, end: u64) -> Option<Range<u64>> {
        let start = self.prefix();
        let next = self.0.iter().map(|span| span.start).find(|next| *next > start);
        let gap = start..next.unwrap_or(end).min(end);
        (!gap.is_empty()).then_some(gap)
    }
}

/// The value of `Content-Range`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// The part that is sent; `None` where the server says that there is no such part.
    pub(crate) part: Option<Range<u64>>,
    /// The length of the whole file, if the server knows it.
    pub(crate) total: Option<u64>,
}

impl ContentRange {
    /// Reads `bytes 0-9/100`, `bytes 0-9/*` or `bytes */100`; `None` if it makes no sense.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (unit, rest) = value.trim().split_once(' ')?;
        let (part, total) = rest.trim().split_once('/')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let total = match total {
            "*" => None,
            total => Some(number(total)?),
        };
        let part = match part {
            "*" => None,
            part => {
                let (first, last) = part.split_once('-')?;
                let (first, end) = (number(first)?, number(last)?.checked_add(1)?);
                if first >= end || total.is_some_and(|total| end > total) {
                    return None;
                }
                Some(first..end)
            }
        };
        Some(Self { part, total })
    }
}

fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_content_range_is_read_or_refused() {
        let cases = [
            ("bytes 0-9/100", Some((Some(0..10), Some(100)))),
            ("Bytes 90-99/100", Some((Some(90..100), Some(100)))),
            ("bytes 5-5/*", Some((Some(5..6), None))),
            ("bytes */100", Some((None, Some(100)))),
            ("bytes 90-100/100", None),
            ("bytes 9-0/100", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes +1-2/3", None),
            ("bytes 1-/3", None),
            ("bytes 1/3", None),
            ("items 0-9/100", None),
            ("bytes", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let read = ContentRange::parse(text).map(|range| (range.part, range.total));
            assert_eq!(read, expected, "{text:?}");
        }
    }

    #[test]
    fn gaps_are_what_is_missing() {
        let mut spans = Spans::default();
        assert_eq!((spans.gap(10), spans.gap(0)), (Some(0..10), None));
        spans.add(4..6);
        assert_eq!((spans.prefix(), spans.gap(10)), (0, Some(0..4)));
        spans.add(0..4);
        assert_eq!((spans.prefix(), spans.gap(10), spans.covered()), (6, Some(6..10), 6));
        spans.add(6..10);
        assert_eq!((spans.gap(10), &spans), (None, &Spans::prefix_of(10)));
    }

    proptest! {
        #[test]
        fn no_content_range_makes_the_parser_panic(text: String, first: u64, last: u64, total: u64) {
            ContentRange::parse(&text);
            ContentRange::parse(&format!("bytes {first}-{last}/{total}"));
        }

        /// A vector of flags is the simplest model of which bytes are there.
        #[test]
        fn spans_agree_with_flags(parts in prop::collection::vec((0u64..64, 0u64..16), 0..12)) {
            let (mut spans, mut flags) = (Spans::default(), [false; 96]);
            for (start, length) in parts {
                spans.add(start..start + length);
                flags[start as usize..(start + length) as usize].fill(true);
            }
            let prefix = flags.iter().take_while(|flag| **flag).count();
            let covered = flags.iter().filter(|flag| **flag).count();
            let hole = flags[prefix..].iter().take_while(|flag| !**flag).count();
            prop_assert_eq!(spans.prefix(), prefix as u64);
            prop_assert_eq!(spans.covered(), covered as u64);
            prop_assert_eq!(spans.gap(96), Some(prefix as u64..(prefix + hole) as u64));
        }
    }
}
