//! What readers of YAML make of a word without quotes.
//!
//! YAML 1.1 (PyYAML, Ruby, kubectl for a long time) and 1.2 disagree, so a bare word that either of them
//! takes for something else is never silently taken for text.

/// What a bare word may be taken for; `None` when every reader sees the text.
pub(super) fn taken_for(text: &str) -> Option<&'static str> {
    if is_null(text) {
        return Some("nothing");
    }
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n") {
        return Some("a boolean");
    }
    if is_number(&lower) {
        return Some("a number");
    }
    if is_date(text) {
        return Some("a date");
    }
    matches!(text, "=" | "<<").then_some("a special key")
}

/// Whether it stands for no value.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn is_number(lower: &str) -> bool {
    let digits = lower.strip_prefix(['+', '-']).unwrap_or(lower);
    if matches!(digits, ".inf" | ".nan") {
        return true;
    }
    let all = |text: &str, ok: fn(&char) -> bool| {
        text.chars().any(|c| ok(&c)) && text.chars().all(|c| ok(&c) || c == '_')
    };
    for (prefix, ok) in [
        ("0x", (|c: &char| c.is_ascii_hexdigit()) as fn(&char) -> bool),
        ("0o", |c| c.is_digit(8)),
        ("0b", |c| c.is_digit(2)),
    ] {
        if digits.strip_prefix(prefix).is_some_and(|rest| all(rest, ok)) {
            return true;
        }
    }
    // Sexagesimal, as in 22:30 or 1:30:00.
    let mut parts = digits.split(':');
    let first = parts.next().unwrap_or_default();
    if digits.contains(':') {
        return all(first, char::is_ascii_digit)
            && parts.all(|part| {
                let whole = part.split('.').next().unwrap_or_default();
                (1..=2).contains(&whole.len()) && whole.parse::<u8>().is_ok_and(|n| n < 60)
            });
    }
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((digits, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let part = |text: &str| text.is_empty() || all(text, char::is_ascii_digit);
    (!whole.is_empty() || !fraction.is_empty())
        && part(whole)
        && part(fraction)
        && all(exponent, char::is_ascii_digit)
}

fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let digits = |part: Option<&str>, len: std::ops::RangeInclusive<usize>| {
        part.is_some_and(|p| len.contains(&p.len()) && p.chars().all(|c| c.is_ascii_digit()))
    };
    let year = digits(parts.next(), 4..=4);
    let month = digits(parts.next(), 1..=2);
    let day = parts.next().unwrap_or_default();
    let end = day.find(|c: char| !c.is_ascii_digit()).unwrap_or(day.len());
    let rest = &day[end..];
    let time = rest.is_empty() || rest.starts_with(['T', 't', ' ', '\t']);
    year && month && digits(Some(&day[..end]), 1..=2) && time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_readers_disagree_about_are_known() {
        for word in [
            "no",
            "No",
            "NO",
            "on",
            "off",
            "y",
            "N",
            "yes",
            "true",
            "FALSE",
            "~",
            "null",
            "",
            "012",
            "12",
            "1_000",
            "0x1F",
            "0o17",
            "0b11",
            "1.5",
            ".5",
            "5.",
            "1e3",
            "-1",
            "+1",
            ".inf",
            "-.INF",
            ".NaN",
            "22:30",
            "1:30:00",
            "2001-01-01",
            "2001-1-1T10:00:00Z",
            "1.10",
            "1_0.5",
            "=",
            "<<",
        ] {
            assert!(taken_for(word).is_some(), "{word:?} is not text to everybody");
        }
    }

    #[test]
    fn plain_text_needs_no_quotes() {
        for word in [
            "none",
            "node",
            "once",
            "info",
            "./neuroca",
            "127.0.0.1:8080",
            "30s",
            "64KiB",
            "1.2.3",
            "e3",
            ".",
            "-",
            "-c",
            "v1",
            "2001-01",
            "10.0.0.0/8",
            "0x",
            "a:b",
            "sqlite://x",
            "_",
            "1e",
            "::1",
            "env:NAME",
            "2001-01-01x",
        ] {
            assert_eq!(taken_for(word), None, "{word:?}");
        }
    }
}
