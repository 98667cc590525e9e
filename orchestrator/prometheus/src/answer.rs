//! What Prometheus' HTTP API answers, read strictly.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::trouble::{Trouble, excerpt};

pub type Labels = BTreeMap<String, String>;

/// One series and its values as they were written, by time in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub labels: Labels,
    pub values: Vec<(u64, String)>,
    /// A native histogram: it has no `le`.
    pub native: bool,
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<Data>,
    #[serde(default, rename = "errorType")]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Matrix(Vec<Row>),
    Scalar((f64, String)),
    Vector(IgnoredAny),
    String(IgnoredAny),
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    metric: Labels,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    histograms: Vec<IgnoredAny>,
}

/// The series of a range query.
pub fn series(status: u16, body: &[u8]) -> Result<Vec<Series>, Trouble> {
    match data(status, body)? {
        Data::Matrix(rows) => Ok(rows.into_iter().map(Series::from).collect()),
        _ => Err(foreign("its result is no matrix", body)),
    }
}

/// The time that an instant query of `time()` gives.
pub fn time(status: u16, body: &[u8]) -> Result<f64, Trouble> {
    match data(status, body)? {
        Data::Scalar((_, value)) => match value.parse() {
            Ok(value) if f64::is_finite(value) && value >= 0.0 => Ok(value),
            _ => Err(foreign("it is no time", body)),
        },
        _ => Err(foreign("its result is no scalar", body)),
    }
}

fn data(status: u16, body: &[u8]) -> Result<Data, Trouble> {
    let envelope: Envelope = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        Err(_) if status != 200 => {
            return Err(Trouble::Status { code: status, said: excerpt(body) });
        }
        Err(e) => return Err(foreign(&e.to_string(), body)),
    };
    if envelope.status != "success" {
        let said = excerpt(format!("{}: {}", envelope.error_type, envelope.error).as_bytes());
        return Err(match envelope.error_type.as_str() {
            "bad_data" | "execution" => Trouble::Query { said },
            _ => Trouble::Status { code: status, said },
        });
    }
    if status != 200 {
        return Err(Trouble::Status { code: status, said: excerpt(body) });
    }
    if !envelope.warnings.is_empty() {
        return Err(Trouble::Partial { said: excerpt(envelope.warnings.join(", ").as_bytes()) });
    }
    envelope.data.ok_or_else(|| foreign("it has no data", body))
}

fn foreign(why: &str, body: &[u8]) -> Trouble {
    Trouble::Foreign { said: format!("{why}, in {}", excerpt(body)) }
}

impl From<Row> for Series {
    fn from(row: Row) -> Self {
        let values =
            row.values.into_iter().map(|(at, value)| ((at * 1000.0).round() as u64, value));
        Self { labels: row.metric, values: values.collect(), native: !row.histograms.is_empty() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_read_with_its_times_in_milliseconds() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"le":"0.1"},"values":[[1700000000.001,"3"],[1700000001,"NaN"]]},
            {"metric":{},"histograms":[[1700000000,{"count":"1"}]]}]},"infos":["x"]}"#;
        let all = series(200, body).expect("a matrix");
        let expected = vec![(1_700_000_000_001, "3".into()), (1_700_000_001_000, "NaN".into())];
        assert_eq!(all[0].values, expected);
        assert_eq!((all[0].native, all[1].native), (false, true));
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        let of = |status, body: &str| series(status, body.as_bytes()).expect_err(body).to_string();
        let bad = r#"{"status":"error","errorType":"bad_data","error":"1:5: parse error"}"#;
        assert!(of(400, bad).contains("refused the query: \"bad_data: 1:5: parse error\""));
        let busy = r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#;
        assert!(of(503, busy).contains("HTTP 503"), "{}", of(503, busy));
        assert!(of(200, "<html>\u{1b}[31mLog in</html>").contains("\"<html>[31mLog in</html>\""));
        assert!(of(502, "Bad gateway").contains("HTTP 502: \"Bad gateway\""));
        assert!(of(200, "").contains("an empty body"));
        assert!(of(200, r#"{"status":"success"}"#).contains("has no data"));
        let partial = r#"{"status":"success","data":{"resultType":"matrix","result":[]},
            "warnings":["store 3 is down"]}"#;
        assert!(of(200, partial).contains("incomplete: \"store 3 is down\""));
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        assert!(of(200, vector).contains("no matrix"));
    }
}
