//! Sizes in bytes, as people write and read them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// A number of bytes. Reads `5G`, `5GiB`, `700 MiB`, `4096`; all units are powers of 1024.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(pub u64);

/// Text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size; write it like `5GiB`, `700M` or a number of bytes")]
pub struct BadSize(String);

impl FromStr for Size {
    type Err = BadSize;

    fn from_str(text: &str) -> Result<Self, BadSize> {
        let bad = || BadSize(text.to_owned());
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let unit = unit.trim().to_ascii_lowercase();
        let factor = match unit.as_str() {
            "" | "b" => 1,
            _ => UNITS
                .iter()
                .find(|(name, _)| {
                    let name = name.to_ascii_lowercase();
                    unit == name || unit == name[..1] || unit == format!("{}b", &name[..1])
                })
                .map(|(_, factor)| *factor)
                .ok_or_else(bad)?,
        };
        number.checked_mul(factor).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().rev().find(|(_, factor)| self.0 >= *factor) {
            None => write!(f, "{} B", self.0),
            Some((unit, factor)) if self.0.is_multiple_of(*factor) => write!(f, "{} {unit}", self.0 / factor),
            #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
            Some((unit, factor)) => write!(f, "{:.1} {unit}", self.0 as f64 / *factor as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading() {
        for (text, bytes) in [
            ("4096", 4096),
            ("5G", 5 << 30),
            ("5GiB", 5 << 30),
            ("5gb", 5 << 30),
            ("700 MiB", 700 << 20),
            (" 1 t ", 1 << 40),
            ("0", 0),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "G", "-1", "1.5G", "5X", "99999999999999999999", "99999999T"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn showing() {
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (4 << 30, "4 GiB"), (1_500_000, "1.4 MiB")] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }
}
