//! Policies to measure with, as their authors would write them.

use super::operations::DIRECTORY;
use std::fmt::Write as _;

/// What the rules of a set are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hooks {
    /// LSM hooks: each policy has `file_open` and denies there; two of three have `file_permission`, one of three
    /// `mmap_file` beside it. The first has all three.
    Lsm,
    /// `security_file_permission` as a function, observed.
    Observe,
    /// The system call `write`, filtered by its descriptor.
    Descriptor,
}

/// What the last policy of a set is, when it is not like the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// Like the others.
    Same,
    /// Names the measured file's directory, and a program that is not running.
    Named,
    /// Matches the measured file and reports nothing.
    Silent,
    /// Matches the measured file and reports it with its path.
    ReportPath,
    /// Matches the measured file, reported without a value.
    ReportBare,
    /// All policies name the measured file's directory, and programs that are not running.
    AllNamed,
}

/// A set of policies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set {
    pub(super) hooks: Hooks,
    pub(super) last: Last,
    pub(super) policies: u32,
    /// Rules of each policy at each of its hooks.
    pub(super) rules: u32,
}

impl Set {
    /// `policies` policies of one rule per hook.
    pub(super) fn new(hooks: Hooks, last: Last, policies: u32) -> Self {
        Self { hooks, last, policies, rules: 1 }
    }

    /// The texts.
    pub(super) fn texts(self) -> Vec<String> {
        (0..self.policies).map(|number| self.text(number)).collect()
    }

    /// The text of one policy.
    pub(super) fn text(self, number: u32) -> String {
        let mut text = format!(
            "apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: bench-{number:05}\nspec:\n"
        );
        match self.hooks {
            Hooks::Lsm => self.lsm(number, &mut text),
            Hooks::Observe => {
                text.push_str("  kprobes:\n");
                let hook = "call: security_file_permission\n    syscall: false";
                self.hook(number, hook, "      - action: Post\n", &mut text);
            }
            Hooks::Descriptor => descriptor(number, &mut text),
        }
        text
    }

    fn lsm(self, number: u32, text: &mut String) {
        text.push_str("  lsmhooks:\n");
        let hooks = [("file_open", 1), ("file_permission", 2), ("mmap_file", 3)];
        let count = [3, 1, 2][number as usize % 3];
        for (hook, _) in hooks.iter().filter(|(_, position)| *position <= count) {
            self.hook(number, &format!("hook: {hook}"), "      - {action: Override, argError: -1}\n", text);
        }
    }

    fn is_last(self, number: u32) -> bool {
        number + 1 == self.policies
    }

    fn hook(self, number: u32, hook: &str, action: &str, text: &mut String) {
        let last = match (self.last, self.is_last(number)) {
            (Last::AllNamed, _) => Last::AllNamed,
            (last, true) => last,
            (_, false) => Last::Same,
        };
        let _ = writeln!(text, "  - {hook}");
        if last == Last::ReportBare {
            // Nothing of the event but the task is read.
            let _ = writeln!(
                text,
                "    selectors:\n    - matchBinaries:\n      - {{operator: In, values: [/usr/bin/lictor-lab]}}\n      matchActions:\n      - action: Post"
            );
            return;
        }
        text.push_str("    args:\n    - {index: 0, type: file}\n    selectors:\n");
        for rule in 0..self.rules {
            let number = number * self.rules + rule;
            let (operator, value, binary) = self.predicate(last, number);
            let _ = writeln!(
                text,
                "    - matchArgs:\n      - {{index: 0, operator: {operator}, values: [{value}]}}"
            );
            if let Some(binary) = binary {
                let _ = writeln!(text, "      matchBinaries:\n      - {{operator: In, values: [{binary}]}}");
            }
            text.push_str("      matchActions:\n");
            match last {
                Last::Silent => text.push_str("      - action: NoPost\n"),
                Last::ReportPath => text.push_str("      - action: Post\n"),
                Last::Same | Last::Named | Last::AllNamed | Last::ReportBare => text.push_str(action),
            }
        }
    }

    /// Operator and value of the path, and the program.
    fn predicate(self, last: Last, number: u32) -> (&'static str, String, Option<String>) {
        let other = || Some("/usr/bin/other".to_owned());
        match last {
            Last::Named => return ("Prefix", DIRECTORY.to_owned(), other()),
            Last::AllNamed => {
                return ("Prefix", DIRECTORY.to_owned(), Some(format!("/usr/bin/tool-{}", number % 64)));
            }
            Last::Silent | Last::ReportPath | Last::ReportBare => {
                return ("Prefix", DIRECTORY.to_owned(), None);
            }
            Last::Same => {}
        }
        if self.hooks == Hooks::Observe && number == 0 {
            return ("Prefix", "/etc/".to_owned(), None);
        }
        let directory = format!("/srv/tenant-{:04}/data/{:03}/", number % 5000 + 1, number * 7 % 997);
        if number.is_multiple_of(2) {
            ("Prefix", directory, None)
        } else {
            (
                "Equal",
                format!("{directory}models/weights.bin"),
                Some(format!("/usr/bin/tool-{}", number % 64)),
            )
        }
    }
}

/// Asks for a descriptor that nobody has.
fn descriptor(number: u32, text: &mut String) {
    let descriptor = 100_000 + number;
    let _ = write!(
        text,
        "  kprobes:\n  - call: sys_write\n    syscall: true\n    args:\n    - {{index: 0, type: int}}\n    \
         selectors:\n    - matchArgs:\n      - {{index: 0, operator: Equal, values: [\"{descriptor}\"]}}\n      \
         matchActions:\n      - action: Post\n"
    );
}

#[cfg(test)]
mod tests {
    use super::super::operations::FILE;
    use super::*;

    #[test]
    fn every_kind_of_policy_loads() {
        for hooks in [Hooks::Lsm, Hooks::Observe, Hooks::Descriptor] {
            for last in
                [Last::Same, Last::Named, Last::Silent, Last::ReportPath, Last::ReportBare, Last::AllNamed]
            {
                for text in (Set { rules: 2, ..Set::new(hooks, last, 4) }).texts() {
                    let violations = lictor_policy::load(&text, None).err();
                    assert!(violations.is_none(), "{violations:?}\n{text}");
                }
            }
        }
    }

    #[test]
    fn the_first_policies_do_not_name_the_file() {
        for text in Set::new(Hooks::Lsm, Last::Same, 8).texts() {
            assert!(!text.contains(DIRECTORY) && !text.contains(FILE), "{text}");
        }
    }
}
