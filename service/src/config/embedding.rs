//! Where the vectors of a search by meaning come from, if there are any.

use std::time::Duration;

use super::source::Source;
use super::url::http_url;
use crate::embedding::{self, EmbeddingSettings};

const MEBIBYTE: usize = 1024 * 1024;
/// Mean nothing without a source.
const REST: [&str; 4] = [
    "NEUROCA_EMBEDDINGS_API_KEY",
    "NEUROCA_EMBEDDINGS_CACHE_MB",
    "NEUROCA_EMBEDDINGS_MODEL",
    "NEUROCA_EMBEDDINGS_TIMEOUT_MS",
];

pub(super) fn read(source: &mut Source) -> Option<EmbeddingSettings> {
    let given: Vec<&str> = REST.into_iter().filter(|name| source.has(name)).collect();
    let from = match (source.text("NEUROCA_EMBEDDINGS_PATH"), source.text("NEUROCA_EMBEDDINGS_URL"))
    {
        (None, None) => {
            if !given.is_empty() {
                source.problem(format!(
                    "{} without NEUROCA_EMBEDDINGS_PATH or NEUROCA_EMBEDDINGS_URL: nothing computes \
                     embeddings",
                    given.join(", ")
                ));
            }
            return None;
        }
        (Some(_), Some(_)) => {
            source.problem(
                "NEUROCA_EMBEDDINGS_PATH and NEUROCA_EMBEDDINGS_URL are both set; keep one",
            );
            return None;
        }
        (Some(path), None) => {
            for name in ["NEUROCA_EMBEDDINGS_API_KEY", "NEUROCA_EMBEDDINGS_MODEL"] {
                if source.has(name) {
                    source.problem(format!("{name} means nothing for a model in a directory"));
                }
            }
            Some(embedding::Source::Directory(path.into()))
        }
        (None, Some(url)) => server(source, &url),
    };
    let timeout = source.number("NEUROCA_EMBEDDINGS_TIMEOUT_MS", 1000, 10, 60_000);
    let cache = source.number("NEUROCA_EMBEDDINGS_CACHE_MB", 256, 1, 65_536);
    Some(EmbeddingSettings {
        source: from?,
        timeout: Duration::from_millis(timeout.into()),
        cache_bytes: cache as usize * MEBIBYTE,
    })
}

fn server(source: &mut Source, url: &str) -> Option<embedding::Source> {
    let example = "https://api.openai.com/v1";
    let base_url = http_url(source, "NEUROCA_EMBEDDINGS_URL", url, example);
    let api_key = source.secret("NEUROCA_EMBEDDINGS_API_KEY");
    let Some(model) = source.text("NEUROCA_EMBEDDINGS_MODEL") else {
        source.problem(
            "NEUROCA_EMBEDDINGS_URL needs NEUROCA_EMBEDDINGS_MODEL, for example \
             text-embedding-3-small",
        );
        return None;
    };
    Some(embedding::Source::Server { base_url: base_url?, model, api_key })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::config::{ConfigError, Settings};
    use crate::embedding::Source;

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        Settings::from_variables(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn a_directory_or_a_server_and_nothing_by_default() {
        assert_eq!(settings(&[]).expect("valid").embeddings, None);
        let local = settings(&[("NEUROCA_EMBEDDINGS_PATH", "/models/minilm")]).expect("valid");
        let local = local.embeddings.expect("a source");
        assert_eq!(local.source, Source::Directory("/models/minilm".into()));
        assert_eq!((local.timeout, local.cache_bytes), (Duration::from_secs(1), 256 << 20));
        let server = settings(&[
            ("NEUROCA_EMBEDDINGS_URL", "http://models:8001/v1"),
            ("NEUROCA_EMBEDDINGS_MODEL", "bge"),
            ("NEUROCA_EMBEDDINGS_API_KEY", "hunter2-canary"),
        ]);
        let server = format!("{:?}", server.expect("valid").embeddings);
        assert!(server.contains("bge") && !server.contains("hunter2"), "{server}");
    }

    #[test]
    fn what_cannot_work_is_said() {
        let problems = |pairs: &[(&str, &str)]| settings(pairs).expect_err("problems").0;
        let (path, url) =
            (("NEUROCA_EMBEDDINGS_PATH", "/m"), ("NEUROCA_EMBEDDINGS_URL", "http://m/v1"));
        let model = ("NEUROCA_EMBEDDINGS_MODEL", "bge");
        for (pairs, said) in [
            (vec![model], "nothing computes embeddings"),
            (vec![path, url, model], "keep one"),
            (vec![path, model], "means nothing for a model in a directory"),
            (vec![url], "needs NEUROCA_EMBEDDINGS_MODEL"),
            (vec![("NEUROCA_EMBEDDINGS_URL", "models:8001"), model], "not an http:// or https://"),
        ] {
            let found = problems(&pairs);
            assert!(found.iter().any(|one| one.contains(said)), "{pairs:?}: {found:?}");
        }
    }
}
