//! Which language model may be asked.

use std::time::Duration;

use super::source::Source;
use super::url::http_url;
use crate::llm::{LlmSettings, Provider};

const REST: [&str; 6] = [
    "NEUROCA_LLM_API_KEY",
    "NEUROCA_LLM_BASE_URL",
    "NEUROCA_LLM_MAX_TOKENS",
    "NEUROCA_LLM_MODEL",
    "NEUROCA_LLM_TIMEOUT_MS",
    "NEUROCA_LLM_TOKENS_PER_DAY",
];

pub(super) fn read(source: &mut Source) -> Option<LlmSettings> {
    let providers = Provider::ALL.map(|provider| (provider.name(), Some(provider)));
    let named = source.has("NEUROCA_LLM_PROVIDER");
    let Some(provider) = source.choice("NEUROCA_LLM_PROVIDER", None, &providers) else {
        let given: Vec<&str> = REST.into_iter().filter(|name| source.has(name)).collect();
        if !named && !given.is_empty() {
            let verb = if given.len() == 1 { "means" } else { "mean" };
            source.problem(format!(
                "{} {verb} nothing without NEUROCA_LLM_PROVIDER",
                given.join(" and ")
            ));
        }
        return None;
    };
    let name = provider.name();
    // Without a model or a key everything else works; the routes that need them say so.
    let model = source.text("NEUROCA_LLM_MODEL");
    let base_url = match source.text("NEUROCA_LLM_BASE_URL") {
        Some(url) => http_url(source, "NEUROCA_LLM_BASE_URL", &url, "https://api.openai.com/v1"),
        None => match provider.home() {
            Some(home) => home.parse().ok(),
            None => {
                source.problem(format!(
                    "NEUROCA_LLM_PROVIDER={name} needs NEUROCA_LLM_BASE_URL, for example \
                     http://127.0.0.1:8001/v1"
                ));
                None
            }
        },
    };
    let api_key = source.secret("NEUROCA_LLM_API_KEY");
    let timeout = source.number("NEUROCA_LLM_TIMEOUT_MS", 30_000, 100, 600_000);
    let max_tokens = source.number("NEUROCA_LLM_MAX_TOKENS", 1024, 1, 200_000);
    let per_day = source.number("NEUROCA_LLM_TOKENS_PER_DAY", 0, 0, 2_000_000_000);
    Some(LlmSettings {
        provider,
        model,
        base_url: base_url?,
        api_key,
        timeout: Duration::from_millis(timeout.into()),
        max_tokens,
        tokens_per_day: Some(u64::from(per_day)).filter(|tokens| *tokens > 0),
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigError, Settings};
    use crate::llm::Provider;

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        Settings::from_variables(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn each_provider_needs_what_it_needs() {
        let llm = |pairs: &[(&str, &str)]| settings(pairs).expect("valid").llm.expect("a model");
        let openai = llm(&[
            ("NEUROCA_LLM_PROVIDER", "openai"),
            ("NEUROCA_LLM_MODEL", "gpt-4"),
            ("NEUROCA_LLM_API_KEY", "k"),
        ]);
        assert_eq!(openai.base_url.to_string(), "https://api.openai.com/v1");
        assert_eq!((openai.timeout.as_secs(), openai.max_tokens), (30, 1024));
        assert_eq!(openai.tokens_per_day, None);
        let vllm = llm(&[
            ("NEUROCA_LLM_PROVIDER", "vllm"),
            ("NEUROCA_LLM_MODEL", "qwen"),
            ("NEUROCA_LLM_BASE_URL", "http://models:8001/v1"),
            ("NEUROCA_LLM_TOKENS_PER_DAY", "1000"),
        ]);
        assert_eq!((vllm.provider, vllm.tokens_per_day), (Provider::Vllm, Some(1000)));
    }

    #[test]
    fn what_cannot_work_is_said() {
        let problems = |pairs: &[(&str, &str)]| settings(pairs).expect_err("problems").0;
        let vllm = ("NEUROCA_LLM_PROVIDER", "vllm");
        assert_eq!(
            problems(&[vllm]),
            ["NEUROCA_LLM_PROVIDER=vllm needs NEUROCA_LLM_BASE_URL, for example \
              http://127.0.0.1:8001/v1"]
        );
        for url in
            ["models:8001", "ftp://models/v1", "http://u:p@models/v1", "http://models/v1?x=1"]
        {
            let pairs = [vllm, ("NEUROCA_LLM_MODEL", "m"), ("NEUROCA_LLM_BASE_URL", url)];
            let found = problems(&pairs);
            assert!(found.len() == 1 && !found[0].contains("u:p"), "{url}: {found:?}");
        }
        let alone = problems(&[("NEUROCA_LLM_MODEL", "m"), ("NEUROCA_LLM_API_KEY", "k")]);
        assert_eq!(
            alone,
            ["NEUROCA_LLM_API_KEY and NEUROCA_LLM_MODEL mean nothing without NEUROCA_LLM_PROVIDER"]
        );
        let other = problems(&[("NEUROCA_LLM_PROVIDER", "gpt"), ("NEUROCA_LLM_MODEL", "m")]);
        assert_eq!(
            other,
            [
                "NEUROCA_LLM_PROVIDER is not one of openai, anthropic, ollama, vllm, openai-compatible"
            ]
        );
        let key = [
            ("NEUROCA_LLM_PROVIDER", "openai"),
            ("NEUROCA_LLM_MODEL", "m"),
            ("NEUROCA_LLM_API_KEY", "two words"),
        ];
        assert!(problems(&key)[0].contains("visible ASCII"), "{:?}", problems(&key));
    }
}
