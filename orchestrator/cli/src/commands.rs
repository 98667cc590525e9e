//! One file a subcommand: parse, call, print. Decisions are made elsewhere.

pub mod apply;
pub mod completion;
pub mod config;
pub mod destroy;
pub mod diff;
pub mod doctor;
pub mod history;
pub mod init;
pub mod judge;
pub mod local;
pub mod logs;
pub mod man;
pub mod plan;
pub mod preview;
pub mod rbac;
pub mod render;
pub mod restart;
pub mod rollback;
pub mod rollout;
pub mod scale;
pub mod show;
pub mod status;
pub mod unlock;
pub mod validate;
pub mod version;
