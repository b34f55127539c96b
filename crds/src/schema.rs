//! From the JSON schema of Rust types to the structural schema that Kubernetes wants.

use lictor_policy::spec::{LATER, TEXT_OR_INTEGER};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};

/// What becomes of members that the schema does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The API server drops them.
    Prune,
    /// They are kept, so that whoever reads the object can refuse them by name.
    Keep,
}

/// The structural schema of a type.
pub(crate) fn of<T: JsonSchema>(unknown: Unknown) -> Json {
    let generator =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    structural(&generator.into_root_schema_for::<T>().to_value(), unknown)
}

/// The structural schema of a JSON schema without references.
pub(crate) fn structural(schema: &Json, unknown: Unknown) -> Json {
    let description = schema.get("description").and_then(Json::as_str).map(one_line);
    // `Option` of a structure or an enumeration: itself, or null.
    if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
        let some = choices.iter().find(|choice| choice.get("type").and_then(Json::as_str) != Some("null"));
        let mut inner = some.map_or_else(|| json!({}), |inner| structural(inner, unknown));
        if let (Some(description), Json::Object(members)) = (description, &mut inner) {
            let names = members.get("enum").is_some();
            let old = members.get("description").and_then(Json::as_str).unwrap_or_default();
            // What the names of an enumeration mean is told with the type.
            let text = match old.split_once(NAMES_BEGIN) {
                Some((_, meanings)) if names => format!("{description}{NAMES_BEGIN}{meanings}"),
                _ => description,
            };
            members.insert("description".into(), text.into());
        }
        return inner;
    }
    let mut out = Map::new();
    if let Some(variants) = variants(schema) {
        out.insert("type".into(), "string".into());
        out.insert("enum".into(), variants.iter().map(|(name, _)| name.clone()).collect());
        let text = with_meanings(description.unwrap_or_default(), &variants);
        out.insert("description".into(), text.into());
        return Json::Object(out);
    }
    if let Some(description) = description {
        out.insert("description".into(), description.into());
    }
    let kind = type_name(schema).filter(|_| schema.get(TEXT_OR_INTEGER).is_none());
    match kind {
        Some("array") => {
            let items = schema.get("items").map_or_else(|| json!({}), |items| structural(items, unknown));
            out.insert("items".into(), items);
            out.extend(schema.get("maxItems").map(|most| ("maxItems".to_owned(), most.clone())));
        }
        Some("object") => object(schema, unknown, &mut out),
        Some("integer") => integer(schema, &mut out),
        Some(_) => {}
        None if schema.get(TEXT_OR_INTEGER).is_some() => {}
        None => {
            // Anything.
            out.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
        }
    }
    if let Some(kind) = kind {
        out.insert("type".into(), kind.into());
    }
    for (name, value) in schema.as_object().into_iter().flatten() {
        let kept = name.starts_with("x-kubernetes-")
            || (kind == Some("string")
                && ["format", "pattern", "maxLength", "minLength"].contains(&name.as_str()));
        if kept && name != LATER {
            out.insert(name.clone(), value.clone());
        }
    }
    Json::Object(out)
}

/// Between what an enumeration is and what its names mean.
const NAMES_BEGIN: &str = " One of: ";

fn with_meanings(description: String, variants: &[(String, String)]) -> String {
    if variants.iter().any(|(_, meaning)| meaning.is_empty()) {
        return description;
    }
    let meanings: Vec<String> = variants
        .iter()
        .map(|(name, meaning)| format!("`{name}` ({})", meaning.trim_end_matches('.')))
        .collect();
    format!("{description}{NAMES_BEGIN}{}.", meanings.join("; "))
}

/// The names of an enumeration and what they mean.
fn variants(schema: &Json) -> Option<Vec<(String, String)>> {
    let variant = |name: &Json, meaning: &str| Some((name.as_str()?.to_owned(), meaning.to_owned()));
    if let Some(names) = schema.get("enum").and_then(Json::as_array) {
        return Some(names.iter().filter_map(|name| variant(name, "")).collect());
    }
    let choices = schema.get("oneOf").and_then(Json::as_array)?;
    let mut found = Vec::new();
    for choice in choices {
        let meaning = choice.get("description").and_then(Json::as_str).map(one_line).unwrap_or_default();
        found.extend(choice.get("const").and_then(|name| variant(name, &meaning)));
        let names = choice.get("enum").and_then(Json::as_array).into_iter().flatten();
        found.extend(names.filter_map(|name| variant(name, "")));
    }
    Some(found)
}

/// The type, without the "null" of an `Option`.
fn type_name(schema: &Json) -> Option<&str> {
    let name = schema.get("type")?;
    match name.as_array() {
        Some(types) => types.iter().filter_map(Json::as_str).find(|name| *name != "null"),
        None => name.as_str(),
    }
}

fn object(schema: &Json, unknown: Unknown, out: &mut Map<String, Json>) {
    let properties = schema.get("properties").and_then(Json::as_object);
    if let (None, Some(values)) =
        (properties, schema.get("additionalProperties").filter(|json| json.is_object()))
    {
        out.insert("additionalProperties".into(), structural(values, unknown));
        return;
    }
    let properties: Map<String, Json> = properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.clone(), structural(schema, unknown)))
        .collect();
    if !properties.is_empty() {
        out.insert("properties".into(), Json::Object(properties));
    }
    if let Some(required) = schema.get("required") {
        out.insert("required".into(), required.clone());
    }
    if unknown == Unknown::Keep {
        out.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
    }
}

/// Kubernetes knows integers of 32 and 64 bits with a sign; other widths become bounds.
fn integer(schema: &Json, out: &mut Map<String, Json>) {
    let format = schema.get("format").and_then(Json::as_str).unwrap_or("int64");
    let (format, bounds) = match format {
        "int32" => ("int32", None),
        "uint8" => ("int32", Some((0, Some(i64::from(u8::MAX))))),
        "uint16" => ("int32", Some((0, Some(i64::from(u16::MAX))))),
        "uint32" => ("int64", Some((0, Some(i64::from(u32::MAX))))),
        "uint64" | "uint" => ("int64", Some((0, None))),
        _ => ("int64", None),
    };
    out.insert("format".into(), format.into());
    let (minimum, maximum) = bounds.map_or((None, None), |(low, high)| (Some(low), high));
    let bound = |key: &str| schema.get(key).and_then(Json::as_i64);
    if let Some(minimum) = bound("minimum").or(minimum) {
        out.insert("minimum".into(), minimum.into());
    }
    if let Some(maximum) = bound("maximum").or(maximum) {
        out.insert("maximum".into(), maximum.into());
    }
}

/// A doc comment without its line breaks; paragraphs stay apart.
fn one_line(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    /// What it is.
    #[derive(Serialize, JsonSchema)]
    #[allow(dead_code, reason = "only its schema is used")]
    #[serde(rename_all = "camelCase")]
    struct Sample {
        /// A number.
        count: Option<u32>,
        /// How.
        how: Option<How>,
        /// Anything.
        any: Option<Json>,
        /// Inner ones.
        inner: Vec<Inner>,
    }

    /// A way.
    #[derive(Serialize, JsonSchema)]
    #[allow(dead_code, reason = "only its schema is used")]
    enum How {
        /// Slowly.
        Slow,
        /// Fast.
        Fast,
    }

    /// Inner.
    #[derive(Serialize, JsonSchema)]
    struct Inner {}

    #[test]
    fn types_become_structural() {
        let schema = of::<Sample>(Unknown::Keep);
        let properties = &schema["properties"];
        assert_eq!(
            properties["count"],
            json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": 4_294_967_295_u32, "description": "A number."})
        );
        assert_eq!(
            properties["how"],
            json!({"type": "string", "enum": ["Slow", "Fast"], "description": "How. One of: `Slow` (Slowly); `Fast` (Fast)."})
        );
        assert_eq!(properties["any"]["x-kubernetes-preserve-unknown-fields"], json!(true));
        assert_eq!(properties["inner"]["items"]["type"], json!("object"));
        assert_eq!(schema["required"], json!(["inner"]));
    }
}
