//! The time, and times for people. All of them are UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::civil::Date;
use jiff::{Span, Timestamp, civil};

/// Seconds of a day.
pub(crate) const DAY: u64 = 24 * 60 * 60;

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    seconds(SystemTime::now())
}

/// The day it is.
pub(crate) fn today() -> Date {
    Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::UTC).date()
}

/// How long after the beginning of 1970 a time is; nothing for an earlier one.
pub(crate) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The same in whole seconds.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    since_1970(time).as_secs()
}

/// The day so many days after 1970 began; none when the calendar does not reach so far.
pub(crate) fn day(days: i64) -> Option<Date> {
    civil::date(1970, 1, 1).checked_add(Span::new().try_days(days).ok()?).ok()
}

/// The day of a time, `2024-02-03`.
pub(crate) fn date(time: SystemTime) -> String {
    Timestamp::try_from(time)
        .map_or_else(|_| "unknown".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}

/// A time in seconds since 1970, `2024-02-03 04:05:06`. Damaged file systems have times that no calendar reaches, so
/// this counts itself.
pub(crate) fn utc(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to a civil date with years that begin in March, so that leap days come last.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    format!(
        "{:04}-{month:02}-{:02} {:02}:{:02}:{:02}",
        era * 400 + year + i64::from(month <= 2),
        day - (153 * march + 2) / 5 + 1,
        second / 3600,
        second / 60 % 60,
        second % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_706_933_106, "2024-02-03 04:05:06"),
            (4_107_542_399, "2100-02-28 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
        // Absurd times of a damaged image are shown somehow.
        for seconds in [i64::MIN, i64::MAX] {
            assert!(!utc(seconds).is_empty());
        }
    }

    #[test]
    fn edges() {
        assert_eq!(seconds(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert!([i64::MIN, i64::MAX].map(day).iter().all(Option::is_none));
        assert_eq!(date(UNIX_EPOCH + Duration::from_secs(19_756 * DAY)), "2024-02-03");
    }

    #[test]
    fn days_are_those_of_date() {
        for days in [0_i64, 1, 59, 11_016, 19_782, 20_781, 99_999] {
            let output = std::process::Command::new("date")
                .args(["-u", "-d", &format!("1970-01-01 +{days} days"), "+%F"])
                .output()
                .unwrap();
            let expected = String::from_utf8(output.stdout).unwrap();
            assert_eq!(day(days).unwrap().to_string(), expected.trim());
        }
    }
}
