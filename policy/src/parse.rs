//! YAML text to a tree that remembers its lines.
//!
//! The tree keeps scalars as they are spelled, so that `010`, `0x10` and `1.10` reach the reader of a text field
//! unchanged, and duplicate keys are found together with every other mistake.

use crate::model::FieldPath;
use crate::violation::{Violation, Violations};
use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Longest text of a policy, bytes. The largest known policies (generated lists of system calls) have 60 KiB; etcd,
/// which keeps them in a cluster, refuses more than 1.5 MiB.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// Most values in one document, those that come from aliases counted each time they are used. One value takes two
/// bytes of text at least (`- `), so only aliases can reach it.
const NODES_MAX: usize = 600_000;

/// Deepest nesting. The language itself needs 9; walkers of the tree recurse.
const DEPTH_MAX: usize = 64;

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Line, from 1; 0 when there is none (a value that did not come from text).
    pub(crate) line: u32,
    /// The value.
    pub(crate) value: Value,
}

/// A YAML value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A scalar as it is spelled, after escapes.
    Scalar {
        /// The text.
        text: String,
        /// Neither quoted nor tagged as text: `5` and `true` and `null` mean a number, a truth value and nothing.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the document; no key is there twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its text.
    pub(crate) text: String,
    /// Line, from 1.
    pub(crate) line: u32,
}

impl Node {
    /// A plain scalar that means "nothing".
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The member `name` of a mapping.
    #[cfg(test)]
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(members) => members.iter().find(|(key, _)| key.text == name).map(|(_, node)| node),
            Value::Scalar { .. } | Value::List(_) => None,
        }
    }

    /// The value as it continues "found ...".
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Scalar { .. } if self.is_null() => "nothing".into(),
            Value::Scalar { text, plain: true } => format!("`{}`", shorten(text)),
            Value::Scalar { text, plain: false } => format!("the text \"{}\"", shorten(text)),
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Map(members) => format!("a mapping of {}", members.len()),
        }
    }
}

/// A text short enough for a message, on one line.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// The lines of a document's fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines(BTreeMap<FieldPath, u32>);

impl Lines {
    /// The line of `path`, or of the nearest field around it.
    pub fn line(&self, path: &FieldPath) -> Option<u32> {
        let mut text = path.as_str();
        loop {
            if let Some(line) = self.0.get(&FieldPath::new(text)) {
                return Some(*line);
            }
            text = &text[..text.rfind(['.', '['])?];
        }
    }

    pub(crate) fn insert(&mut self, path: FieldPath, line: u32) {
        if line > 0 {
            self.0.insert(path, line);
        }
    }
}

/// Reads one YAML document.
///
/// # Errors
/// Not UTF-8 text of YAML, longer than [`DOCUMENT_BYTES_MAX`], empty, several documents, duplicate keys, and what the
/// language does not use (tags of its own, keys that are not text).
pub(crate) fn parse(text: &str) -> Result<Node, Violations> {
    if text.len() > DOCUMENT_BYTES_MAX {
        let found = format!("a document of {} bytes", text.len());
        let hint = "several policies with fewer values each do the same";
        return Err(Violation::new(
            &FieldPath::default(),
            found,
            format!("at most {DOCUMENT_BYTES_MAX} bytes"),
        )
        .hint(hint)
        .into());
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                let mut violation = Violation::new(
                    &FieldPath::default(),
                    format!("text that is not YAML: {} (column {})", error.info(), error.marker().col() + 1),
                    "a YAML document",
                );
                violation.line = u32::try_from(error.marker().line()).ok();
                builder.violations.push(violation);
                return Err(builder.violations);
            }
        }
        if builder.over {
            break;
        }
    }
    builder.finish()
}

/// A collection whose end has not been seen.
#[derive(Debug)]
struct Open {
    line: u32,
    anchor: usize,
    collection: Collection,
}

#[derive(Debug)]
enum Collection {
    List(Vec<Node>),
    Map { members: Vec<(Key, Node)>, names: BTreeSet<String>, key: Option<Pending>, merged: Vec<Node> },
}

/// What stands before the colon.
#[derive(Debug)]
enum Pending {
    Key(Key),
    /// A key that was refused; its value is passed over.
    Refused,
    /// `<<`
    Merge,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
    anchors: BTreeMap<usize, (Node, usize)>,
    violations: Violations,
    /// A limit was hit: reading on has no sense.
    over: bool,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) {
        let line = u32::try_from(span.start.line()).unwrap_or(u32::MAX);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents == 2 {
                    self.refuse(line, "a second document", "one policy per file").hint =
                        Some("write each policy to its own file".into());
                    self.over = true;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !self.tagged_as_text(tag.as_ref(), line);
                let node = Node { line, value: Value::Scalar { text: text.into_owned(), plain } };
                self.complete(node, anchor, 1);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tagged_as_text(tag.as_ref(), line);
                self.begin(Open { line, anchor, collection: Collection::List(Vec::new()) });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tagged_as_text(tag.as_ref(), line);
                let (members, names, merged) = (Vec::new(), BTreeSet::new(), Vec::new());
                self.begin(Open {
                    line,
                    anchor,
                    collection: Collection::Map { members, names, key: None, merged },
                });
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                if let Some((node, size)) = self.anchors.get(&anchor) {
                    let (node, size) = (Node { line, ..node.clone() }, *size);
                    self.complete(node, 0, size);
                } else {
                    self.refuse(
                        line,
                        "an alias to a value that contains it",
                        "aliases to values that are complete",
                    );
                    self.over = true;
                }
            }
            // They carry nothing, or the parser's options keep them away.
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::UnresolvedAlias(_)
            | _ => {}
        }
    }

    /// Adds a violation of the whole document.
    fn refuse(&mut self, line: u32, found: impl Into<String>, allowed: impl Into<String>) -> &mut Violation {
        let mut violation = Violation::new(&self.path(), found, allowed);
        violation.line = Some(line);
        self.violations.push_bounded(violation)
    }

    /// Where the parser stands.
    fn path(&self) -> FieldPath {
        let mut path = FieldPath::default();
        for open in &self.open {
            match &open.collection {
                Collection::List(items) => path = path.index(items.len()),
                Collection::Map { key: Some(Pending::Key(key)), .. } => {
                    path = path.member(&shorten(&key.text));
                }
                Collection::Map { .. } => {}
            }
        }
        path
    }

    /// Whether the tag says "text"; refuses tags that YAML itself does not define.
    fn tagged_as_text(&mut self, tag: Option<&Cow<'_, Tag>>, line: u32) -> bool {
        let Some(tag) = tag else { return false };
        let Some(suffix) = tag.core_suffix() else {
            let found = format!("the tag `{}`", shorten(&tag.original()));
            self.refuse(line, found, "values without a tag");
            return false;
        };
        suffix == "str"
    }

    fn begin(&mut self, open: Open) {
        if self.open.len() >= DEPTH_MAX {
            self.refuse(
                open.line,
                format!("more than {DEPTH_MAX} levels"),
                "the levels of the policy language",
            );
            self.over = true;
            return;
        }
        self.nodes += 1;
        self.open.push(open);
    }

    fn end(&mut self) {
        let Some(Open { line, anchor, collection }) = self.open.pop() else { return };
        let value = match collection {
            Collection::List(items) => Value::List(items),
            Collection::Map { mut members, mut names, merged, .. } => {
                for source in merged {
                    merge(source, &mut members, &mut names);
                }
                Value::Map(members)
            }
        };
        let node = Node { line, value };
        // The parts of a collection were counted when they came.
        let size = if anchor == 0 { 0 } else { size(&node) };
        self.place(node, anchor, size);
    }

    /// A value that is complete at once, `size` values in all.
    fn complete(&mut self, node: Node, anchor: usize, size: usize) {
        self.nodes += size;
        if !self.too_many(node.line) {
            self.place(node, anchor, size);
        }
    }

    fn too_many(&mut self, line: u32) -> bool {
        if self.nodes > NODES_MAX {
            self.refuse(
                line,
                format!("more than {NODES_MAX} values"),
                "fewer values, aliases counted each time",
            );
            self.over = true;
        }
        self.over
    }

    fn place(&mut self, node: Node, anchor: usize, size: usize) {
        if anchor != 0 {
            // Kept a second time, so counted a second time: anchors within anchors would multiply a long list.
            self.nodes += size;
            if self.too_many(node.line) {
                return;
            }
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut().map(|open| &mut open.collection) {
            None => self.root = self.root.take().or(Some(node)),
            Some(Collection::List(items)) => items.push(node),
            Some(Collection::Map { members, names, key, merged }) => match key.take() {
                None => {
                    let pending = self.key(node);
                    if let Some(Open { collection: Collection::Map { key, .. }, .. }) = self.open.last_mut() {
                        *key = Some(pending);
                    }
                }
                Some(Pending::Key(name)) => {
                    names.insert(name.text.clone());
                    members.push((name, node));
                }
                Some(Pending::Refused) => {}
                Some(Pending::Merge) => match node.value {
                    Value::List(items) => merged.extend(items),
                    Value::Map(_) | Value::Scalar { .. } => merged.push(node),
                },
            },
        }
    }

    /// What a node in the place of a key means.
    fn key(&mut self, node: Node) -> Pending {
        let Value::Scalar { text, plain } = node.value else {
            self.refuse(node.line, "a key that is a list or a mapping", "names as keys");
            return Pending::Refused;
        };
        if plain && text == "<<" {
            return Pending::Merge;
        }
        let twice = match self.open.last().map(|open| &open.collection) {
            Some(Collection::Map { names, .. }) => names.contains(&text),
            Some(Collection::List(_)) | None => false,
        };
        if twice {
            let found = format!("the key `{}` a second time", shorten(&text));
            self.refuse(node.line, found, "each key once");
            return Pending::Refused;
        }
        Pending::Key(Key { text, line: node.line })
    }

    fn finish(mut self) -> Result<Node, Violations> {
        match self.root.take() {
            Some(root) if self.violations.is_empty() && !root.is_null() => Ok(root),
            Some(_) if !self.violations.is_empty() => Err(self.violations),
            None if self.over => Err(self.violations),
            _ => {
                let mut violations = self.violations;
                violations.push(Violation::new(
                    &FieldPath::default(),
                    "an empty document",
                    "a TracingPolicy",
                ));
                Err(violations)
            }
        }
    }
}

/// Adds the members of a mapping under `<<`: those already there win.
fn merge(source: Node, members: &mut Vec<(Key, Node)>, names: &mut BTreeSet<String>) {
    let Value::Map(theirs) = source.value else { return };
    for (key, node) in theirs {
        if names.insert(key.text.clone()) {
            members.push((key, node));
        }
    }
}

/// How many values a value holds, itself included.
fn size(node: &Node) -> usize {
    match &node.value {
        Value::Scalar { .. } => 1,
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(members) => 1 + members.iter().map(|(_, node)| 1 + size(node)).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn scalars_keep_their_spelling_and_lines() {
        let root = parse("a: 010\nb:\n- '5'\n- !!str 7\n").unwrap();
        let octal = root.get("a").unwrap();
        assert_eq!(octal.value, Value::Scalar { text: "010".into(), plain: true });
        let Value::List(items) = &root.get("b").unwrap().value else { panic!("b is a list") };
        assert_eq!(items[0].value, Value::Scalar { text: "5".into(), plain: false });
        assert_eq!(items[1].value, Value::Scalar { text: "7".into(), plain: false });
        assert_eq!(items[1].line, 4);
    }

    #[test]
    fn aliases_and_merges_are_expanded() {
        let root = parse("base: &b {x: 1, y: 2}\nother:\n  <<: *b\n  y: 3\n").unwrap();
        let other = root.get("other").unwrap();
        assert_eq!(other.get("x").unwrap().describe(), "`1`");
        assert_eq!(other.get("y").unwrap().describe(), "`3`");
    }

    #[test]
    fn every_duplicate_key_is_reported() {
        let text = refusal("a: 1\na: 2\nb:\n  - c: 1\n    c: 2\n");
        assert_eq!(
            text,
            "line 2: found the key `a` a second time; allowed: each key once\n\
             line 5: b[0]: found the key `c` a second time; allowed: each key once"
        );
    }

    #[test]
    fn bombs_end_at_a_limit() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
        }
        assert!(refusal(&bomb).contains("more than 600000 values"), "{}", refusal(&bomb));
        let deep = format!("{}x{}", "[".repeat(100), "]".repeat(100));
        assert!(refusal(&deep).contains("more than 64 levels"));
        assert!(refusal(&"a".repeat(DOCUMENT_BYTES_MAX + 1)).contains("at most 1048576 bytes"));
    }

    #[test]
    fn what_is_not_one_document_is_refused() {
        assert!(refusal("").contains("an empty document"));
        assert!(refusal("# only a comment\n").contains("an empty document"));
        assert!(refusal("---\n").contains("an empty document"));
        assert!(refusal("a: 1\n---\nb: 2\n").starts_with("line 2: found a second document"));
        assert!(refusal("a: [1, 2\nb: }").contains("not YAML"));
        assert!(refusal("a: &x [*x]").contains("contains it"));
        assert!(refusal("a: !mine 1").contains("the tag `!mine`"));
    }

    #[test]
    fn lines_are_found_through_the_nearest_field() {
        let mut lines = Lines::default();
        lines.insert(FieldPath::new("spec.kprobes[0]"), 9);
        assert_eq!(lines.line(&FieldPath::new("spec.kprobes[0].selectors[3].x")), Some(9));
        assert_eq!(lines.line(&FieldPath::new("metadata")), None);
    }
}
