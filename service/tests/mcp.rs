//! An agent attaches by the Model Context Protocol: the official client, over a real socket.

mod harness;

use harness::{REQUIRED, Running, key, migrated};
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::{ClientInitializeError, RoleClient, RunningService, ServiceExt};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};

type Client = RunningService<RoleClient, ()>;

async fn attach(service: &Running, token: &str) -> Result<Client, ClientInitializeError> {
    // The client wants one even for plain HTTP; a second one is refused, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("http://{}/v1/mcp", service.address);
    let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token);
    ().serve(StreamableHttpClientTransport::from_config(config)).await
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> CallToolResult {
    let arguments = arguments.as_object().cloned().expect("an object");
    let request = CallToolRequestParams::new(tool).with_arguments(arguments);
    client.call_tool(request).await.expect("an answer")
}

/// The structured result of a tool that worked.
async fn done(client: &Client, tool: &'static str, arguments: Value) -> Value {
    let result = call(client, tool, arguments).await;
    assert_eq!(result.is_error, Some(false), "{result:?}");
    result.structured_content.expect("structured content")
}

/// The stable name of the problem of one that did not.
async fn problem(client: &Client, tool: &'static str, arguments: Value) -> String {
    let result = call(client, tool, arguments).await;
    assert_eq!(result.is_error, Some(true), "{result:?}");
    let problem = result.structured_content.expect("a problem");
    problem["type"].as_str().expect("a type").trim_start_matches("urn:neuroca:problem:").to_owned()
}

async fn tools(client: &Client) -> Vec<String> {
    let all = client.list_all_tools().await.expect("tools");
    all.into_iter().map(|tool| tool.name.into_owned()).collect()
}

#[tokio::test]
async fn an_agent_remembers_finds_and_forgets() {
    let dir = migrated();
    let agent = key(dir.path(), "acme", "agent");
    let service = Running::serve(dir.path(), &[REQUIRED, ("NEUROCA_MASK", "email")]);
    let client = attach(&service, &agent).await.expect("attaches");
    let info = client.peer_info().expect("who serves");
    assert_eq!(info.server_info.as_ref().expect("a name").name, "neuroca");
    assert_eq!(tools(&client).await, ["add", "search", "context", "forget"]);

    let content = "Ann adopted a dog called Biscuit, says ann@example.com";
    let added = done(&client, "add", json!({"content": content, "subject": "ann"})).await;
    assert_eq!(added["tier"], "long_term", "what an agent keeps stays");
    assert_eq!(added["content"], "Ann adopted a dog called Biscuit, says [email]");
    let id = added["id"].as_str().expect("an id");
    let found = done(&client, "search", json!({"query": "What is Ann's dog called?"})).await;
    assert_eq!(found["items"][0]["memory"]["id"], id);
    let context = json!({"query": "Ann's dog", "subject": "ann", "max_tokens": 100});
    let context = call(&client, "context", context).await;
    let text = context.content[0].as_text().expect("text").text.clone();
    assert!(text.ends_with("Ann adopted a dog called Biscuit, says [email]\n"), "{text}");
    // The same memory by the other door.
    let bearer = format!("Bearer {agent}");
    let headers = [("authorization", bearer.as_str())];
    let path = format!("/v1/memories/{id}");
    assert_eq!(service.connect().request("GET", &path, &headers, "").status, 200);

    assert_eq!(done(&client, "forget", json!({"id": id})).await, json!({"forgotten": id}));
    assert_eq!(problem(&client, "forget", json!({"id": id})).await, "no-such-memory");
    let found = done(&client, "search", json!({"query": "dog"})).await;
    assert_eq!(found["items"], json!([]));
    for (tool, arguments) in [
        ("add", json!({})),
        ("add", json!({"content": ""})),
        ("add", json!({"content": "x", "teir": "working"})),
        ("search", json!({"query": "x", "limit": 0})),
        ("context", json!({"query": "x", "max_tokens": 1})),
        ("nothing", json!({})),
    ] {
        assert_eq!(problem(&client, tool, arguments.clone()).await, "invalid", "{arguments}");
    }
    client.cancel().await.expect("leaves");
}

#[tokio::test]
async fn roles_and_tenants_hold_here_too() {
    let dir = migrated();
    let (hers, his) = (key(dir.path(), "a", "agent"), key(dir.path(), "b", "agent"));
    let looks = key(dir.path(), "a", "viewer");
    let service = Running::serve(dir.path(), &[REQUIRED]);
    let refused = attach(&service, "nonsense").await.expect_err("not without a key");
    assert!(refused.auth_challenge().is_some_and(|it| it.starts_with("Bearer")), "{refused:?}");
    let (a, b) =
        (attach(&service, &hers).await.expect("a"), attach(&service, &his).await.expect("b"));
    let added = done(&a, "add", json!({"content": "canary of a"})).await;
    assert_eq!(done(&b, "search", json!({"query": "canary"})).await["items"], json!([]));
    let theft = json!({"id": added["id"]});
    assert_eq!(problem(&b, "forget", theft.clone()).await, "no-such-memory");
    let viewer = attach(&service, &looks).await.expect("a viewer");
    assert_eq!(tools(&viewer).await, ["search", "context"]);
    assert_eq!(problem(&viewer, "add", json!({"content": "x"})).await, "forbidden");
    assert_eq!(problem(&viewer, "forget", theft).await, "forbidden");
    let found = done(&viewer, "search", json!({"query": "canary"})).await;
    assert_eq!(found["items"][0]["memory"]["id"], added["id"]);
}

#[tokio::test]
async fn a_limit_limits_and_a_new_process_needs_no_new_session() {
    let dir = migrated();
    let agent = key(dir.path(), "default", "agent");
    let mut service = Running::serve(dir.path(), &[REQUIRED]);
    let client = attach(&service, &agent).await.expect("attaches");
    done(&client, "add", json!({"content": "Ann drinks tea"})).await;
    service.signal("TERM");
    assert!(service.wait().success());
    // Another process takes over at the same address, as a release does behind the edge.
    let port = service.address.rsplit(':').next().expect("a port").to_owned();
    let limited = [REQUIRED, ("PORT", port.as_str()), ("NEUROCA_RATE_LIMIT_PER_MINUTE", "3")];
    let _service = Running::serve(dir.path(), &limited);
    for _ in 0..3 {
        let found = done(&client, "search", json!({"query": "tea"})).await;
        assert_eq!(found["items"][0]["memory"]["content"], "Ann drinks tea");
    }
    let arguments = json!({"query": "tea"}).as_object().cloned().expect("an object");
    let request = CallToolRequestParams::new("search").with_arguments(arguments);
    let refused = client.call_tool(request).await.expect_err("the limit");
    assert!(format!("{refused:?}").contains("429"), "{refused:?}");
}

#[test]
fn what_is_no_message_gets_a_problem() {
    let dir = migrated();
    let service = Running::serve(dir.path(), &[]);
    let post = |headers: &[(&str, &str)], body: &str| {
        service.connect().request("POST", "/v1/mcp", headers, body)
    };
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let answer = post(&[], ping);
    assert_eq!((answer.status, answer.json()["id"].clone()), (200, json!(1)));
    let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(post(&[], note).status, 202);
    let unknown = post(&[], r#"{"jsonrpc":"2.0","id":2,"method":"canary words"}"#);
    assert_eq!(unknown.json()["error"]["code"], -32601, "{unknown:?}");
    assert_eq!(post(&[], "{").problem(), "malformed");
    assert_eq!(post(&[], r#"{"id":1}"#).status / 100, 4);
    assert_eq!(post(&[("content-type", "text/plain")], ping).problem(), "media-type");
    assert_eq!(post(&[("accept", "text/html")], ping).problem(), "not-acceptable");
    assert_eq!(service.get("/v1/mcp").problem(), "method");
    let large = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "x".repeat(3 << 20));
    assert_eq!(post(&[], &large).problem(), "too-large");
    // As long as nobody is asked who they are, another site's page is not let in.
    assert_eq!(post(&[("origin", "https://evil.example")], ping).problem(), "foreign-origin");
    assert_eq!(post(&[("origin", "http://localhost:6274")], ping).status, 200);
}
