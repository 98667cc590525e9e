//! What Kubernetes has to be told beyond what every target is told.
//!
//! `render` needs these as well as the adapter, so they are plain values like the rest of the model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::Bytes;

/// The settings of a cluster; read when `target` is `kubernetes`, and by `render`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kubernetes {
    /// The context of the kubeconfig; its current one when absent, and the pod's own account
    /// inside of a cluster.
    pub context: Option<String>,
    /// The namespace, for this environment alone; `PROJECT-ENVIRONMENT` when absent.
    pub namespace: Option<String>,
    /// The Gateway that routes hang on.
    pub gateway: Option<Gateway>,
    /// For rendered manifests where there is no Gateway API.
    pub ingress: Option<Ingress>,
    /// The namespace of the Prometheus that may scrape the pods.
    pub metrics_from: Option<String>,
    /// Names of Secrets with which images are pulled.
    pub pull_secrets: Vec<String>,
    /// The volume behind `${data_dir}`.
    pub storage: Storage,
}

impl Kubernetes {
    /// Where the objects of an environment are.
    pub fn namespace_of(&self, project: &str, environment: &str) -> String {
        self.namespace.clone().unwrap_or_else(|| format!("{project}-{environment}"))
    }
}

/// A Gateway of the Gateway API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// Its namespace; that of the environment when absent.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The listener; all of them when absent.
    #[serde(default)]
    pub listener: Option<String>,
    /// The hosts for which the environment answers; any when empty.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// `host:port` at which the gateway is asked, over plain HTTP, whether it has taken a split over. Without
    /// one a pause after its status says so has to do.
    #[serde(default)]
    pub address: Option<String>,
}

/// An Ingress, where there is no Gateway API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ingress {
    /// The ingress class.
    pub class: String,
    /// The namespace of its controller, which the network policies let in.
    pub namespace: String,
    /// The Secret with certificate and key.
    #[serde(default)]
    pub tls_secret: Option<String>,
}

/// The claim behind `${data_dir}`, one for the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// Its size.
    pub size: Bytes,
    /// Its storage class; the cluster's default when absent.
    pub class: Option<String>,
    /// Whether pods on several nodes may write to it (ReadWriteMany).
    pub shared: bool,
}

impl Default for Storage {
    fn default() -> Self {
        Self { size: Bytes(1 << 30), class: None, shared: false }
    }
}

/// What a component is on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ComponentOnKubernetes {
    /// The image that is run; best with its digest, `NAME@sha256:...`.
    pub image: Option<String>,
    /// CPU that is set aside, such as `250m`; there is no limit, which would only slow it down.
    pub cpu: String,
    /// Memory that is set aside. The limit is `limits.memory`, or twice this.
    pub memory: Bytes,
    /// For rendered manifests: as many replicas as the load asks for.
    pub autoscale: Option<Autoscale>,
    /// For rendered manifests: where its pods may connect to, beyond DNS and each other.
    pub egress: Vec<Egress>,
}

impl Default for ComponentOnKubernetes {
    fn default() -> Self {
        Self {
            image: None,
            cpu: "100m".into(),
            memory: Bytes(128 << 20),
            autoscale: None,
            egress: Vec::new(),
        }
    }
}

/// Bounds and aims of a horizontal autoscaler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Autoscale {
    /// Least replicas.
    pub min: u32,
    /// Most replicas.
    pub max: u32,
    /// Percent of the requested CPU that is aimed at; 70 when neither aim is given.
    #[serde(default)]
    pub cpu: Option<u32>,
    /// Percent of the requested memory that is aimed at.
    #[serde(default)]
    pub memory: Option<u32>,
}

/// A hole in the network policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// `namespace:NAME`, or a range of addresses such as `10.0.0.0/8`.
    pub to: String,
    /// The TCP port.
    pub port: u16,
}
