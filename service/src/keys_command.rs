//! `neuroca keys` and `neuroca audit`: what an administrator does on the machine, without the API.

use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::audit::{Act, broken};
use crate::auth::{ApiKey, KeySecret, Role};
use crate::memory::Moment;
use crate::rekey_command::{Rekey, rekey};
use crate::store::Repository;
use crate::tenant::Tenant;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
pub(crate) const ACTOR: &str = "command line";

/// What to do with API keys.
#[derive(Subcommand)]
pub enum Keys {
    /// Make a key, and print it: it cannot be shown again
    Create {
        #[command(flatten)]
        of: Of,
        /// What people call it
        #[arg(long)]
        name: String,
        /// viewer, agent, operator, tenant_admin or platform_admin
        #[arg(long, value_parser = role)]
        role: Role,
        /// Days until it ends; never, if it is left out
        #[arg(long)]
        days: Option<u32>,
    },
    /// List the keys of a tenant
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Make another key of the same name and role, and let the old one end
    Rotate {
        #[command(flatten)]
        of: Of,
        /// The old one
        id: Uuid,
        /// Seconds until the old one ends
        #[arg(long, default_value_t = 3600)]
        grace: u32,
    },
    /// Encrypt what is stored, or give every tenant a new key and encrypt all anew, while others serve; run again, it
    /// goes on where it was ended
    Rekey(Rekey),
    /// End a key now
    Revoke {
        #[command(flatten)]
        of: Of,
        /// Which
        id: Uuid,
    },
}

/// Whose.
#[derive(Args)]
pub struct Of {
    /// The tenant
    #[arg(long, default_value = crate::tenant::DEFAULT, value_parser = tenant)]
    pub tenant: Tenant,
}

fn role(name: &str) -> Result<Role, String> {
    Role::from_name(name).ok_or_else(|| {
        let all: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
        format!("there are {}", all.join(", "))
    })
}

pub(crate) fn tenant(name: &str) -> Result<Tenant, String> {
    Tenant::new(name).ok_or_else(|| "a tenant is 1 to 64 of A-Z a-z 0-9 . _ -".to_owned())
}

fn act(action: &'static str, id: Uuid, now: Moment) -> Act {
    Act { actor: ACTOR.into(), action, target: format!("key:{id}"), at: now }
}

async fn make(repository: &dyn Repository, key: &ApiKey) -> Result<String, String> {
    let secret = KeySecret::random().ok_or("the system has no randomness")?;
    repository
        .add_key(key, secret.hash(), act("key.create", key.id, key.created_at))
        .await
        .map_err(|error| error.to_string())?;
    Ok(format!("{}\n", secret.token(key)))
}

/// Does it; what is to be printed.
pub async fn keys(repository: &dyn Repository, verb: Keys) -> Result<String, String> {
    let now = Moment::now();
    let failed = |error: crate::store::StoreError| error.to_string();
    match verb {
        Keys::Create { of, name, role, days } => {
            let expires_at = days.map(|days| now.plus(i64::from(days) * DAY_MILLIS));
            let (id, tenant) = (Uuid::now_v7(), of.tenant);
            let key =
                ApiKey { id, tenant, name, role, created_at: now, expires_at, revoked_at: None };
            make(repository, &key).await
        }
        Keys::List { of } => {
            let all = repository.keys(&of.tenant).await.map_err(failed)?;
            Ok(all.iter().map(|key| line(key, now)).collect())
        }
        Keys::Rotate { of, id, grace } => {
            let found = repository.key(&of.tenant, id).await.map_err(failed)?;
            let (old, _) = found
                .filter(|(key, _)| key.is_valid(now))
                .ok_or("there is no such key, or it has ended")?;
            let token =
                make(repository, &ApiKey { id: Uuid::now_v7(), created_at: now, ..old }).await?;
            let end = now.plus(i64::from(grace) * 1000);
            repository
                .end_key(&of.tenant, id, end, act("key.rotate", id, now))
                .await
                .map_err(failed)?;
            Ok(token)
        }
        Keys::Rekey(wanted) => rekey(repository, wanted).await,
        Keys::Revoke { of, id } => {
            let done = repository
                .end_key(&of.tenant, id, now, act("key.revoke", id, now))
                .await
                .map_err(failed)?;
            if done {
                Ok(format!("{id} has ended; a running service notices within seconds\n"))
            } else {
                Err("there is no such key, or it has ended".into())
            }
        }
    }
}

fn line(key: &ApiKey, now: Moment) -> String {
    let state = if key.is_valid(now) { "valid" } else { "ended" };
    format!("{}  {state}  {:<14}  {}\n", key.id, key.role.name(), key.name)
}

/// The audit log of a tenant as JSON lines; an error when it is not as it was written, or when it does not
/// hold the entry with the hash that is `expected`.
pub async fn audit(
    repository: &dyn Repository,
    tenant: &Tenant,
    expected: Option<&str>,
) -> Result<String, String> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or(0, |entry: &crate::audit::Entry| entry.seq);
        let some =
            repository.audit_log(tenant, after, 1000).await.map_err(|error| error.to_string())?;
        if some.is_empty() {
            break;
        }
        all.extend(some);
    }
    if let Some(seq) = broken(&all) {
        return Err(format!(
            "entry {seq} of the audit log of {tenant} is missing or not as it was written"
        ));
    }
    if let Some(hash) = expected
        && !all.iter().any(|entry| entry.hash.eq_ignore_ascii_case(hash))
    {
        return Err(format!(
            "the audit log of {tenant} has no entry with the hash {hash}: its end is missing, or it is \
             another log"
        ));
    }
    all.iter()
        .map(|entry| serde_json::to_string(entry).map(|text| text + "\n"))
        .collect::<Result<String, _>>()
        .map_err(|error| error.to_string())
}
