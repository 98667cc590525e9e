//! Shares and factors as people write them: `1%`, `0.5%`; `1.15`, `2`.
//!
//! Kept as whole millionths, so that what is written is what is compared and hashed.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A share of a whole, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(pub u32);

/// A number that something is multiplied by, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Factor(pub u32);

const MILLION: u32 = 1_000_000;

impl Percent {
    /// From 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(MILLION)
    }
}

impl Factor {
    /// A whole factor.
    pub const fn whole(factor: u16) -> Self {
        Self(factor as u32 * MILLION)
    }

    pub fn value(self) -> f64 {
        f64::from(self.0) / f64::from(MILLION)
    }
}

/// Reads a decimal number as whole units of 10^-`places`; `None` when it is none, or too fine.
fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() > 9 {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places {
        return None;
    }
    format!("{whole}{fraction:0<places$}").parse().ok()
}

fn render(units: u32, places: usize) -> String {
    let one = 10_u32.pow(places as u32);
    let text = format!("{}.{:0places$}", units / one, units % one);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

impl FromStr for Percent {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').map(str::trim_end).and_then(|n| decimal(n, 4));
        match number {
            Some(units) if units <= u64::from(MILLION) => Ok(Self(units as u32)),
            Some(_) => Err(format!("`{text}` is more than 100%")),
            None => Err(format!(
                "`{text}` must be a percentage with four decimals at the most, for example `0.5%`"
            )),
        }
    }
}

impl FromStr for Factor {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match decimal(text, 6) {
            Some(units) if units <= u64::from(1_000 * MILLION) => Ok(Self(units as u32)),
            Some(_) => Err(format!("`{text}` is more than 1000")),
            None => Err(format!(
                "`{text}` must be a number with six decimals at the most, for example `1.15`"
            )),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", render(self.0, 4))
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(self.0, 6))
    }
}

macro_rules! as_text {
    ($name:ident, $types:tt, $example:literal, $pattern:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(de::Error::custom)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": $types, "pattern": $pattern, "examples": [$example]
                })
            }
        }
    };
}

as_text!(Percent, "string", "0.5%", r"^[0-9]+(\.[0-9]+)? ?%$");
as_text!(Factor, ["string", "number"], "1.15", r"^[0-9]+(\.[0-9]+)?$");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn written_and_read_again_is_the_same(units in 0u32..=MILLION) {
            prop_assert_eq!(Percent(units).to_string().parse::<Percent>(), Ok(Percent(units)));
            prop_assert_eq!(Factor(units).to_string().parse::<Factor>(), Ok(Factor(units)));
        }
    }

    #[test]
    fn people_write_them_as_they_are_used_to() {
        for (text, units) in [("1%", 10_000), ("0.05 %", 500), ("100%", MILLION), ("0.0001%", 1)] {
            assert_eq!(text.parse::<Percent>(), Ok(Percent(units)), "{text}");
        }
        for (text, units) in [("2", 2 * MILLION), ("1.15", 1_150_000), ("1.150", 1_150_000)] {
            assert_eq!(text.parse::<Factor>(), Ok(Factor(units)), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_with_an_example() {
        for text in ["1", "%", "-1%", "1e1%", "NaN%", ".5%", "0.00001%"] {
            assert_eq!(
                text.parse::<Percent>().unwrap_err(),
                format!(
                    "`{text}` must be a percentage with four decimals at the most, for example `0.5%`"
                )
            );
        }
        assert_eq!("101%".parse::<Percent>().unwrap_err(), "`101%` is more than 100%");
        for text in ["", "-1", "1.15x", "inf", "1.1234567"] {
            assert!(text.parse::<Factor>().unwrap_err().ends_with("for example `1.15`"), "{text}");
        }
    }
}
