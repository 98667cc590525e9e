//! The settings, until the environment file has them.

use std::collections::BTreeMap;
pub struct Millis(pub u64);
pub struct Prometheus {
    pub url: String,
    pub token_file: Option<String>,
    pub interval: Millis,
    pub requests: String,
    pub errors: String,
    pub latency: Option<String>,
    pub ratios: BTreeMap<String, RatioQueries>,
}
pub struct RatioQueries {
    pub of: String,
    pub bad: String,
}
