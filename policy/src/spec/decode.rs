//! From a tree to the types of the language: every mistake at once, each at its place.

use super::shape::{Field, Shape, ShapeKind, document};
use super::{TracingPolicy, plain};
use crate::model::FieldPath;
use crate::parse::{Lines, Node, Value, shorten};
use crate::violation::{Violation, Violations, WARNINGS_MAX, Warning, did_you_mean, nearest};
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;

/// What came of a document.
pub(crate) struct Decoded {
    /// The document; where something is wrong, a value that fits stands in its place. `None` = not a policy at all.
    pub(crate) policy: Option<TracingPolicy>,
    pub(crate) lines: Lines,
    pub(crate) violations: Violations,
    pub(crate) warnings: Vec<Warning>,
    /// Fields that hold a stand-in.
    pub(crate) broken: BTreeSet<FieldPath>,
}

/// Reads a document's tree.
pub(crate) fn decode(root: &Node) -> Decoded {
    let mut decoder = Decoder::default();
    decoder.lines.insert(FieldPath::default(), root.line);
    let json = if decoder.is_policy(root) {
        Some(decoder.value(root, document(), &FieldPath::default()))
    } else {
        None
    };
    let policy = json.and_then(|json| match serde_json::from_value(json) {
        Ok(policy) => Some(policy),
        Err(error) => {
            // The schema and the types come from the same source; only a defect in either gets here.
            decoder.violations.push(Violation::new(
                &FieldPath::default(),
                error.to_string(),
                "a TracingPolicy",
            ));
            None
        }
    });
    let Decoder { lines, violations, warnings, broken, texts: _ } = decoder;
    Decoded { policy, lines, violations, warnings, broken }
}

/// Reads a tree that is no policy: a value of any type whose shape is `shape`.
///
/// # Errors
/// All violations, and the lines of the fields that were met.
pub(crate) fn decode_as<T: serde::de::DeserializeOwned>(
    root: &Node,
    shape: &Shape,
) -> Result<(T, Lines), (Violations, Lines)> {
    let mut decoder = Decoder { texts: Texts::AsSpelled, ..Decoder::default() };
    let path = FieldPath::default();
    let json = decoder.value(root, shape, &path);
    decoder.violations.extend(decoder.warnings.into_iter().map(|warning| warning.0));
    if !decoder.violations.is_empty() {
        return Err((decoder.violations, decoder.lines));
    }
    match serde_json::from_value(json) {
        Ok(value) => Ok((value, decoder.lines)),
        Err(error) => {
            let violation = Violation::new(&path, error.to_string(), allowed(shape));
            Err((violation.into(), decoder.lines))
        }
    }
}

/// What a text without quotes is that YAML takes for a number or a boolean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Texts {
    /// No text. `kubectl` hands the API server what YAML takes it for: the document has to mean the same in a file.
    #[default]
    AsYamlTakesThem,
    /// The text.
    AsSpelled,
}

#[derive(Default)]
struct Decoder {
    texts: Texts,
    lines: Lines,
    violations: Violations,
    warnings: Vec<Warning>,
    broken: BTreeSet<FieldPath>,
}

impl Decoder {
    /// Whether the document claims to be a policy: reading a Pod as one would give many useless messages.
    fn is_policy(&mut self, root: &Node) -> bool {
        let ShapeKind::Object { fields, .. } = &document().kind else { return false };
        if !matches!(root.value, Value::Map(_)) {
            let path = FieldPath::default();
            self.refuse(
                &path,
                root.line,
                root.describe(),
                "a mapping with apiVersion, kind, metadata and spec",
            );
            return false;
        }
        let before = self.violations.len();
        for field in fields.iter().filter(|field| ["apiVersion", "kind"].contains(&field.name.as_str())) {
            let path = FieldPath::new(field.name.as_str());
            let Value::Map(members) = &root.value else { return false };
            match members.iter().find(|(key, _)| key.text.eq_ignore_ascii_case(&field.name)) {
                Some((_, node)) => drop(self.value(node, &field.shape, &path)),
                None => self.missing(field, &path, root.line),
            }
        }
        // What was read here is read again with the rest.
        self.broken.clear();
        self.violations.len() == before
    }

    fn refuse(
        &mut self,
        path: &FieldPath,
        line: u32,
        found: impl Into<String>,
        allowed: impl Into<String>,
    ) -> &mut Violation {
        let mut violation = Violation::new(path, found, allowed);
        violation.line = (line > 0).then_some(line);
        if !self.violations.is_full() {
            self.broken.insert(path.clone());
        }
        self.violations.push_bounded(violation)
    }

    fn missing(&mut self, field: &Field, path: &FieldPath, line: u32) {
        let allowed = allowed(&field.shape);
        self.refuse(path, line, "nothing", allowed);
    }

    /// The value as JSON that fits the shape.
    fn value(&mut self, node: &Node, shape: &Shape, path: &FieldPath) -> Json {
        self.lines.insert(path.clone(), node.line);
        match (&shape.kind, &node.value) {
            // Nobody reads it.
            (ShapeKind::Any, _) => Json::Null,
            (ShapeKind::Object { fields, later }, Value::Map(_)) => self.object(node, fields, later, path),
            (ShapeKind::List(item), Value::List(nodes)) => {
                let values =
                    nodes.iter().enumerate().map(|(at, node)| self.value(node, item, &path.index(at)));
                Json::Array(values.collect())
            }
            (ShapeKind::Map(item), Value::Map(members)) => {
                let mut map = Map::new();
                for (key, node) in members {
                    map.insert(key.text.clone(), self.value(node, item, &path.member(&key.text)));
                }
                Json::Object(map)
            }
            (_, Value::Scalar { text, plain }) if !node.is_null() => {
                match scalar(text, *plain, shape, self.texts) {
                    Some(json) => json,
                    None => self.misfit(node, shape, path),
                }
            }
            _ => self.misfit(node, shape, path),
        }
    }

    /// A value that does not fit: says so and gives a stand-in.
    fn misfit(&mut self, node: &Node, shape: &Shape, path: &FieldPath) -> Json {
        if self.violations.is_full() {
            return stand_in(shape);
        }
        if let (ShapeKind::Names { now, later }, Value::Scalar { text, .. }) = (&shape.kind, &node.value) {
            self.wrong_name(text, node.line, now, later, path);
            return stand_in(shape);
        }
        let mut found = node.describe();
        let hint = match (&shape.kind, &node.value) {
            (ShapeKind::Integer { .. } | ShapeKind::Boolean, Value::Scalar { text, plain: false })
                if scalar(text, true, shape, self.texts).is_some() =>
            {
                Some("leave out the quotes".into())
            }
            (ShapeKind::Integer { .. }, Value::Scalar { text, .. }) if plain::has_leading_zero(text) => {
                Some("a leading 0 has two meanings in YAML; write decimal, 0x or 0o".into())
            }
            (ShapeKind::List(_), Value::Scalar { .. } | Value::Map(_)) if !node.is_null() => {
                Some("begin each item with `- `".into())
            }
            (ShapeKind::Text | ShapeKind::TextOrInteger, Value::Scalar { text, .. }) => {
                found.extend(plain::taken_for(text).map(|what| format!(", which YAML takes for {what}")));
                (!node.is_null()).then(|| format!("put it in quotes: '{}'", shorten(text)))
            }
            _ => None,
        };
        self.refuse(path, node.line, found, allowed(shape)).hint = hint;
        stand_in(shape)
    }

    fn wrong_name(&mut self, name: &str, line: u32, now: &[String], later: &[String], path: &FieldPath) {
        let found = format!("`{}`", shorten(name));
        if later.iter().any(|known| known == name) {
            self.refuse(path, line, found, "").hint = Some(not_yet(name));
            return;
        }
        let hint = did_you_mean(name, now.iter().chain(later).map(String::as_str));
        self.refuse(path, line, found, now.join(", ")).hint = hint;
    }

    fn object(&mut self, node: &Node, fields: &[Field], later: &[String], path: &FieldPath) -> Json {
        let Value::Map(members) = &node.value else { return Json::Null };
        let mut map = Map::new();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for (key, value) in members {
            let Some(field) = field(&key.text, fields) else {
                self.unknown(&key.text, key.line, value, fields, later, path);
                continue;
            };
            let at = path.member(&field.name);
            if key.text != field.name {
                self.respelled(&at, &key.text, key.line, &field.name);
            }
            if !seen.insert(&field.name) {
                self.refuse(
                    &at,
                    key.line,
                    format!("`{}` and another spelling of it", key.text),
                    "each field once",
                );
            } else if value.is_null() && !matches!(field.shape.kind, ShapeKind::Any) {
                // "Nothing" is the same as leaving the field out.
                seen.remove(field.name.as_str());
            } else {
                let json = self.value(value, &field.shape, &at);
                // The member's own line, where its name stands, is the one to show.
                self.lines.insert(at.clone(), key.line);
                // What cannot be read and may be left out is left out.
                if field.required || !self.broken.contains(&at) {
                    map.insert(field.name.clone(), json);
                }
            }
        }
        for field in fields.iter().filter(|field| field.required && !seen.contains(field.name.as_str())) {
            self.missing(field, &path.member(&field.name), node.line);
            map.insert(field.name.clone(), stand_in(&field.shape));
        }
        Json::Object(map)
    }

    fn respelled(&mut self, at: &FieldPath, spelled: &str, line: u32, name: &str) {
        if self.warnings.len() < WARNINGS_MAX {
            let mut warning = Violation::new(at, format!("`{spelled}`"), format!("`{name}`"));
            warning.line = Some(line).filter(|line| *line > 0);
            self.warnings.push(Warning(warning.hint("read as the field of that name")));
        }
    }

    /// A field that the language does not have, or not yet.
    fn unknown(
        &mut self,
        name: &str,
        line: u32,
        value: &Node,
        fields: &[Field],
        later: &[String],
        path: &FieldPath,
    ) {
        if self.violations.is_full() {
            return;
        }
        let names = names(fields);
        let at = path.member(&shorten(name));
        if let Some(known) = later.iter().find(|known| known.eq_ignore_ascii_case(name)) {
            if has_no_effect(value) {
                self.lines.insert(at, line);
                return;
            }
            self.refuse(&at, line, format!("`{known}`"), "").hint = Some(not_yet(known));
            return;
        }
        let hint = did_you_mean(name, names.iter().copied().chain(later.iter().map(String::as_str)));
        let allowed = if fields.is_empty() { "no field".into() } else { names.join(", ") };
        if let Some(meant) = nearest(name, names, 1).first() {
            self.broken.insert(path.member(meant));
        }
        let mut violation = Violation::new(&at, format!("the unknown field `{}`", shorten(name)), allowed);
        violation.line = Some(line).filter(|line| *line > 0);
        violation.hint = hint;
        self.violations.push_bounded(violation);
    }
}

/// The field called `name`; as in the established implementation, upper and lower case may differ.
fn field<'a>(name: &str, fields: &'a [Field]) -> Option<&'a Field> {
    let exact = fields.iter().find(|field| field.name == name);
    exact.or_else(|| fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)))
}

/// The fields that are for users to write.
fn names(fields: &[Field]) -> Vec<&str> {
    let written = fields.iter().filter(|field| !matches!(field.shape.kind, ShapeKind::Any));
    written.map(|field| field.name.as_str()).collect()
}

/// Said of what the language has and this version does not, with what does something like it.
fn not_yet(name: &str) -> String {
    let known = INSTEAD.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let instead = known.map_or_else(String::new, |(_, instead)| format!("; {instead}"));
    format!("it is part of the policy language but not supported by this version{instead}")
}

/// What to write instead of something that this version does not have, where there is something.
const INSTEAD: [(&str, &str); 1] = [("validated", "leave it out")];

/// Whether a field of a later version says the same as leaving it out.
fn has_no_effect(value: &Node) -> bool {
    value.is_null()
        || match &value.value {
            Value::Scalar { text, plain } => *plain && plain::boolean(text) == Some(false),
            Value::List(items) => items.is_empty(),
            Value::Map(_) => false,
        }
}

fn scalar(text: &str, plain: bool, shape: &Shape, texts: Texts) -> Option<Json> {
    let as_spelled = || Some(Json::String(text.to_owned()));
    match &shape.kind {
        ShapeKind::Text if plain && texts == Texts::AsYamlTakesThem => {
            plain::taken_for(text).is_none().then(as_spelled).flatten()
        }
        ShapeKind::TextOrInteger if plain && texts == Texts::AsYamlTakesThem => {
            match plain::taken_for(text) {
                // The API server gets the number, not its spelling.
                Some(_) => plain::integer(text).map(|number| Json::String(number.to_string())),
                None => as_spelled(),
            }
        }
        ShapeKind::Text | ShapeKind::TextOrInteger => as_spelled(),
        ShapeKind::Names { now, .. } => {
            now.iter().any(|name| name == text).then(|| Json::String(text.to_owned()))
        }
        ShapeKind::Boolean if plain => plain::boolean(text).map(Json::Bool),
        ShapeKind::Integer { min, max } if plain => {
            plain::integer(text).filter(|number| (min..=max).contains(&number)).map(Json::from)
        }
        ShapeKind::Any
        | ShapeKind::Boolean
        | ShapeKind::Integer { .. }
        | ShapeKind::List(_)
        | ShapeKind::Map(_)
        | ShapeKind::Object { .. } => None,
    }
}

/// What a shape allows, as it continues "allowed: ...".
fn allowed(shape: &Shape) -> String {
    let what = match &shape.kind {
        ShapeKind::Names { now, .. } => return now.join(", "),
        ShapeKind::Any => "a value",
        ShapeKind::Text => "a text",
        ShapeKind::TextOrInteger => "a text or an integer",
        ShapeKind::Integer { min: i64::MIN, .. } => "an integer",
        ShapeKind::Integer { min, max } => &format!("an integer from {min} to {max}"),
        ShapeKind::Boolean => return "true, false".into(),
        ShapeKind::List(_) => "a list",
        ShapeKind::Map(_) => "a mapping",
        ShapeKind::Object { fields, .. } if fields.is_empty() => return "{}".into(),
        ShapeKind::Object { fields, .. } => {
            return format!("a mapping with {}", names(fields).join(", "));
        }
    };
    if shape.about.is_empty() { what.to_owned() } else { format!("{what} ({})", shape.about) }
}

/// A value that fits the shape, so that the rest of the document can still be looked at.
fn stand_in(shape: &Shape) -> Json {
    match &shape.kind {
        ShapeKind::Any => Json::Null,
        ShapeKind::Text | ShapeKind::TextOrInteger => Json::String(String::new()),
        ShapeKind::Names { now, .. } => now.first().map_or(Json::Null, |name| Json::String(name.clone())),
        ShapeKind::Integer { min, .. } => Json::from((*min).max(0)),
        ShapeKind::Boolean => Json::Bool(false),
        ShapeKind::List(_) => Json::Array(Vec::new()),
        ShapeKind::Map(_) => Json::Object(Map::new()),
        ShapeKind::Object { fields, .. } => {
            let required = fields.iter().filter(|field| field.required);
            Json::Object(required.map(|field| (field.name.clone(), stand_in(&field.shape))).collect())
        }
    }
}
