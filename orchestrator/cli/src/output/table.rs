//! Columns that line up. Knows widths and nothing of what the cells mean.

use super::Paint;

/// A table; the last column is not padded.
pub fn table(paint: Paint, head: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(n, title)| {
            rows.iter()
                .filter_map(|row| row.get(n))
                .map(|cell| visible(cell))
                .chain([title.len()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let titles: Vec<String> = head.iter().map(|title| paint.strong(title)).collect();
    let mut out = line(&titles, &widths);
    for row in rows {
        out.push_str(&line(row, &widths));
    }
    out
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut out = String::new();
    for (n, cell) in cells.iter().enumerate() {
        out.push_str(cell);
        if n + 1 < cells.len() {
            let pad = widths.get(n).map_or(0, |w| w.saturating_sub(visible(cell)));
            out.push_str(&" ".repeat(pad + 2));
        }
    }
    format!("{}\n", out.trim_end())
}

/// Characters that take room: colours do not.
pub fn visible(text: &str) -> usize {
    let mut count = 0;
    let mut in_code = false;
    for c in text.chars() {
        match (in_code, c) {
            (false, '\x1b') => in_code = true,
            (true, 'm') => in_code = false,
            (true, _) => {}
            (false, _) => count += 1,
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_do_not_move_columns() {
        let rows = vec![vec![Paint(true).good("ab"), "x".into()], vec!["abcd".into(), "y".into()]];
        let text = table(Paint(false), &["N", "V"], &rows);
        assert_eq!(text, "N     V\n\x1b[32mab\x1b[0m    x\nabcd  y\n");
    }
}
