//! One list of operations, out of which come the routes, who may use them, and the OpenAPI document:
//! a route that is not documented, or that has no role, cannot be written down here.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::{Shared, admit};
use crate::auth::Role;
use crate::maintenance::Access;

/// Goes on in maintenance: it is what ends it.
const ADMINISTRATION: &str = "/v1/admin/";

type Build = fn(&mut SchemaGenerator) -> Schema;

fn build<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A JSON answer, or one without a body.
struct Answer {
    status: u16,
    description: &'static str,
    media_type: &'static str,
    schema: Option<Build>,
    headers: &'static [&'static str],
}

/// What can be done at one path with one method.
pub(super) struct Operation {
    method: Method,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    role: Option<Role>,
    access: Access,
    query: Option<Build>,
    headers: Vec<&'static str>,
    body: Option<Build>,
    answers: Vec<Answer>,
    route: MethodRouter<Arc<Shared>>,
}

impl Operation {
    /// `handler` at `path`, for nobody in particular.
    pub(super) fn new<H, T>(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        let access = match method {
            _ if path.starts_with(ADMINISTRATION) => Access::Administers,
            Method::GET => Access::Reads,
            _ => Access::Changes,
        };
        Self {
            method,
            path,
            id,
            summary,
            role: None,
            access,
            query: None,
            headers: Vec::new(),
            body: None,
            answers: Vec::new(),
            route: MethodRouter::new().on(filter, handler),
        }
    }

    /// Only for `role` and those above it.
    pub(super) fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// Changes nothing, whatever its method says: goes on while maintenance lets only reads through.
    pub(super) fn reads_only(mut self) -> Self {
        self.access = Access::Reads;
        self
    }

    /// Takes the fields of `T` in the query.
    pub(super) fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(build::<T>);
        self
    }

    /// Takes `T` as JSON.
    pub(super) fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(build::<T>);
        self
    }

    /// Takes a header, optionally.
    pub(super) fn header(mut self, name: &'static str) -> Self {
        self.headers.push(name);
        self
    }

    /// Answers `T` as JSON.
    pub(super) fn json<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        self.answer(status, description, "application/json", Some(build::<T>), &[])
    }

    /// Answers a memory or the like with an `ETag`.
    pub(super) fn tagged<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        self.answer(status, description, "application/json", Some(build::<T>), &["ETag"])
    }

    /// Answers without a body.
    pub(super) fn empty(self, status: u16, description: &'static str) -> Self {
        self.answer(status, description, "", None, &[])
    }

    /// Answers a problem with this status, of which something else is said, too.
    pub(super) fn problem(self, status: u16) -> Self {
        self.answer(status, "", "application/problem+json", Some(build::<Problem>), &[])
    }

    /// Answers something that is not JSON.
    pub(super) fn text(self, media_type: &'static str, description: &'static str) -> Self {
        self.answer(200, description, media_type, Some(build::<String>), &[])
    }

    /// Answers with events as they come. Without a schema: some readers of the document take it for that
    /// of an event, others for that of all of the text.
    pub(super) fn events(self, description: &'static str) -> Self {
        self.answer(200, description, "text/event-stream", None, &[])
    }

    fn answer(
        mut self,
        status: u16,
        description: &'static str,
        media_type: &'static str,
        schema: Option<Build>,
        headers: &'static [&'static str],
    ) -> Self {
        self.answers.push(Answer { status, description, media_type, schema, headers });
        self
    }
}

/// The routes of `operations`.
pub(super) fn router(operations: Vec<Operation>, shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    operations.into_iter().fold(Router::new(), |router, operation| {
        let route = match operation.role {
            None => operation.route,
            Some(role) => operation.route.route_layer(axum::middleware::from_fn_with_state(
                admit::Gate { shared: shared.clone(), role, access: operation.access },
                admit::through,
            )),
        };
        router.route(operation.path, route)
    })
}

/// The OpenAPI 3.1 document of `operations`.
pub(super) fn document(operations: &[Operation]) -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Problem>();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let described = describe(operation, &mut generator);
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        methods[operation.method.as_str().to_ascii_lowercase()] = described;
    }
    let mut schemas = generator.take_definitions(true);
    let refusal = json!({ "application/problem+json": { "schema": problem } });
    let security = json!({ "type": "http", "scheme": "bearer",
        "description": "An API key (`nca.…`) or a JWT of the configured OIDC issuer." });
    schemas.retain(|_, schema| !schema.is_null());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "NeuroCognitive Architecture",
            "summary": "An agent's memory over HTTP.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Refused": { "description": "Refused; `type` says why and is stable.", "content": refusal.clone() },
                "Failed": { "description": "Not possible at the moment, or a fault.", "content": refusal },
            },
            "securitySchemes": { "bearer": security },
        },
    })
}

fn describe(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = operation
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')))
        .map(path_parameter)
        .collect();
    if let Some(query) = operation.query {
        parameters.extend(query_parameters(query, generator));
    }
    for name in &operation.headers {
        parameters.push(json!({ "name": name, "in": "header", "required": false,
            "schema": header_schema(name) }));
    }
    let mut answers = Map::new();
    for answer in &operation.answers {
        // One status may come in several media types.
        let described = answers
            .entry(answer.status.to_string())
            .or_insert_with(|| json!({ "description": answer.description }));
        if !answer.media_type.is_empty() {
            described["content"][answer.media_type] = match answer.schema {
                Some(schema) => json!({ "schema": schema(generator) }),
                None => json!({}),
            };
        }
        for header in answer.headers {
            described["headers"][*header] = json!({ "schema": { "type": "string" } });
        }
    }
    answers.insert("4XX".into(), json!({ "$ref": "#/components/responses/Refused" }));
    answers.insert("5XX".into(), json!({ "$ref": "#/components/responses/Failed" }));
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": answers,
    });
    if let Some(body) = operation.body {
        described["requestBody"] = json!({ "required": true,
            "content": { "application/json": { "schema": body(generator) } } });
    }
    if let Some(role) = operation.role {
        described["security"] = json!([{ "bearer": [] }]);
        described["x-role"] = json!(role.name());
    }
    described
}

fn path_parameter(name: &str) -> Value {
    let schema = match name {
        "id" => json!({ "type": "string", "format": "uuid" }),
        "tier" => json!({ "type": "string", "enum": ["working", "short-term", "long-term"] }),
        _ => json!({ "type": "string", "minLength": 1, "maxLength": 256 }),
    };
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

fn header_schema(name: &str) -> Value {
    match name {
        "If-Match" | "If-None-Match" => json!({ "type": "string", "pattern": "^\"[0-9]{1,18}\"$" }),
        _ => json!({ "type": "string", "pattern": "^[!-~]{1,255}$" }),
    }
}

fn query_parameters(query: Build, generator: &mut SchemaGenerator) -> Vec<Value> {
    let schema = query(generator);
    // A struct is a reference into the definitions.
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let object = name.and_then(|name| generator.definitions().get(name)).cloned();
    let properties = object.as_ref().and_then(|object| object["properties"].as_object());
    let required = object.as_ref().and_then(|object| object["required"].as_array());
    properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let needed = required.is_some_and(|all| all.iter().any(|one| one == name));
            json!({ "name": name, "in": "query", "required": needed, "schema": plain(schema) })
        })
        .collect()
}

/// A query has no null: what is left out is not there.
fn plain(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(kinds) = schema["type"].as_array() {
        let kept: Vec<Value> = kinds.iter().filter(|kind| *kind != "null").cloned().collect();
        if let [only] = kept.as_slice() {
            schema["type"] = only.clone();
        }
    }
    if let Some(choices) = schema["anyOf"].as_array()
        && let Some(one) = choices.iter().find(|choice| choice["type"] != "null")
    {
        let description = schema.get("description").cloned();
        let mut one = one.clone();
        if let (Some(text), Some(object)) = (description, one.as_object_mut()) {
            object.insert("description".into(), text);
        }
        return one;
    }
    schema
}
