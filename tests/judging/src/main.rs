//! `judging FIGURE`: measures one figure and prints it as JSON.

use clap::Parser;
use neuroca_judging::{detection, false_alarms, promotion, side_by_side};

/// Measures the judge by simulation.
#[derive(Parser)]
struct Options {
    /// 2: false alarms, 3: detection, 4: promotion, 5: side by side with others.
    #[arg(value_parser = clap::value_parser!(u8).range(2..=5))]
    figure: u8,
    /// Runs of each case; those that take long get a part of it.
    #[arg(long, default_value_t = 10_000)]
    runs: u32,
    /// The same seed gives the same figure.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Options { figure, runs, seed } = Options::parse();
    let measure = match figure {
        2 => false_alarms::measure,
        3 => detection::measure,
        4 => promotion::measure,
        _ => side_by_side::measure,
    };
    serde_json::to_writer(std::io::stdout().lock(), &measure(runs.max(1), seed))?;
    Ok(())
}
