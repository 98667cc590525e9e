//! The port: windows from range queries.

use std::path::Path;

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use neuroca_deploy_core::judge::{Compared, Prometheus, Window};
use neuroca_deploy_core::release::RevisionId;
use neuroca_deploy_engine::ports::{Metrics, MetricsError};

use crate::answer::{series, time};
use crate::counters::Kind;
use crate::grid::{Ends, Grid};
use crate::http::Http;
use crate::template;
use crate::timeline::{MEMORY_MS, Timeline};
use crate::trouble::{Query, Trouble, seconds};
use crate::window::{Answers, Role, counts, sides};

/// Queries that are asked at the same time; Prometheus itself runs 20.
const AT_ONCE: usize = 8;
/// Instants in one answer. Prometheus refuses more than 11 000.
const STEPS_AT_ONCE: u64 = 500;
/// How far clocks may be apart before that is worth a word: less only delays.
const MOST_SKEW_MS: u64 = 30_000;

/// Counts of requests from a Prometheus server.
pub struct PrometheusMetrics {
    http: Http,
    grid: Grid,
    /// PromQL with placeholders, with its name in the environment file.
    queries: Vec<(Role, String, String)>,
}

/// The answers about both revisions of a component.
struct Answered<'a> {
    component: &'a str,
    canary: Answers,
    stable: Option<Answers>,
}

impl PrometheusMetrics {
    /// Checks the settings; the server is not asked yet. Files are named relative to `project`.
    pub fn new(source: &Prometheus, project: &Path) -> Result<Self, MetricsError> {
        let wrong = |what: &str, why: &str| {
            MetricsError(format!(
                "`rollout.analysis.prometheus.{what}` {why}; correct it in the environment file"
            ))
        };
        if source.interval.0 == 0 {
            return Err(wrong("interval", "is 0"));
        }
        let mut queries = vec![
            (Role::Requests, "requests".to_owned(), source.requests.clone()),
            (Role::Errors, "errors".to_owned(), source.errors.clone()),
        ];
        queries.extend(
            source.latency.iter().map(|query| (Role::Latency, "latency".into(), query.clone())),
        );
        for (name, ratio) in &source.ratios {
            let named = |part: &str| format!("ratios.{name}.{part}");
            queries.push((Role::Of(name.clone()), named("of"), ratio.of.clone()));
            queries.push((Role::Bad(name.clone()), named("bad"), ratio.bad.clone()));
        }
        for (_, name, promql) in &queries {
            template::check(promql)
                .map_err(|why| wrong(name, &format!("is no query for two revisions: {why}")))?;
        }
        let http =
            Http::new(&source.url, source.token_file.as_ref().map(|file| project.join(file)))
                .map_err(|why| wrong("url", &why))?;
        Ok(Self { http, grid: Grid { interval_ms: source.interval.0 }, queries })
    }

    /// The server's own time: scrapes are stamped with it.
    async fn now_ms(&self) -> Result<u64, MetricsError> {
        let asked = async {
            let (status, body) = self.http.post("/api/v1/query", &[("query", "time()")]).await?;
            time(status, &body)
        };
        let now = asked.await.map_err(|trouble| self.told(None, &trouble))?;
        Ok((now * 1000.0) as u64)
    }

    async fn answered<'a>(
        &self,
        compared: &'a Compared,
        ends: Ends,
    ) -> Result<Answered<'a>, MetricsError> {
        let component = compared.component.as_str();
        let stable = match &compared.stable {
            Some(revision) => Some(self.answers(component, revision, ends).await?),
            None => None,
        };
        let canary = self.answers(component, &compared.canary, ends).await?;
        Ok(Answered { component, canary, stable })
    }

    async fn answers(
        &self,
        component: &str,
        revision: &RevisionId,
        ends: Ends,
    ) -> Result<Answers, MetricsError> {
        let mut answers = Answers::new();
        for (role, name, promql) in &self.queries {
            let promql = template::fill(promql, component, &revision.0).map_err(MetricsError)?;
            let (component, revision) = (component.to_owned(), revision.0.clone());
            let query = Query { name: name.clone(), component, revision, promql };
            let kind = if *role == Role::Latency { Kind::Buckets } else { Kind::Plain };
            let timeline = self.timeline(&query, kind, ends).await;
            let timeline = timeline.map_err(|trouble| self.told(Some(&query), &trouble))?;
            answers.insert(role.clone(), (query, timeline));
        }
        Ok(answers)
    }

    async fn timeline(&self, query: &Query, kind: Kind, ends: Ends) -> Result<Timeline, Trouble> {
        let mut timeline = Timeline::default();
        let first_ms = ends.start_of(ends.first_ms);
        self.fetch(&mut timeline, query, kind, Ends { first_ms, ..ends }).await?;
        if timeline.lacks_past(ends) {
            let last_ms = ends.start_of(first_ms);
            let first_ms = first_ms.saturating_sub(MEMORY_MS - MEMORY_MS % ends.step_ms);
            self.fetch(&mut timeline, query, kind, Ends { first_ms, last_ms, ..ends }).await?;
        }
        Ok(timeline)
    }

    async fn fetch(
        &self,
        timeline: &mut Timeline,
        query: &Query,
        kind: Kind,
        at: Ends,
    ) -> Result<(), Trouble> {
        let mut first_ms = at.first_ms;
        while first_ms <= at.last_ms {
            let last_ms = at.last_ms.min(first_ms + (STEPS_AT_ONCE - 1) * at.step_ms);
            let form = [
                ("query", query.promql.as_str()),
                ("start", &seconds(first_ms)),
                ("end", &seconds(last_ms)),
                ("step", &seconds(at.step_ms)),
            ];
            let (status, body) = self.http.post("/api/v1/query_range", &form).await?;
            let series = series(status, &body)?;
            if series.iter().any(|one| one.native) {
                let why = "it gives native histograms, not buckets with `le`".into();
                return Err(Trouble::NotCounts { why, at_ms: last_ms });
            }
            timeline.extend(kind, &series);
            first_ms = last_ms + at.step_ms;
        }
        Ok(())
    }

    fn told(&self, query: Option<&Query>, trouble: &Trouble) -> MetricsError {
        trouble.told(self.http.base(), query)
    }
}

#[async_trait]
impl Metrics for PrometheusMetrics {
    async fn windows(
        &self,
        compared: &[Compared],
        after_ms: u64,
    ) -> Result<Vec<Window>, MetricsError> {
        let now_ms = self.now_ms().await?;
        if after_ms > now_ms + MOST_SKEW_MS {
            let seconds = (after_ms - now_ms) / 1000;
            return Err(self.told(None, &Trouble::ClockBehind { seconds }));
        }
        let Some(ends) = self.grid.ends(after_ms, now_ms) else { return Ok(Vec::new()) };
        let asked: Vec<_> = compared.iter().map(|one| self.answered(one, ends)).collect();
        let answered: Vec<Answered<'_>> =
            stream::iter(asked).buffered(AT_ONCE).try_collect().await?;

        let mut windows = Vec::new();
        let mut missing = None;
        for end_ms in ends.each() {
            let mut window = Window { end_ms, ..Window::default() };
            missing = None;
            for one in &answered {
                match one.sides(ends.start_of(end_ms), end_ms) {
                    Ok(sides) => drop(window.components.insert(one.component.to_owned(), sides)),
                    Err((query, trouble)) => {
                        missing.get_or_insert_with(|| self.told(Some(query), &trouble));
                    }
                }
            }
            // A component without data does not hide what the others show.
            if !window.components.is_empty() {
                windows.push(window);
            }
        }
        match missing {
            Some(why) if windows.is_empty() => Err(why),
            Some(why) => {
                tracing::warn!("the newest window is not complete: {why}");
                Ok(windows)
            }
            None => Ok(windows),
        }
    }
}

impl Answered<'_> {
    fn sides(
        &self,
        start_ms: u64,
        end_ms: u64,
    ) -> Result<neuroca_deploy_core::judge::Sides, crate::window::Unusable<'_>> {
        let stable = match &self.stable {
            Some(answers) => Some(counts(answers, start_ms, end_ms)?),
            None => None,
        };
        Ok(sides(counts(&self.canary, start_ms, end_ms)?, stable))
    }
}
