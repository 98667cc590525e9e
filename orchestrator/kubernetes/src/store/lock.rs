//! The lock: a Lease for everybody to see, and its epoch in the head, which admits nobody else.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::PostParams;
use neuroca_deploy_engine::ports::{Epoch, StoreError};

use super::KubernetesStore;
use crate::access::{AccessError, in_time};
use crate::names::{MANAGER, STATE};
use crate::state::lease::{GOOD_FOR, PROOF, Seen, Verdict, judge};

/// Pause between two looks at a lock that somebody holds.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Annotation: which process on which machine holds it.
const PROCESS: &str = "neuroca-deploy/process";

/// A lease as it was when it was first seen so.
pub(super) struct Watched {
    version: String,
    since: Instant,
}

impl KubernetesStore {
    async fn leases(&self) -> Result<Api<Lease>, AccessError> {
        let client = self.cluster.client().await?;
        Ok(Api::namespaced(client, &self.cluster.names.namespace))
    }

    async fn lease(&self) -> Result<Option<Lease>, AccessError> {
        let (api, name) = (self.leases().await?, self.cluster.names.state(""));
        in_time(&self.cluster, "read the lock", api.get_opt(&name)).await
    }

    /// Takes the lock when it is free, expired, or held by a process of this machine that is gone.
    pub(super) async fn take_lock(
        &self,
        holder: &str,
        wait: Duration,
    ) -> Result<Epoch, StoreError> {
        let began = Instant::now();
        loop {
            let found = self.lease().await?;
            let seen = found.as_ref().map_or_else(Seen::default, |lease| self.seen(lease));
            let patience = match judge(&seen) {
                Verdict::Free => match self.put_lease(found, Some(holder)).await {
                    Ok(epoch) => return self.claim(epoch).await,
                    // Somebody else was quicker.
                    Err(AccessError::Changed(_)) => continue,
                    Err(error) => return Err(error.into()),
                },
                Verdict::Doubtful(other) => (other, wait.max(PROOF + LOOK_AGAIN)),
                Verdict::Held(other) => (other, wait),
            };
            if began.elapsed() >= patience.1 {
                return Err(StoreError::Held { holder: patience.0 });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Replaces the lease that was found by one with this holder and the next epoch.
    async fn put_lease(
        &self,
        found: Option<Lease>,
        holder: Option<&str>,
    ) -> Result<Epoch, AccessError> {
        let names = &self.cluster.names;
        // A lease that somebody took away must not begin again below what the head knows.
        let known = self.head().await.map_err(|e| AccessError::Refused(e.to_string()))?.epoch;
        let mut lease = found.unwrap_or_default();
        let before = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0);
        let epoch = known.max(u64::try_from(before).unwrap_or(0)) + 1;
        lease.metadata.name = Some(names.state(""));
        lease.metadata.namespace = Some(names.namespace.clone());
        let labels = lease.metadata.labels.get_or_insert_default();
        labels.extend(names.labels());
        labels.insert(STATE.into(), "lock".into());
        lease
            .metadata
            .annotations
            .get_or_insert_default()
            .insert(PROCESS.into(), own_process().unwrap_or_default());
        let now = MicroTime(Timestamp::now());
        lease.spec = Some(LeaseSpec {
            holder_identity: holder.map(String::from),
            lease_duration_seconds: Some(GOOD_FOR.as_secs() as i32),
            lease_transitions: Some(i32::try_from(epoch).unwrap_or(i32::MAX)),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..LeaseSpec::default()
        });
        self.write_lease(lease).await?;
        Ok(Epoch(epoch))
    }

    async fn write_lease(&self, lease: Lease) -> Result<(), AccessError> {
        let (api, name) = (self.leases().await?, self.cluster.names.state(""));
        let params = PostParams { field_manager: Some(MANAGER.into()), ..Default::default() };
        let what = "write the lock";
        let written = match lease.metadata.resource_version {
            Some(_) => in_time(&self.cluster, what, api.replace(&name, &params, &lease)).await?,
            None => in_time(&self.cluster, what, api.create(&params, &lease)).await?,
        };
        *self.lease.lock().expect("not poisoned") = Some(written);
        Ok(())
    }

    /// From here on whoever held it before cannot write.
    async fn claim(&self, epoch: Epoch) -> Result<Epoch, StoreError> {
        *self.known.lock().expect("not poisoned") = None;
        self.write(|head| match head.epoch >= epoch.0 {
            true => Err(StoreError::Fenced),
            false => {
                head.claim(epoch);
                Ok(epoch)
            }
        })
        .await
    }

    pub(super) async fn renew_lock(&self, epoch: Epoch) -> Result<(), StoreError> {
        for _ in 0..3 {
            let known = self.lease.lock().expect("not poisoned").clone();
            let lease = match known {
                Some(lease) => Some(lease),
                None => self.lease().await?,
            };
            let Some(mut lease) = lease.filter(|lease| is_of(lease, epoch)) else {
                return Err(StoreError::Fenced);
            };
            if let Some(spec) = &mut lease.spec {
                spec.renew_time = Some(MicroTime(Timestamp::now()));
            }
            match self.write_lease(lease).await {
                Ok(()) => return Ok(()),
                Err(AccessError::Changed(_) | AccessError::Missing(_)) => {
                    *self.lease.lock().expect("not poisoned") = None;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Failed("the lock keeps changing while it is renewed".into()))
    }

    pub(super) async fn give_lock_back(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.write_as(epoch, |head| head.held = false).await?;
        let Some(mut lease) = self.lease().await?.filter(|lease| is_of(lease, epoch)) else {
            return Err(StoreError::Fenced);
        };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
        }
        match self.write_lease(lease).await {
            Err(AccessError::Changed(_)) => Err(StoreError::Fenced),
            other => Ok(other?),
        }
    }

    /// Takes the lock from whoever holds it; its holder is refused from now on.
    pub async fn break_lock(&self) -> Result<(), StoreError> {
        for _ in 0..5 {
            let Some(found) = self.lease().await? else { return Ok(()) };
            match self.put_lease(Some(found), None).await {
                Ok(epoch) => {
                    self.claim(epoch).await?;
                    return self.write_as(epoch, |head| head.held = false).await;
                }
                Err(AccessError::Changed(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Failed("the lock keeps being renewed while it is broken".into()))
    }

    pub(super) async fn lock_holder(&self) -> Result<Option<String>, StoreError> {
        let Some(lease) = self.lease().await? else { return Ok(None) };
        Ok(match judge(&self.seen(&lease)) {
            Verdict::Held(holder) => Some(holder),
            // It is for whoever wants the lock to make sure.
            Verdict::Free | Verdict::Doubtful(_) => None,
        })
    }

    fn seen(&self, lease: &Lease) -> Seen {
        look(lease, &mut self.watched.lock().expect("not poisoned"))
    }

    /// Whether the lock is still this holder's, as the cluster has it now.
    pub(crate) async fn holds(&self, epoch: Epoch) -> Result<bool, AccessError> {
        Ok(self.lease().await?.is_some_and(|lease| is_of(&lease, epoch)))
    }
}

fn is_of(lease: &Lease, epoch: Epoch) -> bool {
    let Some(spec) = &lease.spec else { return false };
    let transitions = spec.lease_transitions.and_then(|n| u64::try_from(n).ok());
    spec.holder_identity.is_some() && transitions == Some(epoch.0)
}

fn look(lease: &Lease, watched: &mut Option<Watched>) -> Seen {
    let spec = lease.spec.clone().unwrap_or_default();
    let version = lease.metadata.resource_version.clone().unwrap_or_default();
    if watched.as_ref().is_none_or(|w| w.version != version) {
        *watched = Some(Watched { version, since: Instant::now() });
    }
    let age = spec.renew_time.map(|at| Timestamp::now().as_millisecond() - at.0.as_millisecond());
    let process = lease.metadata.annotations.as_ref().and_then(|all| all.get(PROCESS));
    Seen {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        process_is_gone: process.is_some_and(|process| is_gone(process)),
        age: age.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
        unchanged: watched.as_ref().map_or(Duration::ZERO, |w| w.since.elapsed()),
    }
}

/// This process, told so that another one on this machine can see whether it lives: the boot, the space of
/// process numbers, number and start time. Nothing where the system does not tell.
fn own_process() -> Option<String> {
    let pid = std::process::id();
    Some(format!("{} {pid} {}", place()?, start_of(pid)?))
}

/// Whether the process ran here and does not any more. Of another machine's nothing is known.
fn is_gone(process: &str) -> bool {
    let mut parts = process.rsplitn(3, ' ');
    let (Some(start), Some(pid), Some(found)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let Ok(pid) = pid.parse() else { return false };
    Some(found.to_string()) == place() && start_of(pid).as_deref() != Some(start)
}

fn place() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), space.display()))
}

/// When the process started, in ticks since the boot; nothing for one that has ended.
fn start_of(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything, brackets too.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then(|| fields.nth(18).map(String::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_gone_only_where_it_can_be_seen_to_be() {
        let own = own_process().expect("Linux");
        assert!(!is_gone(&own), "{own}");
        let (rest, start) = own.rsplit_once(' ').expect("parts");
        assert!(is_gone(&format!("{rest} {start}1")), "the number is somebody else's now");
        assert!(
            !is_gone(&own.replacen(|c: char| c.is_ascii_hexdigit(), "x", 1)),
            "another machine"
        );
        assert!(!is_gone("") && !is_gone("a b c"));
    }
}
