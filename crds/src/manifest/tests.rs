use super::*;
use lictor_policy::spec::TEXT_OR_INTEGER;
use std::path::Path;

fn crds() -> Vec<(String, Json)> {
    all()
        .into_iter()
        .map(|manifest| (manifest.file, serde_saphyr::from_str(&manifest.text).unwrap()))
        .collect()
}

fn schema(crd: &Json) -> &Json {
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

#[test]
fn the_committed_manifests_are_fresh() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    for directory in [directory.to_path_buf(), directory.join(CHART_FILES)] {
        are_fresh(&directory);
    }
}

fn are_fresh(directory: &Path) {
    let mut expected: Vec<String> = Vec::new();
    for Manifest { file, text } in all() {
        let committed = std::fs::read_to_string(directory.join(&file)).unwrap_or_default();
        assert!(committed == text, "{file} is stale: run `cargo xtask codegen` and commit the result");
        expected.push(file);
    }
    let mut found: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn the_text_says_what_was_meant() {
    for (built, (_, read)) in
        [tracing_policy(), tracing_policy_namespaced(), node_report()].iter().zip(crds())
    {
        assert_eq!(&read, built);
    }
}

/// What a structural schema may say.
const KNOWN: [&str; 19] = [
    "type",
    "description",
    "properties",
    "required",
    "items",
    "enum",
    "format",
    "minimum",
    "maximum",
    "additionalProperties",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    TEXT_OR_INTEGER,
    "pattern",
    "minLength",
    "maxLength",
    "maxItems",
];

/// What Kubernetes demands of a structural schema, and we of ours.
fn walk(schema: &Json, path: &str, in_spec: bool, wrong: &mut Vec<String>) {
    let members = schema.as_object().unwrap();
    wrong.extend(
        members.keys().filter(|name| !KNOWN.contains(&name.as_str())).map(|name| format!("{path}: {name}")),
    );
    if members.get("type").is_none() && !members.contains_key(TEXT_OR_INTEGER) {
        wrong.push(format!("{path} has no type"));
    }
    if path.matches('.').count() > 0 && path != ".metadata" && !path.ends_with("[]") && !path.ends_with("{}")
    {
        let description = members.get("description").and_then(Json::as_str).unwrap_or_default();
        if description.len() < 8 {
            wrong.push(format!("{path} is not described"));
        }
    }
    let keeps = members.contains_key("x-kubernetes-preserve-unknown-fields");
    if in_spec && schema["type"] == "object" && !members.contains_key("additionalProperties") && !keeps {
        wrong.push(format!("{path} drops what it does not know"));
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        walk(schema, &format!("{path}.{name}"), in_spec || path.is_empty() && name == "spec", wrong);
    }
    if let Some(items) = members.get("items") {
        walk(items, &format!("{path}[]"), in_spec, wrong);
    }
    if let Some(values) = members.get("additionalProperties") {
        walk(values, &format!("{path}{{}}"), in_spec, wrong);
    }
}

#[test]
fn schemas_are_structural_and_every_field_is_described() {
    let mut wrong = Vec::new();
    for (file, crd) in crds() {
        let mut found = Vec::new();
        walk(schema(&crd), "", false, &mut found);
        wrong.extend(found.into_iter().map(|what| format!("{file}: {what}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_whole_language_is_in_the_schema() {
    let document = lictor_policy::spec::schema();
    let language = document["properties"]["spec"]["properties"].as_object().unwrap();
    let (_, crd) = &crds()[0];
    let members = schema(crd)["properties"]["spec"]["properties"].as_object().unwrap();
    let mut wanted: Vec<&str> = language.keys().map(String::as_str).collect();
    wanted.sort_unstable();
    assert_eq!(members.keys().collect::<Vec<_>>(), wanted);
    let match_args = schema(crd)
        .pointer("/properties/spec/properties/kprobes/items/properties/selectors/items/properties/matchArgs")
        .unwrap();
    let operator = &match_args["items"]["properties"]["operator"];
    assert!(operator["enum"].as_array().unwrap().contains(&json!("Postfix")));
    assert!(
        operator["description"].as_str().unwrap().contains("`Postfix` (Text: ends with one of the values)")
    );
}

#[test]
fn hooks_are_found_in_the_schema() {
    let hooks = hooks(&spec());
    assert!(
        ["kprobes", "lsmhooks", "tracepoints"].iter().all(|hook| hooks.contains(&(*hook).to_owned())),
        "{hooks:?}"
    );
    assert!(!hooks.contains(&"options".to_owned()));
}

#[test]
fn texts_are_written_so_that_they_are_read_again() {
    let value = json!({
        "a": "x", "b": "- not a list", "c": "yes", "d": "two\nlines", "e": "#", "f": [], "g": {}, "h": [[1], {"i": []}],
        "long": format!("{}\n\n: second # paragraph", "word: [x] `y` ".repeat(30).trim_end()), "é": "ü: ",
    });
    let mut text = String::new();
    yaml(&value, 0, &mut text);
    assert_eq!(serde_saphyr::from_str::<Json>(&text).unwrap(), value, "{text}");
}
