//! What came out of the ring, as text that a test can look at.

use lictor_node_worker::events::decode::{Field, FieldStatus, FieldValue, HookRecord, Record, decode};
use lictor_node_worker::port::RevisionDecoder;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One record of a hook point.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) revision: u32,
    pub(super) tgid: u32,
    pub(super) tid: u32,
    pub(super) boot_ns: u64,
    /// `POLICY:SELECTOR` of each rule that fired, joined by commas.
    pub(super) fired: String,
    /// Where, what came of it, and the values.
    pub(super) detail: String,
}

impl Event {
    /// The event on one line.
    pub(super) fn line(&self) -> String {
        format!(
            "{} {} {} {} {} {}",
            self.revision, self.tgid, self.tid, self.boot_ns, self.fired, self.detail
        )
    }

    /// Whether a rule of `policy` fired.
    pub(super) fn names(&self, policy: &str) -> bool {
        self.fired.split(',').any(|one| one.rsplit_once(':').is_some_and(|(name, _)| name == policy))
    }
}

/// Everything read from the ring so far.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) decoders: BTreeMap<u32, RevisionDecoder>,
    pub(super) events: Vec<Event>,
    /// Records of processes, and records that could not be read, by kind.
    pub(super) others: BTreeMap<&'static str, u64>,
    /// Polls of the ring that found it empty.
    pub(super) empty_polls: u64,
}

impl Journal {
    /// Takes one record.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let other = match decode(bytes) {
            Ok(Record::Hook(record)) => match self.event(&record) {
                Some(event) => return self.events.push(event),
                None => "unknown",
            },
            Ok(Record::Exec(_)) => "exec",
            Ok(Record::Exit(_)) => "exit",
            Ok(Record::Fork(_)) => "fork",
            Ok(Record::Cgroup(_)) => "cgroup",
            Ok(Record::Data(_)) => "data",
            Ok(Record::Hash(_)) => "hash",
            Err(_) => "broken",
        };
        *self.others.entry(other).or_default() += 1;
    }

    /// `None` when the record names a revision or a rule that there never was.
    fn event(&self, record: &HookRecord<'_>) -> Option<Event> {
        let head = &record.fixed.head;
        let decoder = self.decoders.get(&head.revision)?;
        let hook = decoder.hook(record.fixed.hook_slot)?;
        let mut fired = String::new();
        for one in record.fired() {
            let rule = hook.rules.get(usize::from(one.rule))?;
            let group = hook.groups.get(rule.group as usize)?;
            let policy = decoder.policy(group.policy)?;
            let comma = if fired.is_empty() { "" } else { "," };
            let _ = write!(fired, "{comma}{}:{}", policy.key, rule.selector);
        }
        let values: Vec<String> = record.fields().iter().map(shown).collect();
        Some(Event {
            revision: head.revision,
            tgid: head.tgid,
            tid: head.tid,
            boot_ns: head.boot_ns,
            fired,
            detail: format!(
                "{} verdict={} signal={} unresolved={:x} {}",
                hook.point,
                record.fixed.verdict,
                record.fixed.signal,
                record.fixed.unresolved_columns,
                values.join("|")
            ),
        })
    }
}

/// A value: numbers in decimal, files by their path, text and bytes with escapes.
fn shown(field: &Field<'_>) -> String {
    let value = match field.value {
        FieldValue::Nothing => String::new(),
        FieldValue::Elsewhere(data) => data.sent.to_string(),
        FieldValue::Number(number) => number.cast_signed().to_string(),
        FieldValue::Text(bytes) | FieldValue::Bytes(bytes) => bytes.escape_ascii().to_string(),
        FieldValue::File { path: text, .. }
        | FieldValue::Module(_, text)
        | FieldValue::BpfAttr(_, text)
        | FieldValue::BpfMap(_, text)
        | FieldValue::PerfEvent(_, text)
        | FieldValue::UnixAddress(_, text) => text.escape_ascii().to_string(),
        FieldValue::Credentials(found) => format!("{}:{}", found.euid, found.egid),
        FieldValue::UserNamespace(found) => found.level.to_string(),
        FieldValue::Endpoints(ends) => format!("{}:{}", ends.source_port, ends.destination_port),
    };
    match field.status {
        FieldStatus::Read => value,
        FieldStatus::Truncated => format!("{value}...{}", field.original_length),
        FieldStatus::Unresolved => format!("{value}(unresolved)"),
        FieldStatus::Absent => "(absent)".to_owned(),
        FieldStatus::Elsewhere => format!("({value} of {} elsewhere)", field.original_length),
    }
}
