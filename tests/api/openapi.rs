//! openapi.yaml describes the API that there is. Whether its answers keep to the description, `.ci/fuzz-http` finds out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use local::gateway;
use local::project::SCHEDULED;
use serde_json::Value;

use crate::malformed::FIELDS;
use crate::support::{ROUTES, folders_of_functions, project};

fn description() -> &'static Value {
    static DESCRIPTION: OnceLock<Value> = OnceLock::new();
    DESCRIPTION.get_or_init(|| {
        let text = std::fs::read_to_string(project().join("openapi.yaml")).unwrap();
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("openapi.yaml: {error}"))
    })
}

/// What a `$ref` stands for, or else the value itself.
fn resolved(value: &'static Value) -> &'static Value {
    let Some(reference) = value["$ref"].as_str() else { return value };
    let target = description().pointer(reference.strip_prefix('#').unwrap());
    resolved(target.unwrap_or_else(|| panic!("there is no {reference}")))
}

/// Path, method, the operation, and its parameters with those of its path.
fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value, Vec<&'static Value>)> {
    let parameters = |of: &'static Value| of["parameters"].as_array().into_iter().flatten().map(resolved);
    description()["paths"].as_object().unwrap().iter().flat_map(move |(path, item)| {
        let operations = item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters");
        operations.map(move |(method, operation)| {
            (path.as_str(), method.as_str(), operation, parameters(item).chain(parameters(operation)).collect())
        })
    })
}

#[test]
fn every_route_is_described_under_the_name_of_its_function() {
    let mut described: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (path, method, operation, _) in operations() {
        let function = operation["operationId"].as_str().unwrap().to_owned();
        described.entry(path.to_owned()).or_default().insert(method.to_uppercase(), function);
    }
    assert_eq!(&described, &*ROUTES, "openapi.yaml and the emulator's routes in Cargo.toml");

    let described: BTreeSet<String> = described.into_values().flat_map(BTreeMap::into_values).collect();
    let mut functions = folders_of_functions();
    functions.retain(|function| !SCHEDULED.contains(&&**function));
    assert_eq!(described, functions, "openapi.yaml and functions/");
}

#[test]
fn every_operation_says_what_it_is_for_and_how_it_can_end() {
    for (path, method, operation, parameters) in operations() {
        let operation_id = &operation["operationId"];
        assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{operation_id}");

        let has = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
        let mut failures = vec!["400", "401", "413", "415", "500"];
        failures.extend(has("conversation_id").then_some("404"));
        // Another user, or a role that is not the caller's to write.
        failures.extend((has("user_id") || has("content") || operation_id == "begin-turn").then_some("403"));
        // Nothing that is stored can be in the way of a transfer.
        let may_conflict = method == "post" && operation_id != "transfer-user" || has("Idempotency-Key");
        // A user is no conversation, and a second erasure reports zeros.
        let is_recognized = method == "get" || method == "post" || operation_id == "erase-user" || has("Idempotency-Key");
        assert!(is_recognized, "{operation_id} has no Idempotency-Key");
        failures.extend(may_conflict.then_some("409"));
        failures.extend(has("If-Match").then_some("412"));
        failures.extend(has("If-None-Match").then_some("304"));
        failures.sort_unstable();
        let responses = operation["responses"].as_object().unwrap();
        let described: Vec<&str> = responses.keys().map(String::as_str).filter(|status| !status.starts_with('2')).collect();
        assert_eq!(described, failures, "{operation_id}");

        for (status, response) in responses {
            let response = resolved(response);
            let (content, problem) = (&response["content"], status.starts_with(['4', '5']));
            let kind = if problem {
                "application/problem+json"
            } else if operation_id == "export-user" {
                "application/x-ndjson"
            } else {
                "application/json"
            };
            let has_example = !content[kind]["example"].is_null() || !content[kind]["examples"].is_null();
            assert!(has_example || matches!(&**status, "204" | "304"), "{operation_id} {status} has no example");
            // The one that API Gateway may have given.
            assert!(response["headers"]["Cache-Control"].is_object() || status == "401", "{operation_id} {status}");
        }

        let in_path: BTreeSet<&str> = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let described = parameters.iter().filter(|parameter| parameter["in"] == "path");
        assert_eq!(described.map(|parameter| parameter["name"].as_str().unwrap()).collect::<BTreeSet<_>>(), in_path);
    }
}

#[test]
fn every_field_is_tried_with_malformed_requests() {
    fn collect(schema: &'static Value, names: &mut BTreeSet<&'static str>) {
        let schema = resolved(schema);
        names.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()));
        for word in ["allOf", "anyOf", "oneOf"] {
            schema[word].as_array().into_iter().flatten().for_each(|schema| collect(schema, names));
        }
    }
    let mut names = BTreeSet::new();
    for (_, _, operation, parameters) in operations() {
        let in_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        names.extend(in_query.map(|parameter| parameter["name"].as_str().unwrap()));
        collect(&resolved(&operation["requestBody"])["content"]["application/json"]["schema"], &mut names);
    }
    names.insert("unknown");
    assert_eq!(names, BTreeSet::from(FIELDS), "openapi.yaml and FIELDS in tests/api/malformed.rs");
}

#[test]
fn browsers_may_send_and_read_everything_that_is_described() {
    let (mut methods, mut sent, mut read) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (_, method, operation, parameters) in operations() {
        methods.insert(method.to_uppercase());
        let headers = parameters.iter().filter(|parameter| parameter["in"] == "header");
        sent.extend(headers.map(|header| header["name"].as_str().unwrap().to_lowercase()));
        for response in operation["responses"].as_object().unwrap().values() {
            let headers = resolved(response)["headers"].as_object().into_iter().flatten();
            read.extend(headers.map(|(name, _)| name.to_lowercase()));
        }
    }
    // A request has these without being described to have them, and browsers may read this one anyway.
    sent.extend(["authorization", "content-type"].map(str::to_owned));
    read.remove("cache-control");
    // API Gateway adds the first to each response, and a proxy before it may add the second. Clients read both.
    read.extend(["apigw-requestid", "retry-after"].map(str::to_owned));
    let list = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(",");
    assert_eq!(list(methods), gateway::ALLOW_METHODS, "openapi.yaml and tools/local/src/gateway.rs");
    assert_eq!(list(sent), gateway::ALLOW_HEADERS, "openapi.yaml and tools/local/src/gateway.rs");
    assert_eq!(list(read), gateway::EXPOSE_HEADERS, "openapi.yaml and tools/local/src/gateway.rs");
}

#[test]
fn every_example_has_the_shape_that_it_is_an_example_of() {
    fn check(place: &str, value: &'static Value, checked: &mut usize) {
        if let (Some(members), Some(schema)) = (value.as_object(), value.get("schema")) {
            let named = members.get("examples").and_then(Value::as_object).into_iter().flatten();
            let examples = members.get("example").into_iter().chain(named.map(|(_, example)| &resolved(example)["value"]));
            for example in examples {
                assert!(fits(schema, example), "{place}: {example}");
                *checked += 1;
            }
        }
        match value {
            Value::Object(members) => members.iter().for_each(|(name, member)| check(&format!("{place}/{name}"), member, checked)),
            Value::Array(elements) => elements.iter().for_each(|element| check(place, element, checked)),
            _ => {}
        }
    }
    let mut checked = 0;
    check("", description(), &mut checked);
    assert!(checked > 30, "{checked}");
}

/// Whether a schema allows a value, by those of JSON Schema's words that say something of its shape.
fn fits(schema: &'static Value, value: &Value) -> bool {
    let schema = resolved(schema);
    let schemas = |word: &str| schema[word].as_array().map(|schemas| schemas.iter());
    let is = |kind: &str| match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        kind => panic!("{kind}?"),
    };
    let kind = match &schema["type"] {
        Value::Null => true,
        Value::String(kind) => is(kind),
        kinds => kinds.as_array().unwrap().iter().any(|kind| is(kind.as_str().unwrap())),
    };
    let constant = schema.get("const").is_none_or(|constant| constant == value)
        && schema["enum"].as_array().is_none_or(|choices| choices.contains(value));
    let combined = schemas("allOf").is_none_or(|mut schemas| schemas.all(|schema| fits(schema, value)))
        && schemas("anyOf").is_none_or(|mut schemas| schemas.any(|schema| fits(schema, value)))
        && schemas("oneOf").is_none_or(|schemas| schemas.filter(|schema| fits(schema, value)).count() == 1);
    let elements = value
        .as_array()
        .is_none_or(|elements| schema.get("items").is_none_or(|schema| elements.iter().all(|element| fits(schema, element))));
    let members = value.as_object().is_none_or(|members| {
        let required = schemas("required").is_none_or(|mut names| names.all(|name| members.contains_key(name.as_str().unwrap())));
        let member = |(name, member)| match schema["properties"].get(name) {
            Some(schema) => fits(schema, member),
            None => schema["additionalProperties"] != false,
        };
        required && members.iter().all(member)
    });
    kind && constant && combined && elements && members
}
