//! Times and durations as people read them.

use std::sync::OnceLock;
use std::time::Instant;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Local date and time of milliseconds since the Unix epoch.
pub fn date(ms: u64) -> String {
    format(ms, "%Y-%m-%d %H:%M:%S")
}

/// Local time of day.
pub fn clock(ms: u64) -> String {
    format(ms, "%H:%M:%S")
}

fn format(ms: u64, pattern: &str) -> String {
    let Ok(at) = Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX)) else {
        return "?".into();
    };
    at.to_zoned(TimeZone::system()).strftime(pattern).to_string()
}

/// Milliseconds since the Unix epoch: by the machine's clock when this was first asked, and counted
/// from there. Whoever sets that clock meanwhile makes no wait longer or shorter.
pub fn now_ms() -> u64 {
    static BEGAN: OnceLock<(u64, Instant)> = OnceLock::new();
    let (wall, began) = BEGAN.get_or_init(|| {
        (u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0), Instant::now())
    });
    wall + began.elapsed().as_millis() as u64
}

/// `350ms`, `12s`, `3m 20s`, `5h 2m`, `3d 4h`.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 if ms > 0 => format!("{ms}ms"),
        0..60 => format!("{seconds}s"),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

fn two(large: u64, unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit} {small}{small_unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        assert_eq!((span(0), span(350)), ("0s".into(), "350ms".into()));
        assert_eq!(span(12_999), "12s");
        assert_eq!(span(200_000), "3m 20s");
        assert_eq!(span(3_600_000), "1h");
        assert_eq!(span(90_061_000), "1d 1h");
    }
}
