//! The way to a cluster, and what its refusals mean: what is missing, and what to do.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use neuroca_deploy_engine::ports::{StoreError, TargetError};
use tokio::sync::OnceCell;

use crate::names::Names;

/// How long one request may take; a watch is no such request.
pub const ANSWERS_WITHIN: Duration = Duration::from_secs(15);
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);

/// A cluster that is asked once it is needed.
pub struct Cluster {
    pub names: Names,
    /// The context of the kubeconfig that was asked for.
    context: Option<String>,
    client: OnceCell<Client>,
}

/// What came of a request that was not answered with what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// There is nothing to ask, or nobody may ask it: said with what to do.
    #[error("{0}")]
    NoAccess(String),
    /// Nobody answered; it may or may not have been done.
    #[error("{0}")]
    Silent(String),
    /// The object is not there.
    #[error("{0}")]
    Missing(String),
    /// The object is there already, or is not as it was when it was read.
    #[error("{0}")]
    Changed(String),
    /// It was refused, and would be again.
    #[error("{0}")]
    Refused(String),
}

impl Cluster {
    /// Asks nothing yet.
    pub fn new(names: Names, context: Option<String>) -> Self {
        Self { names, context, client: OnceCell::new() }
    }

    /// A cluster that is asked by this connection.
    pub fn connected(names: Names, client: Client) -> Self {
        Self { names, context: None, client: OnceCell::new_with(Some(client)) }
    }

    /// The connection, made when it is first asked for.
    pub async fn client(&self) -> Result<Client, AccessError> {
        self.client.get_or_try_init(|| self.connect()).await.cloned()
    }

    async fn connect(&self) -> Result<Client, AccessError> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(CONNECTS_WITHIN);
        Client::try_from(config).map_err(|e| self.told(&e, "connect"))
    }

    async fn config(&self) -> Result<Config, AccessError> {
        let inside = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        if self.context.is_none() && inside && !has_kubeconfig() {
            return Config::incluster().map_err(|e| {
                AccessError::NoAccess(format!(
                    "the account of this pod cannot be used: {e}\n  hint: give the pod a service account, with \
                     automountServiceAccountToken"
                ))
            });
        }
        let options = KubeConfigOptions { context: self.context.clone(), ..Default::default() };
        Config::from_kubeconfig(&options).await.map_err(|e| no_config(&e))
    }

    /// What an error of the API means, while doing `what`.
    pub fn told(&self, error: &kube::Error, what: &str) -> AccessError {
        let namespace = &self.names.namespace;
        match error {
            kube::Error::Api(status) => {
                answered(status.code, &status.reason, &status.message, what, namespace)
            }
            kube::Error::Auth(why) => AccessError::NoAccess(format!(
                "cannot {what}: the credentials for the cluster cannot be had: {why}\n  hint: log in again; \
                 `kubectl get pods -n {namespace}` has to work first"
            )),
            other => AccessError::Silent(format!(
                "cannot {what}: the cluster does not answer: {}\n  hint: see whether `kubectl -n {namespace} get \
                 pods` works{}",
                causes(other),
                self.context.as_ref().map_or(String::new(), |c| format!(" with `--context {c}`")),
            )),
        }
    }
}

/// An answer of the API server by its code; it has said what is wrong, this says what to do.
fn answered(code: u16, reason: &str, message: &str, what: &str, namespace: &str) -> AccessError {
    let text = format!("cannot {what}: {message}");
    let hinted = |hint: String| format!("{text}\n  hint: {hint}");
    match (code, reason) {
        (401, _) => AccessError::NoAccess(hinted(
            "the credentials were refused; log in again, or choose another `kubernetes.context`"
                .into(),
        )),
        (403, _) if message.contains("exceeded quota") => AccessError::Refused(hinted(format!(
            "ask for more, or look at what uses it: kubectl -n {namespace} describe quota"
        ))),
        (403, _) if message.contains("being terminated") => AccessError::Refused(hinted(format!(
            "the namespace is going away; wait until it has gone: kubectl get namespace {namespace}"
        ))),
        _ if is_unanswered(message) => AccessError::Refused(hinted(
            "the program behind this webhook does not answer; look at it, or have its owner take the webhook away: \
             kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations"
                .into(),
        )),
        _ if message.contains("denied the request") => AccessError::Refused(hinted(
            "do what it says, or ask its owner".into(),
        )),
        (403, _) => AccessError::NoAccess(hinted(format!(
            "a Role in the namespace {namespace} has to allow this verb to your user"
        ))),
        (404, _) if message.contains("namespaces") => {
            AccessError::Missing(hinted(format!("make it: kubectl create namespace {namespace}")))
        }
        (404, _) => AccessError::Missing(text),
        (409, _) => AccessError::Changed(text),
        // What server-side apply says to a field that the kind does not have.
        (500, _) if message.contains("failed to create typed patch object") => {
            AccessError::Refused(text)
        }
        (429 | 500..=599, _) | (_, "Timeout" | "ServerTimeout") => AccessError::Silent(text),
        _ => AccessError::Refused(text),
    }
}

/// Whether a webhook was to be asked, and did not answer.
pub(crate) fn is_unanswered(message: &str) -> bool {
    message.contains("failed calling webhook")
}

fn no_config(error: &KubeconfigError) -> AccessError {
    let hint = match error {
        KubeconfigError::ReadConfig(..) | KubeconfigError::FindPath => {
            "set KUBECONFIG to the file with the access to the cluster, or put it at ~/.kube/config"
        }
        KubeconfigError::LoadContext(_) | KubeconfigError::CurrentContextNotSet => {
            "`kubectl config get-contexts` tells which there are; choose one with `kubernetes.context`"
        }
        _ => "mend the kubeconfig; `kubectl cluster-info` has to work first",
    };
    let what = match error {
        KubeconfigError::LoadContext(name) => format!("the kubeconfig has no context `{name}`"),
        other => other.to_string(),
    };
    AccessError::NoAccess(format!("there is no access to a cluster: {what}\n  hint: {hint}"))
}

fn has_kubeconfig() -> bool {
    if std::env::var_os("KUBECONFIG").is_some() {
        return true;
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    home.is_some_and(|home| home.join(".kube/config").is_file()) && Kubeconfig::read().is_ok()
}

/// The error with what is behind it; the outermost says little.
fn causes(error: &kube::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(&format!(": {cause_text}"));
        }
        source = cause.source();
    }
    text
}

/// Does it within the time that a request may take.
pub async fn in_time<T>(
    cluster: &Cluster,
    what: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, AccessError> {
    match tokio::time::timeout(ANSWERS_WITHIN, request).await {
        Ok(answer) => answer.map_err(|e| cluster.told(&e, what)),
        Err(_) => Err(AccessError::Silent(format!(
            "cannot {what}: the cluster did not answer within {} s",
            ANSWERS_WITHIN.as_secs()
        ))),
    }
}

impl From<AccessError> for TargetError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Silent(why) | AccessError::Changed(why) => Self::Unreachable(why),
            // The policy of `rbac` has refused it.
            AccessError::NoAccess(why) | AccessError::Refused(why)
                if why.contains(crate::rbac::SUCCEEDED) =>
            {
                Self::Fenced(why)
            }
            AccessError::NoAccess(why) | AccessError::Missing(why) | AccessError::Refused(why) => {
                Self::Refused(why)
            }
        }
    }
}

impl From<AccessError> for StoreError {
    fn from(error: AccessError) -> Self {
        Self::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: u16, message: &str) -> AccessError {
        answered(code, "", message, "write the Secret x", "nca")
    }

    #[test]
    fn a_refusal_names_what_is_missing_and_what_to_do() {
        let forbidden =
            told(403, "secrets is forbidden: User \"ann\" cannot create resource \"secrets\"");
        let AccessError::NoAccess(text) = forbidden else { panic!("{forbidden:?}") };
        assert!(text.contains("cannot create resource \"secrets\""), "{text}");
        assert!(text.contains("hint: a Role in the namespace nca"), "{text}");
        let AccessError::NoAccess(text) = told(401, "Unauthorized") else { panic!("401") };
        assert!(text.contains("log in again"), "{text}");
        let AccessError::Missing(text) = told(404, "namespaces \"nca\" not found") else {
            panic!("404")
        };
        assert!(text.contains("kubectl create namespace nca"), "{text}");
        let quota = told(403, "pods \"x\" is forbidden: exceeded quota: small");
        assert!(matches!(quota, AccessError::Refused(text) if text.contains("describe quota")));
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
        for code in [429, 500, 503, 504] {
            assert!(matches!(told(code, "busy"), AccessError::Silent(_)), "{code}");
        }
        assert!(matches!(told(409, "has been modified"), AccessError::Changed(_)));
        assert!(matches!(told(422, "is invalid"), AccessError::Refused(_)));
        let field = "failed to create typed patch object (n/a; /v1, Kind=ConfigMap): .datta: field not declared in schema";
        assert!(matches!(told(500, field), AccessError::Refused(_)));
        assert!(matches!(TargetError::from(told(503, "busy")), TargetError::Unreachable(_)));
        assert!(matches!(TargetError::from(told(422, "bad")), TargetError::Refused(_)));
    }

    #[test]
    fn a_context_that_is_not_there_is_named() {
        let error = no_config(&KubeconfigError::LoadContext("prod".into())).to_string();
        assert!(error.contains("no context `prod`") && error.contains("get-contexts"), "{error}");
    }
}
