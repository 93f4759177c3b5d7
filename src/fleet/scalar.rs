//! Values that are written as text and mean a number: sizes, prices, file modes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

macro_rules! text_in_json {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A size of memory or disk, written `512MiB` or `10GiB`: a whole number and a binary unit (IEC 80000-13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

impl FromStr for Bytes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |hint: String| Error::input(format!("{text:?} is not a size")).hint(hint);
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = (&text[..digits], text[digits..].trim_start());
        if number.is_empty() {
            return Err(wrong("a size is a whole number and one of KiB, MiB, GiB, TiB: 512MiB, 10GiB".into()));
        }
        let Some((_, shift)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            let near = match unit.chars().next().map(|c| c.to_ascii_uppercase()) {
                Some(c @ ('K' | 'M' | 'G' | 'T')) => format!("write {number}{c}iB"),
                _ => format!("add a unit (KiB, MiB, GiB, TiB): {number}GiB"),
            };
            return Err(wrong(near));
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(1 << shift))
            .filter(|bytes| *bytes > 0)
            .map(Bytes)
            .ok_or_else(|| wrong("it must be more than nothing, and fit into 64 bits".into()))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, shift)| self.0 > 0 && self.0.is_multiple_of(1 << shift)) {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Bytes {
    /// In GiB with one decimal, for people; [`fmt::Display`] is exact.
    pub fn rounded(self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
        let gib = self.0 as f64 / f64::from(1 << 30);
        format!("{gib:.1} GiB")
    }
}

text_in_json!(Bytes);

/// An amount of euros in whole cents, written `9.00`, `9.5` or `9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cents(pub u64);

impl FromStr for Cents {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        let (euros, cents) = text.split_once('.').unwrap_or((text, "00"));
        (digits(euros) && digits(cents) && cents.len() <= 2)
            .then(|| euros.parse::<u64>().ok()?.checked_mul(100)?.checked_add(format!("{cents:0<2}").parse().ok()?))
            .flatten()
            .map(Cents)
            .ok_or_else(|| {
                Error::input(format!("{text:?} is not a price")).hint("write euros and cents as text: \"9.00\"")
            })
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

text_in_json!(Cents);

/// A file's permission bits, written in octal as text: `0750`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mode(pub u32);

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|c| (b'0'..=b'7').contains(&c));
        octal.then(|| u32::from_str_radix(text, 8).ok()).flatten().map(Mode).ok_or_else(|| {
            Error::input(format!("{text:?} is not a file mode")).hint("a mode is three or four octal digits: \"0750\"")
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

text_in_json!(Mode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!("1GiB".parse::<Bytes>().unwrap(), Bytes(1 << 30));
        assert_eq!("1536MiB".parse::<Bytes>().unwrap().to_string(), "1536MiB");
        assert_eq!("2048MiB".parse::<Bytes>().unwrap().to_string(), "2GiB");
        for (wrong, hint) in [("10GB", "10GiB"), ("10", "10GiB"), ("ten", "whole number"), ("99999999999TiB", "64")] {
            let error = wrong.parse::<Bytes>().unwrap_err();
            assert!(error.hints()[0].contains(hint), "{wrong}: {error:?}");
        }
        assert!("0GiB".parse::<Bytes>().is_err());
        assert!("1.5GiB".parse::<Bytes>().is_err());
    }

    #[test]
    fn prices() {
        assert_eq!("9.00".parse::<Cents>().unwrap(), Cents(900));
        assert_eq!("12".parse::<Cents>().unwrap().to_string(), "12.00");
        assert_eq!("9.5".parse::<Cents>().unwrap(), Cents(950));
        for wrong in ["9,00", "-1.00", "", ".50", "9.001", "99999999999999999999"] {
            assert!(wrong.parse::<Cents>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn modes() {
        assert_eq!("0750".parse::<Mode>().unwrap(), Mode(0o750));
        assert_eq!("644".parse::<Mode>().unwrap().to_string(), "0644");
        for wrong in ["75", "0o750", "0898", "rwx", "00750"] {
            assert!(wrong.parse::<Mode>().is_err(), "{wrong}");
        }
    }
}
