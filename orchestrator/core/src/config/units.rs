//! Durations and sizes as people write them: `500ms`, `30s`, `5m`, `1h`; `64KiB`, `10MiB`.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

const TIMES: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: &[(&str, u64)] =
    &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

fn parse(text: &str, units: &[(&str, u64)], example: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(|| {
        let names: Vec<_> = units.iter().map(|(name, _)| *name).collect();
        format!(
            "`{text}` needs a whole number and one of {}, for example `{example}`",
            names.join(", ")
        )
    })?;
    let number: u64 = number.parse().map_err(|_| {
        format!("`{text}` does not start with a whole number, for example `{example}`")
    })?;
    number.checked_mul(*factor).ok_or_else(|| format!("`{text}` is too large"))
}

/// The largest unit that divides the value, so that writing and reading give the same value.
fn render(value: u64, units: &[(&str, u64)]) -> String {
    let (name, factor) = units
        .iter()
        .rev()
        .find(|(_, factor)| value != 0 && value.is_multiple_of(*factor))
        .unwrap_or(&units[0]);
    format!("{}{name}", value / factor)
}

macro_rules! unit {
    ($name:ident, $units:ident, $example:literal, $pattern:literal) => {
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                parse(text, $units, $example).map(Self)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&render(self.0, $units))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(de::Error::custom)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "examples": [$example] })
            }
        }
    };
}

unit!(Millis, TIMES, "30s", "^[0-9]+(ms|s|m|h|d)$");
unit!(Bytes, SIZES, "64KiB", "^[0-9]+(B|KiB|MiB|GiB|TiB)$");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn written_and_read_again_is_the_same(value in 0u64..u64::MAX / 2) {
            prop_assert_eq!(Millis(value).to_string().parse::<Millis>(), Ok(Millis(value)));
            prop_assert_eq!(Bytes(value).to_string().parse::<Bytes>(), Ok(Bytes(value)));
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_an_example() {
        assert_eq!(
            "30".parse::<Millis>().unwrap_err(),
            "`30` needs a whole number and one of ms, s, m, h, d, for example `30s`"
        );
    }
}
