//! Curves of shares over time in one line of blocks each. Knows widths, not what is drawn.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How much of `of` had happened at each column's end; `times` and `horizon` in seconds.
pub fn rising(times: &[f64], of: usize, horizon: f64, width: usize) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    (1..=width)
        .map(|column| {
            let until = horizon * column as f64 / width as f64;
            block(sorted.partition_point(|time| *time <= until), of)
        })
        .collect()
}

/// Nothing, a block by eighths, or the full one for all alone.
fn block(hits: usize, of: usize) -> char {
    match hits {
        0 => '·',
        _ if hits >= of => BLOCKS[7],
        _ => BLOCKS[(hits * 7 / of).min(6)],
    }
}

/// Marks below a curve: each at its time, as long as it does not run into the one before.
pub fn marks(marks: &[(f64, String)], horizon: f64, width: usize) -> String {
    let mut line = String::new();
    let mut taken = 0;
    for (time, text) in marks {
        let length = text.chars().count();
        let column = ((time / horizon) * width as f64).round().max(0.0) as usize;
        // What would stick out at the right end is moved to the left.
        let column = column.min(width.saturating_sub(length));
        if column < taken || length > width {
            continue;
        }
        let now = line.chars().count();
        line.push_str(&" ".repeat(column - now));
        line.push_str(text);
        taken = column + length + 1;
    }
    line
}

/// Times on an axis that are round numbers, at most `most` of them.
pub fn ticks(horizon: f64, most: usize) -> Vec<f64> {
    let steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200];
    let fits = |step: &&i32| horizon / f64::from(**step) <= most as f64;
    let step = steps.iter().find(fits).map_or(86_400.0, |step| f64::from(*step));
    let count = ((horizon / step).floor() as usize).min(most);
    (0..=count).map(|n| n as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_from_dots_to_full_blocks() {
        let times: Vec<f64> = (1..=8).map(f64::from).collect();
        assert_eq!(rising(&times, 8, 10.0, 10), "▁▂▃▄▅▆▇███");
        assert_eq!(rising(&[5.0], 100, 10.0, 4), "·▁▁▁");
        assert_eq!(rising(&[], 8, 10.0, 3), "···");
    }

    #[test]
    fn marks_do_not_run_into_each_other() {
        let at = |times: &[(f64, &str)]| {
            let owned: Vec<(f64, String)> =
                times.iter().map(|(t, s)| (*t, s.to_string())).collect();
            marks(&owned, 100.0, 20)
        };
        assert_eq!(at(&[(0.0, "0s"), (50.0, "50s"), (100.0, "100s")]), "0s        50s   100s");
        assert_eq!(at(&[(0.0, "0123456"), (10.0, "lost"), (50.0, "50s")]), "0123456   50s");
        assert_eq!(at(&[(0.0, "much longer than the line is wide")]), "");
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(250.0, 6), [0.0, 60.0, 120.0, 180.0, 240.0]);
        assert_eq!(ticks(9.0, 6), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert!(ticks(1e9, 6).len() <= 7);
    }
}
