//! One layout for policy files: indentation, blank lines, ends of lines, and the spelling of fields. Comments, order,
//! quotes and what stands within one line stay.
//!
//! Lines are moved, not written anew, so nothing can get lost; and the result is read again and compared.

use crate::convert::respell;
use crate::model::FieldPath;
use crate::parse::{Node, Value, parse};
use crate::violation::{Violation, Violations};

/// Columns by which a mapping within a mapping is moved to the right. Lists stand below their key.
const STEP: usize = 2;

/// Gives a policy file its layout.
///
/// # Errors
/// The text is no YAML, or it has a form whose layout cannot be changed without changing what it says.
pub fn pretty(text: &str) -> Result<String, Violations> {
    let before = parse(text)?;
    let respelled = respell(text)?;
    let laid_out = lay_out(&respelled.text);
    let same = |after: &Node| same(&before, after);
    if parse(&laid_out).is_ok_and(|after| same(&after)) {
        return Ok(laid_out);
    }
    let found = "a layout that cannot be changed without changing what it says";
    let violation =
        Violation::new(&FieldPath::default(), found, "one key or list item a line, or all on one line");
    Err(violation
        .hint("lay it out by hand: several lines within brackets or quotes are the likely cause")
        .into())
}

/// Whether two documents say the same, but for the case of fields' names.
fn same(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Value::Scalar { text: one, plain }, Value::Scalar { text: other, plain: as_plain }) => {
            one == other && plain == as_plain
        }
        (Value::List(ones), Value::List(others)) => {
            ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| same(one, other))
        }
        (Value::Map(ones), Value::Map(others)) => {
            ones.len() == others.len()
                && ones.iter().zip(others).all(|((key, one), (other_key, other))| {
                    key.text.eq_ignore_ascii_case(&other_key.text) && same(one, other)
                })
        }
        (Value::Scalar { .. } | Value::List(_) | Value::Map(_), _) => false,
    }
}

/// What is open where a line begins.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// Column in the text as it is.
    from: usize,
    /// Column in the new one.
    to: usize,
    /// Of a list, else of a mapping.
    list: bool,
}

fn lay_out(text: &str) -> String {
    let mut writer = Writer::default();
    for line in text.trim_start_matches('\u{feff}').lines() {
        writer.line(line.trim_end());
    }
    writer.comments(0);
    let end = writer.out.trim_end_matches('\n').len();
    writer.out.truncate(end);
    writer.out.push('\n');
    writer.out
}

#[derive(Default)]
struct Writer {
    out: String,
    levels: Vec<Level>,
    /// Comments whose place is that of what follows them.
    waiting: Vec<String>,
    /// Within a text of several lines or within brackets: columns by which its lines are moved.
    inside: Option<Inside>,
}

/// Lines that belong to the line before them.
struct Inside {
    /// Columns of the block that its lines stand right of; `None` = until the brackets and quotes are closed.
    right_of: Option<usize>,
    /// Columns to move by; `None` = told by the first line of a block.
    by: Option<isize>,
    /// Where a block begins in the new text.
    to: usize,
    open: Open,
}

/// Brackets and quotes that are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Open {
    brackets: usize,
    quote: Option<char>,
}

impl Open {
    /// What is open after this part of a line.
    fn after(mut self, text: &str) -> Self {
        let mut before = ' ';
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match (self.quote, letter) {
                (Some(quote), _) => {
                    let escape = quote == '"' && letter == '\\';
                    let doubled = quote == '\'' && letter == '\'' && letters.peek() == Some(&'\'');
                    if escape || doubled {
                        letters.next();
                    } else if letter == quote {
                        self.quote = None;
                    }
                }
                (None, '#') if before.is_whitespace() => return self,
                // Quotes and brackets within a plain word are letters.
                (None, '"' | '\'') if before.is_whitespace() || "[{,:-".contains(before) => {
                    self.quote = Some(letter);
                }
                (None, '[' | '{') if self.brackets > 0 || before.is_whitespace() => self.brackets += 1,
                (None, ']' | '}') => self.brackets = self.brackets.saturating_sub(1),
                (None, _) => {}
            }
            before = letter;
        }
        self
    }
}

impl Writer {
    fn line(&mut self, line: &str) {
        if self.inside(line) {
            return;
        }
        let content = line.trim_start();
        if content.is_empty() {
            self.waiting.push(String::new());
        } else if content.starts_with('#') {
            self.waiting.push(content.to_owned());
        } else {
            self.content(line.len() - content.len(), content);
        }
    }

    /// A line with a key, a list item, or the rest of a plain text.
    fn content(&mut self, from: usize, content: &str) {
        let (mut column, mut rest) = (from, content);
        let mut to = None;
        let mut items = String::new();
        while let Some(after) = rest.strip_prefix("- ").or_else(|| (rest == "-").then_some("")) {
            let level = self.open(column, true);
            to.get_or_insert(level);
            items.push_str("- ");
            let next = after.trim_start();
            column += rest.len() - next.len();
            rest = next;
        }
        // What stands behind the dashes is a mapping only when it has a key; another level does no harm.
        let own = if rest.is_empty() { None } else { Some(self.open(column, false)) };
        let to = to.or(own).unwrap_or(0);
        self.comments(to);
        self.out.push_str(&" ".repeat(to));
        self.out.push_str(&items);
        self.out.push_str(rest);
        while self.out.ends_with(' ') {
            self.out.pop();
        }
        self.out.push('\n');
        self.begin(rest, from, to, own.unwrap_or(to));
    }

    /// The column of a list or mapping that stands at `from`: of one that is open, or of a new one.
    fn open(&mut self, from: usize, list: bool) -> usize {
        while let Some(top) = self.levels.last() {
            let ended = top.from > from || (top.from == from && top.list && !list);
            if !ended {
                break;
            }
            self.levels.pop();
        }
        if let Some(top) = self.levels.last().filter(|top| top.from == from && top.list == list) {
            return top.to;
        }
        let to = match self.levels.last() {
            None => 0,
            // A list stands below its key; within a list, right of the dash.
            Some(top) if list && !top.list => top.to,
            Some(top) => top.to + STEP,
        };
        self.levels.push(Level { from, to, list });
        to
    }

    /// Whether the line goes on with a text of several lines or within brackets, or begins such a thing.
    fn begin(&mut self, content: &str, from: usize, to: usize, own: usize) {
        let open = Open::default().after(content);
        if open != Open::default() {
            let by = to.cast_signed() - from.cast_signed();
            self.inside = Some(Inside { right_of: None, by: Some(by), to: own, open });
            return;
        }
        let words = content.split(" #").next().unwrap_or_default().trim_end();
        let header = words.rsplit([' ', '\t']).next().unwrap_or_default();
        let block = header.starts_with(['|', '>']) && header.len() <= 3;
        // One that tells its own indentation is left as it stands, and found out by reading it again.
        if block {
            let right_of = self.levels.iter().rev().find(|level| !level.list).map_or(0, |level| level.from);
            self.inside = Some(Inside { right_of: Some(right_of), by: None, to: own + STEP, open });
        }
    }

    fn inside(&mut self, line: &str) -> bool {
        let Some(mut inside) = self.inside.take() else { return false };
        let column = line.len() - line.trim_start().len();
        if let Some(right_of) = inside.right_of {
            if line.is_empty() {
                self.out.push('\n');
                self.inside = Some(inside);
                return true;
            }
            if column <= right_of {
                return false;
            }
        }
        let by = *inside.by.get_or_insert(inside.to.cast_signed() - column.cast_signed());
        if !line.is_empty() {
            self.out.push_str(&" ".repeat(column.saturating_add_signed(by)));
            self.out.push_str(line.trim_start());
        }
        self.out.push('\n');
        inside.open = inside.open.after(line);
        if inside.right_of.is_some() || inside.open != Open::default() {
            self.inside = Some(inside);
        }
        true
    }

    /// The comments and blank lines before a line at column `to`: of several blank lines one is left.
    fn comments(&mut self, to: usize) {
        let waiting = std::mem::take(&mut self.waiting);
        for line in waiting {
            if line.is_empty() {
                if !self.out.is_empty() && !self.out.ends_with("\n\n") {
                    self.out.push('\n');
                }
            } else {
                self.out.push_str(&" ".repeat(to));
                self.out.push_str(&line);
                self.out.push('\n');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Path, PathBuf};

    const UGLY: &str = "\u{feff}# Guards keys.\r\napiVersion: lictor.io/v1alpha1\nkind:   TracingPolicy  \nmetadata:\n    name: keys\n\n\n\
        spec:\n    lsmhooks:\n        # Opening.\n        -   hook: file_open   # the file\n            args: [ {index: 0, type: file} ]\n            \
        Selectors:\n                - matchArgs:\n                      - index: 0\n                        operator: Prefix\n                        \
        values: [ /etc/ssh/,\n                                  '/home/ # .ssh/' ]\n                  matchActions:\n                  \
        - { action: Override, argError: -1 }\n            message: >-\n                two\n                lines\n\n        # End.\n\n\n";

    const PRETTY: &str = "# Guards keys.\napiVersion: lictor.io/v1alpha1\nkind:   TracingPolicy\nmetadata:\n  name: keys\n\n\
        spec:\n  lsmhooks:\n  # Opening.\n  - hook: file_open   # the file\n    args: [ {index: 0, type: file} ]\n    \
        selectors:\n    - matchArgs:\n      - index: 0\n        operator: Prefix\n        values: [ /etc/ssh/,\n                  \
        '/home/ # .ssh/' ]\n      matchActions:\n      - { action: Override, argError: -1 }\n    message: >-\n      two\n      lines\n\n# End.\n";

    #[test]
    fn the_layout_changes_and_nothing_else() {
        let laid_out = pretty(UGLY).unwrap();
        assert_eq!(laid_out, PRETTY);
        assert_eq!(pretty(&laid_out).unwrap(), PRETTY);
        let (before, after) = (crate::load(UGLY, None).unwrap(), crate::load(PRETTY, None).unwrap());
        assert_eq!(before.policy, after.policy);
    }

    #[test]
    fn what_is_no_yaml_is_refused() {
        assert!(pretty("a: [").is_err());
        assert!(pretty("a: 1\na: 2\n").is_err());
    }

    fn policies() -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
        let mut found = Vec::new();
        let mut directories = vec![root.join("accept"), root.join("established")];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|extension| extension == "yaml") {
                    found.push(path);
                }
            }
        }
        found
    }

    #[test]
    fn every_known_policy_can_be_laid_out_and_stays_what_it_is() {
        let policies = policies();
        assert!(policies.len() > 100, "{}", policies.len());
        for path in policies {
            let text = std::fs::read_to_string(&path).unwrap();
            let laid_out = pretty(&text).unwrap_or_else(|wrong| panic!("{}: {wrong}", path.display()));
            assert_eq!(pretty(&laid_out).unwrap(), laid_out, "{}", path.display());
            let comments = |text: &str| text.matches('#').count();
            assert_eq!(comments(&text), comments(&laid_out), "{}", path.display());
            if let Ok(before) = crate::load(&text, None) {
                assert_eq!(crate::load(&laid_out, None).unwrap().policy, before.policy, "{}", path.display());
            }
        }
    }

    proptest! {
        /// Whatever comes out says the same as what went in, and stays as it is.
        #[test]
        fn any_text_is_survived(text in "([a-c]: |- |\n| {1,3}|[a-c]|\\[|\\]|\\{|\\}|,|'|\"|#|\\|\n|>-\n|&x |\\*x){0,40}") {
            if let Ok(laid_out) = pretty(&text) {
                let (before, after) = (parse(&text).unwrap(), parse(&laid_out).unwrap());
                prop_assert!(same(&before, &after));
                prop_assert_eq!(pretty(&laid_out).unwrap(), laid_out);
            }
        }
    }
}
