//! The schema of the language, boiled down to what reading a document needs.

use super::{LATER, TEXT_OR_INTEGER, TracingPolicy};
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;
use std::sync::LazyLock;

/// The schema of a text for which an integer may stand.
pub(super) struct TextOrInteger;

impl schemars::JsonSchema for TextOrInteger {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TextOrInteger".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["string", "integer"], TEXT_OR_INTEGER: true})
    }
}

/// What a value may look like.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) kind: ShapeKind,
    /// First sentence of the description.
    pub(crate) about: String,
}

#[derive(Debug)]
pub(crate) enum ShapeKind {
    /// Anything; read by somebody else.
    Any,
    Text,
    /// A text for which an integer may stand.
    TextOrInteger,
    /// One of the names; those of a later version are known too.
    Names {
        now: Vec<String>,
        later: Vec<String>,
    },
    Integer {
        min: i64,
        max: i64,
    },
    Boolean,
    List(Box<Shape>),
    /// Names chosen by the user.
    Map(Box<Shape>),
    Object {
        fields: Vec<Field>,
        later: Vec<String>,
    },
}

/// A member of an object.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
}

/// The shape of a whole document.
pub(crate) fn document() -> &'static Shape {
    static DOCUMENT: LazyLock<Shape> = LazyLock::new(|| shape(&schema()));
    &DOCUMENT
}

/// The JSON schema (2020-12) of a [`TracingPolicy`], without references.
pub fn schema() -> Json {
    inlined::<TracingPolicy>()
}

fn inlined<T: schemars::JsonSchema>() -> Json {
    let generator =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    generator.into_root_schema_for::<T>().to_value()
}

/// The shape of any type that has a schema.
pub(crate) fn of<T: schemars::JsonSchema>() -> Shape {
    shape(&inlined::<T>())
}

fn shape(schema: &Json) -> Shape {
    let description = schema.get("description").and_then(Json::as_str).unwrap_or_default();
    let about = first_sentence(description);
    let one_of = |key: &str| schema.get(key).and_then(Json::as_array);
    // `Option` of a structure or an enumeration: itself, or null.
    if let Some(choices) = one_of("anyOf") {
        let some = choices.iter().find(|choice| choice.get("type").and_then(Json::as_str) != Some("null"));
        let inner = some.map_or(Shape { kind: ShapeKind::Any, about: String::new() }, shape);
        return Shape { about: if about.is_empty() { inner.about } else { about }, ..inner };
    }
    if let Some(now) = names(schema) {
        return Shape { kind: ShapeKind::Names { now, later: later(schema) }, about };
    }
    let kind = match type_name(schema) {
        _ if schema.get(TEXT_OR_INTEGER).is_some() => ShapeKind::TextOrInteger,
        Some("string") => ShapeKind::Text,
        Some("boolean") => ShapeKind::Boolean,
        Some("integer") => integer(schema),
        Some("array") => ShapeKind::List(Box::new(shape(schema.get("items").unwrap_or(&Json::Null)))),
        Some("object") => object(schema),
        _ => ShapeKind::Any,
    };
    Shape { kind, about }
}

/// The type, without the "null" of an `Option`.
fn type_name(schema: &Json) -> Option<&str> {
    let name = schema.get("type")?;
    match name.as_array() {
        Some(types) => types.iter().filter_map(Json::as_str).find(|name| *name != "null"),
        None => name.as_str(),
    }
}

fn names(schema: &Json) -> Option<Vec<String>> {
    let list = |json: &Json| json.as_str().map(str::to_owned);
    if let Some(names) = schema.get("enum").and_then(Json::as_array) {
        return Some(names.iter().filter_map(list).collect());
    }
    let variants = schema.get("oneOf").and_then(Json::as_array)?;
    let mut found = Vec::new();
    for variant in variants {
        if let Some(name) = variant.get("const") {
            found.extend(list(name));
        }
        found.extend(variant.get("enum").and_then(Json::as_array).into_iter().flatten().filter_map(list));
    }
    Some(found)
}

fn integer(schema: &Json) -> ShapeKind {
    let (low, high) = match schema.get("format").and_then(Json::as_str) {
        Some("uint8") => (0, i64::from(u8::MAX)),
        Some("uint32") => (0, i64::from(u32::MAX)),
        Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    let bound = |key: &str, otherwise: i64| schema.get(key).and_then(Json::as_i64).unwrap_or(otherwise);
    ShapeKind::Integer { min: bound("minimum", low), max: bound("maximum", high) }
}

fn object(schema: &Json) -> ShapeKind {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    let properties = schema.get("properties").and_then(Json::as_object);
    match (properties, schema.get("additionalProperties")) {
        (None, Some(values)) if values.is_object() => ShapeKind::Map(Box::new(shape(values))),
        (properties, _) => {
            let field = |(name, schema): (&String, &Json)| Field {
                name: name.clone(),
                shape: shape(schema),
                required: required.contains(&name.as_str()),
            };
            let fields = properties.into_iter().flatten().map(field).collect();
            ShapeKind::Object { fields, later: later(schema) }
        }
    }
}

fn later(schema: &Json) -> Vec<String> {
    let names = schema.get(LATER).and_then(Json::as_array).into_iter().flatten();
    names.filter_map(Json::as_str).map(str::to_owned).collect()
}

/// The first sentence of a doc comment, on one line.
fn first_sentence(description: &str) -> String {
    let line = description.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.find(". ") {
        Some(end) => line[..end].to_owned(),
        None => line.trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<'a>(shape: &'a Shape, name: &str) -> &'a Field {
        let ShapeKind::Object { fields, .. } = &shape.kind else {
            panic!("{name}: not in an object: {shape:?}")
        };
        fields
            .iter()
            .find(|field| field.name == name)
            .unwrap_or_else(|| panic!("no field {name} in {fields:?}"))
    }

    fn item<'a>(shape: &'a Shape, name: &str) -> &'a Shape {
        let ShapeKind::List(item) = &field(shape, name).shape.kind else { panic!("{name} is not a list") };
        item
    }

    #[test]
    fn the_schema_is_understood() {
        let spec = &field(document(), "spec").shape;
        let kprobe = item(spec, "kprobes");
        assert!(field(kprobe, "call").required && !field(kprobe, "syscall").required);
        assert!(matches!(field(kprobe, "syscall").shape.kind, ShapeKind::Boolean));
        let selector = item(kprobe, "selectors");
        let filter = item(selector, "matchArgs");
        let ShapeKind::Names { now, .. } = &field(filter, "operator").shape.kind else {
            panic!("operator has names")
        };
        assert!(now.contains(&"GT".to_owned()));
        let ShapeKind::Names { later, .. } = &field(item(selector, "matchActions"), "action").shape.kind
        else {
            panic!("action has names")
        };
        assert!(later.is_empty());
        assert!(matches!(
            item(item(selector, "matchPIDs"), "values").kind,
            ShapeKind::Integer { min: 0, max: 4_294_967_295 }
        ));
        assert!(matches!(field(spec, "mode").shape.kind, ShapeKind::Names { .. }));
        assert!(field(spec, "mode").shape.about.starts_with("Whether actions are carried out"));
        let ShapeKind::Object { later, .. } = &item(spec, "lists").kind else {
            panic!("a list is an object")
        };
        assert!(later.contains(&"validated".to_owned()));
        assert!(field(kprobe, "returnArgAction").shape.about.starts_with("What to do with the socket"));
    }

    #[test]
    fn nothing_but_what_the_cluster_writes_is_left_unread() {
        fn walk(shape: &Shape, path: &str, unread: &mut Vec<String>) {
            match &shape.kind {
                ShapeKind::Any => unread.push(path.to_owned()),
                ShapeKind::List(inner) | ShapeKind::Map(inner) => walk(inner, &format!("{path}[]"), unread),
                ShapeKind::Object { fields, .. } => {
                    for field in fields {
                        walk(&field.shape, &format!("{path}.{}", field.name), unread);
                    }
                }
                ShapeKind::Text
                | ShapeKind::TextOrInteger
                | ShapeKind::Names { .. }
                | ShapeKind::Integer { .. }
                | ShapeKind::Boolean => {}
            }
        }
        let mut unread = Vec::new();
        walk(document(), "", &mut unread);
        unread.retain(|path| path != ".status" && !path.starts_with(".metadata."));
        assert!(unread.is_empty(), "{unread:?}");
    }

    #[test]
    fn every_field_says_what_it_is() {
        fn walk(shape: &Shape, path: &str) {
            match &shape.kind {
                ShapeKind::List(inner) | ShapeKind::Map(inner) => walk(inner, path),
                ShapeKind::Object { fields, .. } => {
                    for field in fields {
                        assert!(!field.shape.about.is_empty(), "{path}.{} has no description", field.name);
                        walk(&field.shape, &format!("{path}.{}", field.name));
                    }
                }
                ShapeKind::Any
                | ShapeKind::Text
                | ShapeKind::TextOrInteger
                | ShapeKind::Names { .. }
                | ShapeKind::Integer { .. }
                | ShapeKind::Boolean => {}
            }
        }
        walk(document(), "");
    }
}
