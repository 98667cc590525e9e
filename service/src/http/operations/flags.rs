//! Feature flags and experiments over HTTP.

use axum::http::Method;

use crate::auth::Role;
use crate::flags::{Definition, Document, Experiment};
use crate::http::contract::Operation;
use crate::http::{experiments, flags, ofrep};

pub(super) fn all() -> Vec<Operation> {
    let mut all = of_flags();
    all.extend(of_experiments());
    all.extend(of_the_protocol());
    all
}

fn of_flags() -> Vec<Operation> {
    let (all, one) = ("/v1/admin/flags", "/v1/admin/flags/{key}");
    vec![
        Operation::new(Method::GET, all, "listFlags", "All flags, as flagd's file", flags::list)
            .role(Role::Operator)
            .tagged::<Document>(200, "The flags."),
        Operation::new(
            Method::PUT,
            all,
            "replaceFlags",
            "Other flags in the place of all, from flagd's file",
            flags::replace,
        )
        .role(Role::Operator)
        .header("If-Match")
        .body::<Document>()
        .tagged::<Document>(200, "They are evaluated on all replicas within a second."),
        Operation::new(Method::GET, one, "readFlag", "A flag", flags::read)
            .role(Role::Operator)
            .tagged::<Definition>(200, "The flag."),
        Operation::new(Method::PUT, one, "putFlag", "Make a flag, or change it", flags::put)
            .role(Role::Operator)
            .header("If-Match")
            .body::<Definition>()
            .tagged::<Definition>(200, "It is evaluated on all replicas within a second."),
        Operation::new(Method::DELETE, one, "deleteFlag", "Delete a flag", flags::delete)
            .role(Role::Operator)
            .header("If-Match")
            .empty(204, "It is gone on all replicas within a second."),
    ]
}

fn of_experiments() -> Vec<Operation> {
    let (all, one) = ("/v1/admin/experiments", "/v1/admin/experiments/{key}");
    vec![
        Operation::new(
            Method::GET,
            all,
            "listExperiments",
            "What is being tried, or was",
            experiments::list,
        )
        .role(Role::Operator)
        .json::<experiments::Tried>(200, "All of it."),
        Operation::new(Method::GET, one, "readExperiment", "An experiment", experiments::read)
            .role(Role::Operator)
            .json::<Experiment>(200, "The experiment."),
        Operation::new(
            Method::PUT,
            one,
            "putExperiment",
            "Begin or end an experiment with a flag that draws lots",
            experiments::put,
        )
        .role(Role::Operator)
        .body::<experiments::ExperimentWish>()
        .json::<Experiment>(200, "The experiment."),
        Operation::new(
            Method::DELETE,
            one,
            "deleteExperiment",
            "Delete an experiment; its flag stays",
            experiments::delete,
        )
        .role(Role::Operator)
        .empty(204, "It is gone."),
    ]
}

/// Viewers may ask: what asks is an application, whose key should not switch anything.
fn of_the_protocol() -> Vec<Operation> {
    let all = "/ofrep/v1/evaluate/flags";
    vec![
        Operation::new(
            Method::POST,
            all,
            "evaluateFlags",
            "What all flags are (OFREP)",
            ofrep::all,
        )
        .role(Role::Viewer)
        .reads_only()
        .header("If-None-Match")
        .body::<ofrep::Question>()
        .tagged::<ofrep::FlagAnswers>(200, "All flags.")
        .empty(304, "The client has these already.")
        .json::<ofrep::FlagFailure>(400, "The question cannot be understood."),
        Operation::new(
            Method::POST,
            "/ofrep/v1/evaluate/flags/{key}",
            "evaluateFlag",
            "What a flag is (OFREP)",
            ofrep::one,
        )
        .role(Role::Viewer)
        .reads_only()
        .body::<ofrep::Question>()
        .json::<ofrep::FlagSuccess>(200, "The flag.")
        .json::<ofrep::FlagFailure>(400, "It cannot be evaluated.")
        .json::<ofrep::FlagFailure>(404, "There is no such flag."),
    ]
}
