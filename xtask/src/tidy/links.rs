//! Links between documents lead somewhere.

use std::collections::BTreeMap;

use super::{Source, Violation};

/// `exists` tells whether something is at a path from the top of the repository.
pub(super) fn check(sources: &[Source], exists: impl Fn(&str) -> bool) -> Vec<Violation> {
    let documents: BTreeMap<&str, &Source> = sources
        .iter()
        .filter(|source| source.extension() == "md")
        .map(|source| (source.path.as_str(), source))
        .collect();
    let mut found = Vec::new();
    for source in documents.values() {
        for (line, link) in links(&source.text) {
            let (path, anchor) =
                link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
            let target = if path.is_empty() { source.path.clone() } else { resolve(&source.path, path) };
            if !exists(&target) && !documents.contains_key(target.as_str()) {
                found.push(source.violation(line, format!("the link `{link}` leads nowhere")));
            } else if let (Some(anchor), Some(document)) = (anchor, documents.get(target.as_str()))
                && !anchors(&document.text).iter().any(|known| known == anchor)
            {
                found.push(source.violation(line, format!("{target} has no heading for `#{anchor}`")));
            }
        }
    }
    found
}

/// Relative links with the number of their line; code blocks hold none.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in outside_code(text) {
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            let Some(end) = rest.find([')', ' ']) else { continue };
            let link = rest[..end].trim_matches(['<', '>']);
            if !link.contains("://") && !link.starts_with("mailto:") && !link.is_empty() {
                found.push((number, link));
            }
        }
    }
    found
}

fn outside_code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        (!code && !fence).then_some((index + 1, line))
    })
}

/// A link's path as seen from the top of the repository.
fn resolve(document: &str, link: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    if link.starts_with('/') {
        parts.clear();
    }
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The names under which a document's headings can be linked to.
fn anchors(text: &str) -> Vec<String> {
    let headings = outside_code(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len() && title.starts_with(' ')).then(|| title.trim())
    });
    headings
        .map(|title| {
            let kept =
                title.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
            kept.collect::<String>().to_lowercase().replace(' ', "-")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn broken(text: &str) -> Vec<usize> {
        let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let other = source("docs/other.md", "# The `other` one\n");
        check(&[source("docs/a.md", text), other], |path| path == "LICENSE")
            .into_iter()
            .map(|violation| violation.line)
            .collect()
    }

    #[test]
    fn good_links_pass() {
        let text = "# Top\n[a](other.md) [b](../LICENSE) [c](#top) [d](other.md#the-other-one)\n\
                    [e](https://x.example/nothing)\n```\n[f](missing)\n```\n";
        assert_eq!(broken(text), NONE);
    }

    #[test]
    fn broken_links_are_found() {
        assert_eq!(broken("[a](missing.md)\n\n[b](../docs/none.md \"title\")\n"), [1, 3]);
        assert_eq!(broken("[a](#nothing)\n[b](other.md#nothing)\n"), [1, 2]);
    }
}
