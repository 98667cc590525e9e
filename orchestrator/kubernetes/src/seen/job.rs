//! Whether a command has run to its end.

use k8s_openapi::api::batch::v1::Job;

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    Done,
    Failed(String),
}

/// The end of a Job, once it has one.
pub fn end_of(job: &Job) -> Option<JobEnd> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let mut found = conditions.iter().filter(|condition| condition.status == "True");
    found.find_map(|condition| match condition.type_.as_str() {
        "Complete" => Some(JobEnd::Done),
        "Failed" => {
            let why = match condition.reason.as_deref() {
                Some("DeadlineExceeded") => "did not end within its time and was stopped".into(),
                _ => format!("failed: {}", condition.message.as_deref().unwrap_or_default()),
            };
            Some(JobEnd::Failed(why))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_ends_well_badly_or_not_yet() {
        let end = |conditions| {
            let job = json!({ "metadata": {}, "status": { "conditions": conditions } });
            end_of(&serde_json::from_value(job).expect("a Job"))
        };
        assert_eq!(end(json!([])), None);
        assert_eq!(end(json!([{ "type": "Complete", "status": "True" }])), Some(JobEnd::Done));
        assert_eq!(end(json!([{ "type": "Failed", "status": "False" }])), None);
        let late = json!([{ "type": "Failed", "status": "True", "reason": "DeadlineExceeded" }]);
        assert!(matches!(end(late), Some(JobEnd::Failed(why)) if why.contains("within its time")));
    }
}
