//! What should trigger each policy, and what must come of it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};

/// The round whose policies are only explained.
pub(super) const EXPLAINED: u32 = 0;

/// The round whose policies select pods, driven without a node worker.
pub(super) const PODS: u32 = 6;

const TRIGGERS: &str = include_str!("triggers.txt");

/// A policy, and what is done about it while it is live.
#[derive(Debug)]
pub(super) struct Trigger {
    /// Policies of one round are live together.
    pub(super) round: u32,
    /// The policy's file.
    pub(super) file: String,
    /// Shell commands.
    pub(super) commands: Vec<String>,
    /// Patterns of events, each of which must come.
    pub(super) events: Vec<String>,
    /// A kernel that does not take the policy, and what the node worker says then.
    pub(super) refused: Option<(String, String)>,
    /// Why no event can come.
    pub(super) none: Option<String>,
}

/// All of `triggers.txt`.
pub(super) fn triggers() -> Result<Vec<Trigger>> {
    let mut all: Vec<Trigger> = Vec::new();
    for line in TRIGGERS.lines().filter(|line| !line.is_empty() && !line.trim_start().starts_with('#')) {
        if let Some(line) = line.strip_prefix('\t') {
            let trigger = all.last_mut().with_context(|| format!("`{line}` is of no policy"))?;
            match line.split_once(' ') {
                Some(("$", command)) => trigger.commands.push(command.to_owned()),
                Some((">", event)) => trigger.events.push(event.to_owned()),
                Some(("-", why)) => trigger.none = Some(why.to_owned()),
                Some(("!", refused)) => {
                    let (kernel, why) = refused.split_once(' ').with_context(|| line.to_owned())?;
                    trigger.refused = Some((kernel.to_owned(), why.to_owned()));
                }
                _ => bail!("`{line}` is neither a command nor an event nor a reason"),
            }
        } else {
            let (round, file) = line.split_once(' ').with_context(|| format!("`{line}` names no file"))?;
            let (round, file) = (round.parse().with_context(|| line.to_owned())?, file.to_owned());
            all.push(Trigger {
                round,
                file,
                commands: Vec::new(),
                events: Vec::new(),
                refused: None,
                none: None,
            });
        }
    }
    Ok(all)
}

/// The shell commands of all rounds in which policies are live.
pub(super) fn script(triggers: &[&Trigger]) -> String {
    let mut text = String::new();
    let rounds: BTreeSet<u32> = triggers.iter().map(|trigger| trigger.round).collect();
    for round in rounds.into_iter().filter(|&round| round != EXPLAINED) {
        let kind = if round == PODS { "pods" } else { "round" };
        let _ = writeln!(text, "{kind}_begin {round}");
        for trigger in triggers.iter().filter(|trigger| trigger.round == round) {
            let _ = writeln!(text, "# {}\n{{\n{}\n}} >/dev/null", trigger.file, trigger.commands.join("\n"));
        }
        let _ = writeln!(text, "{kind}_end {round}");
    }
    text
}

/// Whether a text is what a pattern says; `*` stands for any text.
pub(super) fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_compared_from_end_to_end() {
        for (text, pattern) in [("abc", "abc"), ("abc", "*"), ("abcabd", "a*b*d"), ("abab", "*ab"), ("", "*")]
        {
            assert!(is_like(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in [("abc", "ab"), ("abc", "bc"), ("abc", "*b"), ("abc", "b*"), ("ab", "a*b*b")] {
            assert!(!is_like(text, pattern), "{text} {pattern}");
        }
    }

    #[test]
    fn a_policy_that_becomes_live_has_an_event_or_a_reason() {
        for trigger in triggers().unwrap() {
            let live = trigger.round != EXPLAINED;
            assert_eq!(live, trigger.events.is_empty() == trigger.none.is_some(), "{trigger:?}");
            assert!(!live || !trigger.commands.is_empty(), "{trigger:?}");
        }
    }
}
