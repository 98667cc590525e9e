//! The engine's target: what the command does itself, and the supervisor's API for the rest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use neuroca_deploy_core::effect::Effect;
use neuroca_deploy_core::observed::Observed;
use neuroca_deploy_core::release::{Release, ReleaseId};
use neuroca_deploy_engine::ports::{Epoch, Target, TargetError};

use crate::artifacts;
use crate::client::{Client, ClientError};
use crate::control;
use crate::layout::StateDir;
use crate::secrets::{Key, KeyError, SecretSource};
use crate::store::Store;
use crate::supervisor::{Asked, KEY_SETTING, PROJECT_SETTING};

/// One environment on this machine.
pub struct LocalTarget {
    state: StateDir,
    store: Store,
    client: Client,
    project: PathBuf,
    /// The program that runs: started again as keeper, and where the bundled service is beside.
    exe: PathBuf,
    secrets: SecretSource,
}

/// Why there is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetFailed {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] neuroca_deploy_engine::ports::StoreError),
}

impl LocalTarget {
    /// The target of the environment with this state directory. `key` is the file that seals
    /// secrets; it is made if it is not there.
    pub fn open(
        state: &StateDir,
        project: &Path,
        exe: &Path,
        key: &Path,
    ) -> Result<Self, TargetFailed> {
        let store = Store::open(state)?;
        let secrets = SecretSource::new(project, Key::open_or_make(key, state.path())?);
        let absolute = |path: &Path| {
            std::path::absolute(path).unwrap_or_else(|_| path.into()).to_string_lossy().into_owned()
        };
        store.set_setting(KEY_SETTING, &absolute(key))?;
        store.set_setting(PROJECT_SETTING, &absolute(project))?;
        Ok(Self {
            client: Client::new(state),
            state: state.clone(),
            store,
            project: project.into(),
            exe: exe.into(),
            secrets,
        })
    }

    /// Reads secret references; for the plan.
    pub fn secrets(&self) -> &SecretSource {
        &self.secrets
    }

    fn record(&self, epoch: Epoch, id: &ReleaseId) -> Result<Release, TargetError> {
        let failed = |e: &dyn std::fmt::Display| TargetError::Refused(e.to_string());
        let highest = self.store.epoch().map_err(|e| TargetError::Unreachable(e.to_string()))?;
        if epoch < highest {
            return Err(TargetError::Fenced(format!("the lock is at epoch {}", highest.0)));
        }
        self.store
            .release_record(id)
            .map_err(|e| failed(&e))?
            .ok_or_else(|| failed(&format!("the record of release {id} is not there")))
    }

    fn store_artifact(
        &self,
        epoch: Epoch,
        release: &ReleaseId,
        component: &str,
    ) -> Result<(), TargetError> {
        let release = self.record(epoch, release)?;
        let Some(spec) = release.components.get(component) else {
            return Err(TargetError::Refused(format!("the release has no component {component}")));
        };
        let source = || artifacts::source(&self.project, &spec.spec.artifact, &self.exe);
        artifacts::store(&self.state, source, &spec.artifact, &self.store)
            .map_err(|e| TargetError::Refused(e.to_string()))
    }

    /// Starts the processes that are missing, when nobody answers.
    async fn wake(&self) -> Result<(), TargetError> {
        let (state, exe) = (self.state.clone(), self.exe.clone());
        tokio::task::spawn_blocking(move || control::ensure_running(&state, &exe))
            .await
            .map_err(|e| TargetError::Unreachable(e.to_string()))?
            .map_err(|e| TargetError::Unreachable(e.to_string()))
    }
}

#[async_trait]
impl Target for LocalTarget {
    async fn perform(&self, epoch: Epoch, effect: &Effect) -> Result<(), TargetError> {
        match effect {
            Effect::StoreArtifact { release, component } => {
                return self.store_artifact(epoch, release, component);
            }
            Effect::SealSecrets { release } => {
                let release = self.record(epoch, release)?;
                return self
                    .secrets
                    .seal(&self.store, &release)
                    .map_err(|e| TargetError::Refused(e.to_string()));
            }
            _ => {}
        }
        let asked = Asked { epoch, effect: effect.clone() };
        match self.client.post("/v1/effects", &asked).await {
            Ok(answer) => answer,
            Err(ClientError::Away(_)) => {
                self.wake().await?;
                self.client.post("/v1/effects", &asked).await.map_err(unreachable)?
            }
            Err(error) => Err(unreachable(error)),
        }
    }

    async fn observe(&self) -> Result<Observed, TargetError> {
        match self.client.get("/v1/observed").await {
            Err(ClientError::Away(_)) => {
                self.wake().await?;
                self.client.get("/v1/observed").await.map_err(unreachable)
            }
            result => result.map_err(unreachable),
        }
    }

    async fn changed(&self, seen: u64, at_most: Duration) {
        let path = format!("/v1/changed?seen={seen}&ms={}", at_most.as_millis());
        let asked = self.client.get::<u64>(&path);
        // A supervisor that is away answers at once or never: both are a reason to wait here.
        match tokio::time::timeout(at_most + Duration::from_secs(1), asked).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => tokio::time::sleep(at_most.min(Duration::from_millis(50))).await,
        }
    }
}

fn unreachable(error: ClientError) -> TargetError {
    TargetError::Unreachable(error.to_string())
}
