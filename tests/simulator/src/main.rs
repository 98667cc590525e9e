//! The binary `simulator`: plays histories, tells one, hunts for what a broken machine breaks.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use neuroca_simulator::{Campaign, Mutation, Play, Totals, campaign, play, script, shrink, tell};

/// Plays seeded histories of rollouts in a simulated world, and checks the invariants after each
/// event. Exit: 0 they hold (or each mutation was caught), 1 one was broken, 64 usage.
#[derive(Parser)]
#[command(name = "simulator", version)]
struct Arguments {
    /// Tell the history of this seed
    #[arg(long)]
    seed: Option<u64>,
    /// Play so many histories
    #[arg(long, default_value_t = 100_000)]
    histories: u64,
    /// The seed of the first one
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Threads to play them on
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Break the machine in each known way, and play until that is noticed
    #[arg(long)]
    mutations: bool,
    /// With --seed: tell it with the machine broken in this way
    #[arg(long)]
    mutation: Option<String>,
    /// With --seed: do not make a failing history short
    #[arg(long)]
    whole: bool,
    /// Go on after a violation, and tell the first of each rule
    #[arg(long)]
    go_on: bool,
    /// List which events met which states, and how often
    #[arg(long)]
    coverage: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        let usage = error.use_stderr();
        // With nobody on the other side there is nobody to tell.
        let _ = error.print();
        std::process::exit(if usage { 64 } else { 0 })
    });
    let mut out = std::io::stdout().lock();
    let held = match (arguments.seed, arguments.mutations) {
        (Some(seed), _) => one(&arguments, seed, &mut out),
        (None, true) => mutations(&arguments, &mut out),
        (None, false) => many(&arguments, &mut out),
    };
    match held {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

fn one(arguments: &Arguments, seed: u64, out: &mut impl Write) -> std::io::Result<bool> {
    let named = |name: &String| {
        let mut all = Mutation::ALL.into_iter();
        all.find(|m| format!("{m:?}") == *name).unwrap_or_else(|| {
            let names: Vec<String> = Mutation::ALL.iter().map(|m| format!("{m:?}")).collect();
            let _ = writeln!(out, "no mutation {name}; there are: {}", names.join(", "));
            std::process::exit(64)
        })
    };
    let mutation = arguments.mutation.as_ref().map(named);
    let how = Play { mutation, tell: true };
    let mut script = script(seed);
    let mut played = play(&script, how);
    if let Some(violation) = played.violation.as_ref().filter(|_| !arguments.whole) {
        script = shrink(&script, how, violation.rule);
        played = play(&script, how);
    }
    writeln!(out, "seed {seed}\n{}", tell(&script, &played))?;
    Ok(played.violation.is_none())
}

fn many(arguments: &Arguments, out: &mut impl Write) -> std::io::Result<bool> {
    let started = Instant::now();
    let totals = campaign(Campaign {
        first_seed: arguments.first,
        histories: arguments.histories,
        threads: arguments.threads,
        mutation: None,
        go_on: arguments.go_on,
    });
    let seconds = started.elapsed().as_secs_f64();
    // What a history that was cut short did not meet says nothing.
    let broken = !totals.broken.is_empty();
    let (missing, impossible) = if broken { Default::default() } else { totals.coverage_gaps() };
    if arguments.json {
        writeln!(out, "{}", json(&totals, seconds, &missing, &impossible))?;
        return Ok(totals.broken.is_empty());
    }
    writeln!(
        out,
        "{} histories in {seconds:.1} s ({:.0} a second); distinct: {} scripts, {} courses, {} orders of events",
        totals.histories,
        totals.histories as f64 / seconds,
        totals.scripts,
        totals.traces,
        totals.shapes,
    )?;
    writeln!(out, "{} ended as the same history without faults ends", totals.compared)?;
    if arguments.coverage {
        for (pair, count) in totals.coverage.counted() {
            writeln!(out, "{count:>10}  {pair}")?;
        }
    }
    let met = totals.coverage.pairs().len() - impossible.len();
    if !broken {
        let all = met + missing.len();
        writeln!(out, "{met} of {all} reachable pairs of state and event were met")?;
    }
    for pair in missing.iter().take(if arguments.coverage { usize::MAX } else { 5 }) {
        writeln!(out, "  not met: {pair}")?;
    }
    for pair in impossible {
        writeln!(out, "  met, though it is not known to be reachable: {pair}")?;
    }
    for (seed, violation) in &totals.broken {
        writeln!(out, "seed {seed} breaks {:?}: {}", violation.rule, violation.what)?;
    }
    for (seed, _) in &totals.broken {
        writeln!(out)?;
        one(arguments, *seed, out)?;
    }
    Ok(totals.broken.is_empty())
}

fn json(
    totals: &Totals,
    seconds: f64,
    missing: &[String],
    impossible: &[String],
) -> serde_json::Value {
    serde_json::json!({
        "histories": totals.histories,
        "seconds": seconds,
        "distinct_scripts": totals.scripts,
        "distinct_courses": totals.traces,
        "distinct_orders_of_events": totals.shapes,
        "compared_with_no_faults": totals.compared,
        "pairs_met": totals.coverage.pairs().len(),
        "pairs_not_met": missing,
        "pairs_unexpected": impossible,
        "coverage": totals.coverage.counted()
            .map(|(pair, count)| (pair.to_string(), count.into()))
            .collect::<serde_json::Map<_, _>>(),
        "violations": totals.broken.iter()
            .map(|(seed, v)| serde_json::json!({
                "seed": seed, "rule": format!("{:?}", v.rule), "what": v.what
            }))
            .collect::<Vec<_>>(),
    })
}

fn mutations(arguments: &Arguments, out: &mut impl Write) -> std::io::Result<bool> {
    let mut all_caught = true;
    for mutation in Mutation::ALL {
        let totals = campaign(Campaign {
            first_seed: arguments.first,
            histories: arguments.histories,
            threads: arguments.threads,
            mutation: Some(mutation),
            go_on: false,
        });
        all_caught &= !totals.broken.is_empty();
        let caught = totals.broken.first();
        if arguments.json {
            let line = serde_json::json!({
                "mutation": format!("{mutation:?}"),
                "caught_after": caught.map(|_| totals.histories),
                "rule": caught.map(|(_, v)| format!("{:?}", v.rule)),
                "seed": caught.map(|(seed, _)| seed),
            });
            writeln!(out, "{line}")?;
            continue;
        }
        match caught {
            Some((seed, v)) => writeln!(
                out,
                "{mutation:?}: caught after {} histories, seed {seed}: {:?}: {}",
                totals.histories, v.rule, v.what
            )?,
            None => writeln!(out, "{mutation:?}: NOT CAUGHT in {} histories", totals.histories)?,
        }
    }
    Ok(all_caught)
}
