//! A namespace of its own on a real API server for each test; gone when the test has ended.
#![allow(dead_code)] // each test file uses a part of it
#![allow(clippy::print_stderr)] // what is left out is said

pub mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use neuroca_deploy_kubernetes::{Cluster, Names};

/// Names the kubeconfig of an API server that tests may use.
pub const API_SERVER: &str = "NEUROCA_TEST_API_SERVER";

/// A namespace, and the way to it.
pub struct Place {
    pub client: Client,
    pub names: Names,
}

impl Place {
    /// A new namespace; nothing when there is no API server to test with.
    pub async fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Some(file) = std::env::var_os(API_SERVER) else {
            eprintln!("!!! LEFT OUT: {API_SERVER} names no kubeconfig of an API server");
            return None;
        };
        let kubeconfig = Kubeconfig::read_from(file).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect("usable");
        let client = Client::try_from(config).expect("a client");
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let namespace = format!("test-{}-{number}", std::process::id());
        let mut object = Namespace::default();
        object.metadata.name = Some(namespace.clone());
        let api: Api<Namespace> = Api::all(client.clone());
        api.create(&PostParams::default(), &object).await.expect("made");
        let names = Names { project: "p".into(), environment: "e".into(), namespace };
        Some(Self { client, names })
    }

    /// One more way to it, as another process would have.
    pub fn cluster(&self) -> Arc<Cluster> {
        Arc::new(Cluster::connected(self.names.clone(), self.client.clone()))
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.names.namespace)
    }

    pub async fn end(self) {
        let api: Api<Namespace> = Api::all(self.client);
        let _ = api.delete(&self.names.namespace, &DeleteParams::background()).await;
    }
}
