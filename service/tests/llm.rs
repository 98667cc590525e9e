//! Answers of a language model, asked over a real socket, from a provider on a real socket.

mod harness;

use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::model::{self, Model, Reply, Step, anthropic, openai};
use harness::{Answer, Connection, REQUIRED, Running, key, migrated};
use serde_json::{Value, json};

const QUERY: &str = "/v1/llm/query";
const CONVERSATION: &str = "/v1/llm/conversation";

fn serve(dir: &Path, model: &Model, provider: &str, more: &[(&str, &str)]) -> Running {
    let own = model.variables(provider);
    let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Running::serve(dir, &[&own, more].concat())
}

fn post(service: &Running, path: &str, body: &Value) -> Answer {
    service.connect().request("POST", path, &[], &body.to_string())
}

fn add(service: &Running, content: &str) -> Value {
    let body = json!({"content": content, "subject": "ann", "tier": "long_term"});
    let made = post(service, "/v1/memories", &body);
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["id"].clone()
}

/// The next line of a stream that has not ended.
fn line(connection: &mut Connection) -> String {
    assert!(!connection.0.fill_buf().expect("bytes").is_empty(), "the stream was cut");
    connection.read_line().expect("a line")
}

/// The events of a stream: their names and data, until it ends.
fn events(connection: &mut Connection) -> Vec<(String, Value)> {
    let mut events = Vec::new();
    let mut name = String::new();
    loop {
        let line = line(connection);
        // Sizes of chunks and empty lines stand between the lines of the events.
        if line == "0" {
            return events;
        }
        if let Some(text) = line.strip_prefix("event: ") {
            name = text.to_owned();
        } else if let Some(text) = line.strip_prefix("data: ") {
            events.push((name.clone(), serde_json::from_str(text).expect("JSON")));
        }
    }
}

fn stream(service: &Running, path: &str, body: &Value) -> Vec<(String, Value)> {
    let mut connection = service.connect();
    let head = connection.request("POST", path, &[], &body.to_string());
    assert_eq!(head.status, 200, "{head:?}");
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    events(&mut connection)
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn an_answer_rests_on_memories_and_names_them() {
    let dir = migrated();
    let model = Model::start(vec![openai(&["Her dog is ", "Biscuit [1", "]. Not [7]."])]);
    let service = serve(dir.path(), &model, "openai", &[]);
    let biscuit = add(&service, "Ann adopted a dog\ncalled Biscuit");
    add(&service, "Bob likes green tea");
    let answer = post(&service, QUERY, &json!({"query": "What is the name of Ann's dog?"}));
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer["answer"], "Her dog is Biscuit [1]. Not [7].");
    assert_eq!(answer["citations"], json!([{"number": 1, "memory": biscuit}]));
    assert_eq!(answer["memories"][0]["memory"], biscuit);
    assert_eq!(answer["usage"], json!({"prompt_tokens": 100, "answer_tokens": 7}));
    assert_eq!((&answer["model"], &answer["estimated"]), (&json!("test-model"), &json!(false)));
    assert_eq!(answer["remembered"], json!([]));

    let asked = model.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/v1/chat/completions");
    assert_eq!(asked[0].header("authorization"), Some("Bearer canary-key"));
    assert_eq!(asked[0].body["model"], "test-model");
    assert_eq!(asked[0].body["stream"], true);
    let given = asked[0].given();
    assert!(given.contains("Ann adopted a dog called Biscuit\n"), "{given}");
    assert!(given.ends_with("What is the name of Ann's dog?"), "{given}");
    assert_eq!(service.get("/health").json()["llm"], "openai");
    let metrics = service.get("/metrics").body;
    for line in [
        r#"neuroca_llm_requests_total{outcome="answered",provider="openai","#,
        r#"neuroca_llm_tokens_total{kind="answer",provider="openai","#,
    ] {
        assert!(metrics.lines().any(|have| have.starts_with(line)), "{line}\n{metrics}");
    }
}

#[test]
fn a_conversation_comes_word_by_word_and_is_remembered() {
    let dir = migrated();
    let model = Model::start(vec![anthropic(&["Hello ", "Ann."]), anthropic(&["Of tea."])]);
    let service = serve(dir.path(), &model, "anthropic", &[("NEUROCA_MASK", "email")]);
    let say = |message: &str| {
        stream(&service, CONVERSATION, &json!({"message": message, "subject": "ann"}))
    };
    let first = say("I am Ann, ann@example.com, and I drink tea");
    assert_eq!(names(&first), ["memories", "text", "text", "answer"]);
    assert_eq!((&first[1].1["text"], &first[2].1["text"]), (&json!("Hello "), &json!("Ann.")));
    let answer = &first[3].1;
    assert_eq!(answer["answer"], "Hello Ann.");
    assert_eq!(answer["usage"], json!({"prompt_tokens": 100, "answer_tokens": 7}));
    assert_eq!(answer["remembered"].as_array().map(Vec::len), Some(2));
    let kept = service.get("/v1/memory/working?subject=ann").json();
    let kept: Vec<(&Value, &Value)> = kept["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|one| (&one["memory"]["content"], &one["memory"]["metadata"]["role"]))
        .collect();
    let message = json!("I am Ann, [email], and I drink tea");
    assert_eq!(kept, [(&json!("Hello Ann."), &json!("assistant")), (&message, &json!("user"))]);

    // What was said before need not be said again.
    say("What was it that we spoke of?");
    let asked = model.asked();
    assert_eq!(asked[1].path, "/v1/messages");
    assert_eq!(asked[1].header("x-api-key"), Some("canary-key"));
    assert_eq!(asked[1].header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(asked[1].header("authorization"), None);
    let given = asked[1].body["system"].as_str().expect("a system prompt");
    assert!(given.contains("I drink tea") && given.contains("Hello Ann."), "{given}");

    let forgetful = json!({"message": "Psst", "subject": "bob", "remember": false, "stream": false,
        "earlier": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]});
    let answer = post(&service, CONVERSATION, &forgetful);
    assert_eq!((answer.status, &answer.json()["remembered"]), (200, &json!([])));
    let roles: Vec<Value> = model.asked()[2].body["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|one| one["role"].clone())
        .collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    let none = service.get("/v1/memory/working?subject=bob").json();
    assert_eq!(none["items"], json!([]));
}

#[test]
fn each_way_to_fail_has_its_answer() {
    let fails = |line: &str, headers: &str| model::status(line, headers, "{}");
    let fine = openai(&["fine"]);
    let broken = vec![model::head(), model::chunk("data: {\"choi\n\n"), model::end()];
    let cut = vec![model::head(), model::openai_text("He")];
    let silent: Reply = vec![Step::Silence];
    let error =
        r#"{"error":{"message":"bad key canary-key","type":"auth","code":"invalid_api_key"}}"#;
    let unauthorized = model::status("401 Unauthorized", "", error);
    let busy = |wait: &str| fails("429 Too Many Requests", &format!("retry-after: {wait}\r\n"));
    let html = model::status("200 OK", "content-type: text/html\r\n", "<h1>Log in</h1>");
    // What the provider does; status and problem of the answer; how often it is asked.
    let cases: Vec<(&str, Vec<Reply>, u16, &str, usize)> = vec![
        ("500 once", vec![fails("500 Oops", ""), fine.clone()], 200, "", 2),
        ("529 for ever", vec![fails("529 Overloaded", "")], 502, "llm-failed", 3),
        ("429, soon", vec![busy("0"), fine.clone()], 200, "", 2),
        ("429, later", vec![busy("77")], 503, "llm-busy", 1),
        ("429, some day", vec![fails("429 Too Many", ""), fine.clone()], 503, "llm-busy", 1),
        ("silence", vec![silent, fine.clone()], 504, "llm-timeout", 1),
        ("cut", vec![cut, fine.clone()], 502, "llm-failed", 1),
        ("no JSON", vec![broken, fine.clone()], 502, "llm-failed", 1),
        ("no stream", vec![html, fine.clone()], 502, "llm-failed", 1),
        ("401", vec![unauthorized, fine], 502, "llm-refused", 1),
    ];
    let dir = migrated();
    for (case, replies, status, problem, attempts) in cases {
        let model = Model::start(replies);
        // Where it is not to run out, a busy machine must not make it.
        let patience = if case == "silence" { "300" } else { "30000" };
        let patience = [("NEUROCA_LLM_TIMEOUT_MS", patience)];
        let mut service = serve(dir.path(), &model, "openai-compatible", &patience);
        let answer = post(&service, QUERY, &json!({"query": "Hello?"}));
        assert_eq!(answer.status, status, "{case}: {answer:?}");
        assert_eq!(model.asked().len(), attempts, "{case}");
        if status == 200 {
            assert_eq!(answer.json()["answer"], "fine", "{case}");
        } else {
            assert_eq!(answer.problem(), problem, "{case}");
        }
        if case == "429, later" {
            assert_eq!(answer.header("retry-after"), Some("77"));
        }
        service.signal("TERM");
        let log = service.rest();
        assert!(!answer.body.contains("canary") && !log.contains("canary"), "{case}: {log}");
        assert!(service.wait().success());
    }
}

#[test]
fn a_stream_says_that_it_could_not_go_on() {
    let cut = vec![model::head(), model::openai_text("He")];
    let silent = vec![model::head(), model::openai_text("He"), Step::Silence];
    let ended = vec![model::head(), model::openai_text("He"), model::end()];
    for (reply, problem) in [(cut, "llm-failed"), (silent, "llm-timeout"), (ended, "llm-failed")] {
        let dir = migrated();
        let model = Model::start(vec![reply]);
        let patience = if problem == "llm-timeout" { "2000" } else { "30000" };
        let patience = [("NEUROCA_LLM_TIMEOUT_MS", patience)];
        let service = serve(dir.path(), &model, "ollama", &patience);
        let told = stream(&service, CONVERSATION, &json!({"message": "Hi", "subject": "ann"}));
        assert_eq!(names(&told), ["memories", "text", "problem"]);
        let kind = format!("urn:neuroca:problem:{problem}");
        assert_eq!(told[2].1["type"], kind);
        let kept = service.get("/v1/memory/working").json();
        assert_eq!(kept["items"], json!([]), "what got no answer is not remembered");
    }
}

#[test]
fn a_provider_that_is_gone_is_left_alone_and_comes_back() {
    let dir = migrated();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let url = format!("http://{address}/v1");
    let env = [
        ("NEUROCA_LLM_PROVIDER", "vllm"),
        ("NEUROCA_LLM_MODEL", "m"),
        ("NEUROCA_LLM_BASE_URL", url.as_str()),
    ];
    let service = Running::serve(dir.path(), &env);
    add(&service, "Ann drinks tea");
    let ask = || post(&service, QUERY, &json!({"query": "tea?"}));
    let gone = ask();
    assert_eq!((gone.status, gone.problem()), (503, "llm-unavailable".into()));
    // Five failures in a row: three attempts, then two.
    let left_alone = ask();
    let wait: u64 = left_alone.header("retry-after").expect("seconds").parse().expect("a number");
    assert!(left_alone.body.contains("left alone") && (1..=5).contains(&wait), "{left_alone:?}");
    let gauge = |value: u8| {
        let metrics = service.get("/metrics").body;
        metrics.lines().any(|line| {
            line.starts_with("neuroca_llm_left_alone{") && line.ends_with(&format!(" {value}"))
        })
    };
    assert!(gauge(1));
    let begin = Instant::now();
    assert_eq!(ask().problem(), "llm-unavailable");
    assert!(begin.elapsed() < Duration::from_secs(2), "nobody waits for it");
    assert_eq!(post(&service, "/v1/search", &json!({"query": "tea"})).status, 200);
    assert_eq!(service.get("/health/ready").status, 200);

    let model = Model::start_at(address, vec![openai(&["back"])]);
    let answer = (0..100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(200));
        Some(ask()).filter(|answer| answer.status == 200)
    });
    assert_eq!(answer.expect("it is asked again").json()["answer"], "back");
    assert_eq!(model.asked().len(), 1, "one tries for all");
    assert!(gauge(0));
}

#[test]
fn a_day_s_tokens_are_a_tenant_s_own_and_outlive_the_process() {
    let dir = migrated();
    let (a, b) = (key(dir.path(), "a", "agent"), key(dir.path(), "b", "agent"));
    let model = Model::start(vec![openai(&["fine"])]);
    // A question takes up to 500 + what it is given, and turns out to take 107.
    let env = [REQUIRED, ("NEUROCA_LLM_MAX_TOKENS", "500"), ("NEUROCA_LLM_TOKENS_PER_DAY", "1000")];
    let ask = |service: &Running, key: &str| {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        service.connect().request("POST", QUERY, &headers, r#"{"query":"Hello?"}"#)
    };
    let mut service = serve(dir.path(), &model, "openai", &env);
    for _ in 0..2 {
        assert_eq!(ask(&service, &a).status, 200);
    }
    service.signal("TERM");
    assert!(service.wait().success());
    let service = serve(dir.path(), &model, "openai", &env);
    let refused = (0..10).map(|_| ask(&service, &a)).find(|answer| answer.status != 200);
    let refused = refused.expect("the day's tokens end");
    assert_eq!((refused.status, refused.problem()), (429, "llm-budget".into()));
    let wait: u64 = refused.header("retry-after").expect("seconds").parse().expect("a number");
    assert!((1..=86_400).contains(&wait), "{wait}");
    let asked = model.asked().len();
    assert!((3..=5).contains(&asked), "{asked} questions of 107 of 1000");
    assert_eq!(ask(&service, &b).status, 200, "another tenant has its own");
    let bearer = format!("Bearer {b}");
    let stats = service.connect().request("GET", "/v1/stats", &[("authorization", &bearer)], "");
    assert_eq!(stats.json()["llm_tokens_per_day"], 1000);
}

#[test]
fn without_a_model_everything_else_works() {
    let dir = migrated();
    let without_key = [("NEUROCA_LLM_PROVIDER", "openai"), ("NEUROCA_LLM_MODEL", "gpt-4")];
    for env in [&[][..], &without_key[..], &without_key[..1]] {
        let service = Running::serve(dir.path(), env);
        add(&service, "Ann drinks tea");
        assert_eq!(post(&service, "/v1/search", &json!({"query": "tea"})).status, 200);
        assert_eq!(service.get("/health/ready").status, 200);
        for (path, body) in
            [(QUERY, json!({"query": "x"})), (CONVERSATION, json!({"message": "x"}))]
        {
            let refused = post(&service, path, &body);
            assert_eq!((refused.status, refused.problem()), (501, "llm-not-configured".into()));
        }
    }
}

#[test]
fn what_is_asked_has_to_be_well_formed() {
    let dir = migrated();
    let model = Model::start(vec![openai(&["fine"])]);
    let service = serve(dir.path(), &model, "openai", &[]);
    for (path, body) in [
        (QUERY, json!({})),
        (QUERY, json!({"query": ""})),
        (QUERY, json!({"query": "x", "context_tokens": 1})),
        (QUERY, json!({"query": "x", "subject": ""})),
        (QUERY, json!({"query": "x", "remember": true})),
        (QUERY, json!({"query": "x".repeat(32 * 1024 + 1)})),
        (CONVERSATION, json!({"message": "\0"})),
        (CONVERSATION, json!({"message": "x", "earlier": [{"role": "system", "content": "x"}]})),
        (CONVERSATION, json!({"message": "x", "earlier": [{"role": "user", "content": ""}]})),
    ] {
        assert_eq!(post(&service, path, &body).problem(), "invalid", "{body}");
    }
    assert!(model.asked().is_empty());
}

#[test]
fn an_answer_is_finished_after_sigterm() {
    let dir = migrated();
    let (wait, go) = model::gate();
    let mut reply = vec![model::head(), model::openai_text("Slow")];
    reply.extend([wait, model::openai_text("ly"), model::openai_end(), model::end()]);
    let model = Model::start(vec![reply]);
    let mut service = serve(dir.path(), &model, "openai", &[]);
    let mut connection = service.connect();
    let body = json!({"message": "Hi", "subject": "ann"}).to_string();
    assert_eq!(connection.request("POST", CONVERSATION, &[], &body).status, 200);
    while line(&mut connection) != r#"data: {"text":"Slow"}"# {}
    service.signal("TERM");
    service.line("stopped listening");
    go.send(()).expect("it waits");
    let rest = events(&mut connection);
    assert_eq!(names(&rest), ["text", "answer"]);
    assert_eq!(rest[1].1["answer"], "Slowly");
    assert_eq!(rest[1].1["remembered"].as_array().map(Vec::len), Some(2));
    assert!(service.wait().success());
    let service = Running::serve(dir.path(), &[]);
    let kept = service.get("/v1/memory/working?subject=ann").json();
    assert_eq!(kept["items"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_client_that_leaves_ends_the_work_and_pays_for_what_there_was() {
    let dir = migrated();
    let (gone, left) = std::sync::mpsc::channel();
    let begun = vec![model::head(), model::openai_text("So "), Step::UntilGone(gone)];
    let model = Model::start(vec![begun]);
    let service = serve(dir.path(), &model, "openai", &[("NEUROCA_LLM_MAX_TOKENS", "50000")]);
    let mut connection = service.connect();
    let body = json!({"message": "Hi"}).to_string();
    assert_eq!(connection.request("POST", CONVERSATION, &[], &body).status, 200);
    while line(&mut connection) != r#"data: {"text":"So "}"# {}
    let tokens = || service.get("/v1/stats").json()["llm_tokens_today"].as_u64().expect("tokens");
    assert!(tokens() > 50_000, "what it may cost is taken before");
    drop(connection);
    left.recv_timeout(Duration::from_secs(20)).expect("the model need not go on");
    let settled = (0..200).map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        tokens()
    });
    let settled = settled.into_iter().find(|tokens| *tokens < 50_000).expect("given back");
    assert!((50..2000).contains(&settled), "{settled}");
    let metrics = service.get("/metrics").body;
    assert!(metrics.contains(r#"neuroca_llm_requests_total{outcome="abandoned""#), "{metrics}");
}

#[test]
fn an_answer_that_takes_too_long_after_sigterm_says_so() {
    let dir = migrated();
    let silent = vec![Step::Silence];
    let begun = vec![model::head(), model::openai_text("Sl"), Step::Silence];
    let model = Model::start(vec![silent, begun]);
    let mut service = serve(dir.path(), &model, "openai", &[]);
    let mut waiting = service.connect();
    let query = r#"{"query":"Hi"}"#;
    let head = format!(
        "POST {QUERY} HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{query}",
        query.len()
    );
    waiting.send(head.as_bytes());
    while model.asked().is_empty() {
        std::thread::yield_now();
    }
    let mut connection = service.connect();
    let body = json!({"message": "Hi"}).to_string();
    assert_eq!(connection.request("POST", CONVERSATION, &[], &body).status, 200);
    while line(&mut connection) != r#"data: {"text":"Sl"}"# {}
    service.signal("TERM");
    let rest = events(&mut connection);
    assert_eq!(rest[0].1["type"], "urn:neuroca:problem:unavailable");
    assert_eq!(waiting.answer().expect("an answer").problem(), "unavailable");
    assert!(service.wait().success());
}

#[test]
fn the_key_may_come_from_a_file() {
    let dir = migrated();
    let model = Model::start(vec![openai(&["fine"])]);
    let path = dir.path().join("key");
    std::fs::write(&path, "from-a-file\n").expect("written");
    let url = format!("http://{}/v1/", model.address);
    let env = [
        ("NEUROCA_LLM_PROVIDER", "openai"),
        ("NEUROCA_LLM_MODEL", "m"),
        ("NEUROCA_LLM_BASE_URL", url.as_str()),
        ("NEUROCA_LLM_API_KEY_FILE", path.to_str().expect("UTF-8")),
    ];
    let service = Running::serve(dir.path(), &env);
    assert_eq!(post(&service, QUERY, &json!({"query": "x"})).status, 200);
    let asked = model.asked();
    assert_eq!(asked[0].header("authorization"), Some("Bearer from-a-file"));
    assert_eq!(asked[0].path, "/v1/chat/completions");
}
