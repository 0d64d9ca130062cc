//! Many things in one sentence.

/// The first `most` of many things, with `between` two of them, and how many more there are behind `end`. None for
/// nothing.
pub(crate) fn listed(things: &[String], most: usize, between: &str, end: &str) -> Option<String> {
    let shown = things.get(..most).unwrap_or(things).join(between);
    match things.len().saturating_sub(most) {
        _ if things.is_empty() => None,
        0 => Some(shown),
        more => Some(format!("{shown}{end}and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_counted() {
        let things: Vec<_> = (1..=7).map(|number| number.to_string()).collect();
        for (count, expected) in [
            (0, None),
            (1, Some("1")),
            (5, Some("1; 2; 3; 4; 5")),
            (6, Some("1; 2; 3; 4; 5; and 1 more")),
            (7, Some("1; 2; 3; 4; 5; and 2 more")),
        ] {
            assert_eq!(listed(&things[..count], 5, "; ", "; ").as_deref(), expected);
        }
        assert_eq!(listed(&things, 5, ", ", " ").as_deref(), Some("1, 2, 3, 4, 5 and 2 more"));
    }
}
