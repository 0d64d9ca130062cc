//! The order of package versions, as dpkg and rpm have it.

use std::cmp::Ordering;

/// A version without its epoch.
pub(crate) fn split_epoch(version: &str) -> (Option<&str>, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) if !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit()) => {
            (Some(epoch), rest)
        }
        _ => (None, version),
    }
}

/// Orders numbers of any length.
fn numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Cuts what begins a text and fulfils a condition.
fn cut<'a>(text: &mut &'a str, belongs: impl Fn(u8) -> bool) -> &'a str {
    let end = text.bytes().position(|byte| !belongs(byte)).unwrap_or(text.len());
    // Whatever is not ASCII belongs with other signs, so an end is never inside of a character.
    let end = (end..=text.len()).find(|&end| text.is_char_boundary(end)).unwrap_or(text.len());
    let (part, rest) = text.split_at(end);
    *text = rest;
    part
}

/// dpkg's order: `[epoch:]upstream[-revision]` (deb-version(7)).
pub(crate) fn dpkg(a: &str, b: &str) -> Ordering {
    let ((a_epoch, a), (b_epoch, b)) = (split_epoch(a), split_epoch(b));
    let revision = |version| match str::rsplit_once(version, '-') {
        Some((upstream, revision)) => (upstream, revision),
        None => (version, ""),
    };
    let ((a, a_revision), (b, b_revision)) = (revision(a), revision(b));
    numbers(a_epoch.unwrap_or_default(), b_epoch.unwrap_or_default())
        .then_with(|| dpkg_part(a, b))
        .then_with(|| dpkg_part(a_revision, b_revision))
}

/// By turns: a run of other signs, in an order of their own, and a number.
fn dpkg_part(mut a: &str, mut b: &str) -> Ordering {
    let signs = |byte: u8| !byte.is_ascii_digit();
    while !a.is_empty() || !b.is_empty() {
        let (x, y) = (cut(&mut a, signs), cut(&mut b, signs));
        // The end of a text sorts before anything but a tilde.
        let weights = |text: &str| text.bytes().map(weight).chain([0]).collect::<Vec<_>>();
        let ordering = weights(x)
            .cmp(&weights(y))
            .then_with(|| numbers(cut(&mut a, |b| b.is_ascii_digit()), cut(&mut b, |b| b.is_ascii_digit())));
        if ordering.is_ne() {
            return ordering;
        }
    }
    Ordering::Equal
}

/// Letters before other signs, a tilde before everything, even the end.
fn weight(byte: u8) -> i16 {
    match byte {
        b'~' => -1,
        byte if byte.is_ascii_alphabetic() => i16::from(byte),
        byte => i16::from(byte) + 256,
    }
}

/// rpm's order: `[epoch:]version[-release]`.
pub(crate) fn rpm(a: &str, b: &str) -> Ordering {
    let ((a_epoch, a), (b_epoch, b)) = (split_epoch(a), split_epoch(b));
    let release = |version| match str::rsplit_once(version, '-') {
        Some((version, release)) => (version, Some(release)),
        None => (version, None),
    };
    let ((a, a_release), (b, b_release)) = (release(a), release(b));
    numbers(a_epoch.unwrap_or_default(), b_epoch.unwrap_or_default()).then_with(|| rpm_part(a, b)).then_with(
        || match (a_release, b_release) {
            (Some(a), Some(b)) => rpm_part(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        },
    )
}

/// Segments of digits or letters are compared one by one; what lies between only separates them, but for a tilde,
/// which sorts before the end, and a caret, which sorts after it and before anything else.
fn rpm_part<'a>(mut a: &'a str, mut b: &'a str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    loop {
        for text in [&mut a, &mut b] {
            cut(text, |byte| !byte.is_ascii_alphanumeric() && byte != b'~' && byte != b'^');
        }
        match (a.strip_prefix('~'), b.strip_prefix('~')) {
            (Some(rest_a), Some(rest_b)) => {
                (a, b) = (rest_a, rest_b);
                continue;
            }
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        match (a.strip_prefix('^'), b.strip_prefix('^')) {
            (Some(rest_a), Some(rest_b)) => {
                (a, b) = (rest_a, rest_b);
                continue;
            }
            (Some(_), None) => return if b.is_empty() { Ordering::Greater } else { Ordering::Less },
            (None, Some(_)) => return if a.is_empty() { Ordering::Less } else { Ordering::Greater },
            (None, None) => {}
        }
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        let digits = a.starts_with(|c: char| c.is_ascii_digit());
        let belongs = |byte: u8| if digits { byte.is_ascii_digit() } else { byte.is_ascii_alphabetic() };
        let (x, y) = (cut(&mut a, belongs), cut(&mut b, belongs));
        if y.is_empty() {
            // A number is newer than letters.
            return if digits { Ordering::Greater } else { Ordering::Less };
        }
        let ordering = if digits { numbers(x, y) } else { x.cmp(y) };
        if ordering.is_ne() {
            return ordering;
        }
    }
}

#[cfg(test)]
#[path = "version_tests.rs"]
mod tests;
