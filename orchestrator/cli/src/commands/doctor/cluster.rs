//! An environment on a cluster: access, rights, Gateway, state.

use neuroca_deploy_core::config::model::Environment;
use neuroca_deploy_kubernetes::rights;

use super::{Checks, secrets};
use crate::context::Context;
use crate::error::Failure;
use crate::site::{KubernetesSite, Site};

/// What has to be so before anything can be deployed.
pub async fn examine(
    ctx: &Context,
    site: &Site,
    on: &KubernetesSite,
    environment: &Environment,
    checks: &mut Checks,
) {
    let namespace = &on.cluster.names.namespace;
    match rights::version(&on.cluster).await {
        Ok(version) => checks.good("cluster", format!("Kubernetes {version} answers")),
        Err(error) => return checks.failure("cluster", &on.refused(&error)),
    }
    match rights::missing(&on.cluster).await {
        Ok(missing) if missing.is_empty() => {
            checks.good("rights", format!("everything that a rollout does, in {namespace}"));
        }
        Ok(missing) => {
            let what = format!("in {namespace} this user may not {}", missing.join(", "));
            checks.bad("rights", what, "ask for a Role with these verbs");
        }
        Err(error) => checks.failure("rights", &on.refused(&error)),
    }
    gateway(on, environment, checks).await;
    if environment.components.values().any(|component| !component.secrets.is_empty()) {
        secrets(site.secrets(&ctx.project).await, environment, checks);
    }
    let base = match site.store() {
        Ok(store) => store.base().await.map_err(|e| Failure::of_store(e, &site.environment)),
        Err(failure) => Err(failure),
    };
    match base {
        Ok(base) => checks.good("state", format!("readable, at number {}", base.sequence)),
        Err(failure) => checks.failure("state", &failure),
    }
}

async fn gateway(on: &KubernetesSite, environment: &Environment, checks: &mut Checks) {
    let settings = environment.kubernetes.as_ref().and_then(|k| k.gateway.as_ref());
    let Some(gateway) = settings else { return };
    let namespace = gateway.namespace.as_ref().unwrap_or(&on.cluster.names.namespace);
    let name = format!("{namespace}/{}", gateway.name);
    match rights::gateway(&on.cluster, namespace, &gateway.name).await {
        Ok(Some(true)) => checks.good("gateway", format!("{name} is programmed")),
        Ok(Some(false)) => {
            let hint = format!("see why: kubectl -n {namespace} describe gateway {}", gateway.name);
            checks.bad("gateway", format!("{name} is not programmed yet"), hint);
        }
        Ok(None) => {
            let hint = "see which there are: kubectl get gateways -A";
            checks.bad("gateway", format!("there is no Gateway {name}"), hint);
        }
        // Who may not look at a Gateway can still hang routes on it.
        Err(error) => {
            let failure = on.refused(&error);
            checks.warn("gateway", failure.what, failure.hint.unwrap_or_default());
        }
    }
}
