//! Reads what the script in the guest prints, step by step.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::checks;
use super::events::{self, Events};
use crate::lab::{CaseResult, record_of_cases};

/// JSON lines of a step that are shown to a person at most.
const LINES_SHOWN: usize = 4;

/// Takes the script's output as it comes.
#[derive(Debug, Default)]
pub struct Player {
    /// Bytes of a line that has not ended.
    partial: Vec<u8>,
    step: Option<Step>,
    /// Lines that are not for the player.
    other: Vec<String>,
}

/// A step that was played.
#[derive(Debug, Default)]
pub struct Step {
    /// From 1.
    pub number: usize,
    /// What it is about, one word.
    pub name: String,
    /// What a person would have typed and seen.
    said: Vec<String>,
    /// What the script found out.
    pub(super) facts: BTreeMap<String, String>,
    pub(super) events: Events,
    /// Events for a person to see: policy or kind, program, and what they hold.
    shown: Vec<[String; 3]>,
    /// The record of cases.
    record: String,
    /// Events that are no JSON.
    broken: Vec<String>,
}

impl Player {
    /// Takes more of the output; gives the steps that have ended.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Step> {
        let mut ended = Vec::new();
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            ended.extend(self.line(&line));
        }
        ended
    }

    /// What the script printed for nobody in particular: messages of the shell, mostly.
    pub fn other_output(&self) -> String {
        self.other.join("\n")
    }

    fn line(&mut self, line: &str) -> Option<Step> {
        if line == "@end" {
            return self.step.take();
        }
        let known = line.strip_prefix('@').and_then(|line| line.split_once(' ').or(Some((line, ""))));
        let Some((kind, rest)) = known else {
            self.other.push(line.to_owned());
            return None;
        };
        if kind == "begin" {
            let (number, name) = rest.split_once(' ').unwrap_or((rest, ""));
            let number = number.parse().unwrap_or_default();
            self.step = Some(Step { number, name: name.to_owned(), ..Step::default() });
            return None;
        }
        match &mut self.step {
            Some(step) => step.take(kind, rest),
            None => self.other.push(line.to_owned()),
        }
        None
    }
}

impl Step {
    fn take(&mut self, kind: &str, rest: &str) {
        match kind {
            "say" => self.said.push(rest.to_owned()),
            "case" => {
                self.record.push_str(rest);
                self.record.push('\n');
            }
            "fact" => {
                let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
                self.facts.insert(name.to_owned(), value.to_owned());
            }
            "show" => {
                let mut words = rest.splitn(3, ' ').map(str::to_owned);
                self.shown.push(std::array::from_fn(|_| words.next().unwrap_or_default()));
            }
            "event" => match serde_json::from_str::<Value>(rest) {
                Ok(event) => self.events.push(event),
                Err(error) => self.broken.push(format!("{error}: {rest}")),
            },
            _ => self.broken.push(format!("@{kind} {rest}")),
        }
    }

    /// `3-sigkill`
    pub fn title(&self) -> String {
        format!("{}-{}", self.number, self.name)
    }

    /// A fact, or nothing.
    pub(super) fn fact(&self, name: &str) -> &str {
        self.facts.get(name).map_or("", String::as_str)
    }

    /// What the script and the events say about the step.
    pub fn cases(&self) -> Vec<CaseResult> {
        let mut cases = record_of_cases(&self.record);
        cases.push(CaseResult::new("lines-are-whole", self.broken.is_empty(), || self.broken.join("\n")));
        cases.extend(checks::of_step(self));
        cases
    }

    /// What a person would have seen: commands, their output, events.
    pub fn transcript(&self) -> String {
        let mut text = String::new();
        for line in &self.said {
            let _ = writeln!(text, "  {line}");
        }
        let told: Vec<&Value> = self.events.told(&self.shown);
        for event in told.iter().take(LINES_SHOWN) {
            let _ = writeln!(text, "  {}", events::shortened(event));
        }
        if told.len() > LINES_SHOWN {
            let _ = writeln!(text, "  ... and {} more such events", told.len() - LINES_SHOWN);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_put_together_from_pieces() {
        let text = "noise\n@begin 9 restart\n@say $ true\n@fact tried 7\n@event {\"a\":1}\nnoise\n@case not ok x\n\
                    @case # why\n@event {\n@end\n@begin 10 x\n";
        let mut player = Player::default();
        let mut steps = Vec::new();
        for piece in text.as_bytes().chunks(7) {
            steps.extend(player.feed(piece));
        }
        let [step] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!((step.title().as_str(), step.fact("tried"), step.fact("x")), ("9-restart", "7", ""));
        assert_eq!(player.other_output(), "noise\nnoise");
        assert_eq!(step.transcript(), "  $ true\n");
        let failed: Vec<String> =
            step.cases().into_iter().filter(|case| case.failure.is_some()).map(|case| case.name).collect();
        assert!(
            failed.contains(&"x".to_owned()) && failed.contains(&"lines-are-whole".to_owned()),
            "{failed:?}"
        );
    }
}
