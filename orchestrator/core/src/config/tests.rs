//! What people see when a configuration is read.

mod images;
mod kubernetes;
mod layering;
mod mistakes;
mod pitfalls;
mod rollout;
mod shipped;

use super::{ConfigErrors, Inputs, Resolved, SourceFile, base_of, extends_of, resolve};

/// The smallest environment; tests add to it.
const SMALL: &str =
    "project: demo\ncomponents:\n  web:\n    artifact: ./web\n    command: [./run]\n";

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.into(), text: text.into() }
}

fn inputs(texts: &[&str]) -> Inputs {
    let files =
        texts.iter().enumerate().map(|(i, text)| file(&format!("environments/{i}.yaml"), text));
    Inputs { files: files.collect(), ..Inputs::default() }
}

fn resolved(texts: &[&str]) -> Resolved {
    resolve(&inputs(texts)).unwrap_or_else(|errors| panic!("not valid:\n{errors}"))
}

fn errors(texts: &[&str]) -> ConfigErrors {
    resolve(&inputs(texts)).expect_err("this configuration is wrong")
}

/// `SMALL` with lines added to the component.
fn web(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("{SMALL}{lines}")
}
