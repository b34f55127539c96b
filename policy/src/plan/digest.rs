//! Digests: of a plan, and of a program's constants.

use super::{ArgPlan, Automaton, ColumnTable, GroupPlan, HookPlan, Plan, RulePlan, Trie, Vector};
use crate::model::{
    ArgKind, Call, CapabilitiesField, Enforcement, IntField, LabelTest, Mode, PolicyKey, Requirement, Scope,
    ShownAction,
};
use lictor_node_worker_ebpf::{LICTOR_ABI_VERSION, bytes_of};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// What is hashed: every value with its length or telling its own, so that no two plans are written the same. Short,
/// because hashing is most of the work of compiling.
struct Canonical {
    hash: Sha256,
    pending: Vec<u8>,
}

impl Canonical {
    fn new(what: &str) -> Self {
        let mut canonical = Self { hash: Sha256::new(), pending: Vec::new() };
        canonical.text(what);
        canonical.number(LICTOR_ABI_VERSION);
        canonical
    }

    /// Seven bits a byte, the lowest first; the last byte has the highest bit clear.
    fn number(&mut self, number: impl Into<u64>) {
        let mut number = number.into();
        while number >= 0x80 {
            self.pending.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.pending.push(number as u8);
    }

    fn length(&mut self, length: usize) {
        self.number(length as u64);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        const PENDING_MAX: usize = 1 << 16;
        self.length(bytes.len());
        self.pending.extend_from_slice(bytes);
        if self.pending.len() > PENDING_MAX {
            self.hash.update(&self.pending);
            self.pending.clear();
        }
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn optional_text(&mut self, text: Option<&str>) {
        self.number(u8::from(text.is_some()));
        self.text(text.unwrap_or(""));
    }

    fn optional_number(&mut self, number: Option<u8>) {
        self.number(number.map_or(0, |number| u64::from(number) + 1));
    }

    /// The words that are not 0, with their places.
    fn vector(&mut self, vector: &Vector) {
        let words = || (0_u64..).zip(&vector.0).filter(|(_, word)| **word != 0);
        self.length(words().count());
        for (place, word) in words() {
            self.number(place);
            self.bytes(&word.to_le_bytes());
        }
    }

    fn finish(mut self) -> [u8; 32] {
        self.hash.update(&self.pending);
        self.hash.finalize().into()
    }
}

/// SHA-256 over what tells the notifications of one policy from those of all others, and from those that it had when it was
/// written in another way.
pub(super) fn notifier_digest(key: &PolicyKey, mode: Mode, enforcements: &[Enforcement]) -> [u8; 32] {
    let mut canonical = Canonical::new("lictor notifications");
    write_name(&mut canonical, key, mode);
    canonical.length(enforcements.len());
    for enforcement in enforcements {
        canonical.number(enforcement.deny.map_or(0, i16::unsigned_abs));
        canonical.number(enforcement.signal.unwrap_or(0));
    }
    canonical.finish()
}

fn write_name(canonical: &mut Canonical, key: &PolicyKey, mode: Mode) {
    canonical.optional_text(key.namespace.as_deref());
    canonical.text(&key.name);
    canonical.number(match mode {
        Mode::Enforce => 0_u8,
        Mode::Monitor => 1,
    });
}

/// SHA-256 over all of a plan but its digest.
pub(super) fn digest(plan: &Plan) -> [u8; 32] {
    let mut canonical = Canonical::new("lictor plan");
    canonical.length(plan.policies.len());
    for policy in &plan.policies {
        write_name(&mut canonical, &policy.key, policy.mode);
        canonical.number(u8::from(policy.enforces));
        canonical.number(policy.scope.map_or(0, |scope| u64::from(scope) + 1));
    }
    canonical.length(plan.scopes.len());
    for scope in &plan.scopes {
        write_scope(&mut canonical, scope);
    }
    canonical.length(plan.hooks.len());
    for hook in &plan.hooks {
        write_hook(&mut canonical, hook);
    }
    for (trie, classes) in
        [(&plan.paths.prefixes, plan.paths.prefix_classes), (&plan.paths.suffixes, plan.paths.suffix_classes)]
    {
        canonical.number(classes);
        write_trie(&mut canonical, trie);
    }
    canonical.finish()
}

fn write_scope(canonical: &mut Canonical, scope: &Scope) {
    canonical.number(u8::from(scope.host) | u8::from(scope.pods.is_some()) << 1);
    let Some(pods) = &scope.pods else { return };
    canonical.optional_text(pods.namespace.as_deref());
    for requirements in [&pods.requirements, &pods.containers] {
        write_requirements(canonical, requirements);
    }
}

fn write_requirements(canonical: &mut Canonical, requirements: &BTreeSet<Requirement>) {
    canonical.length(requirements.len());
    for requirement in requirements {
        canonical.text(&requirement.key);
        let (number, values) = match &requirement.test {
            LabelTest::In(values) => (0_u8, Some(values)),
            LabelTest::NotIn(values) => (1, Some(values)),
            LabelTest::Exists => (2, None),
            LabelTest::DoesNotExist => (3, None),
        };
        canonical.number(number);
        let values = values.into_iter().flatten();
        canonical.length(values.clone().count());
        for value in values {
            canonical.text(value);
        }
    }
}

impl HookPlan {
    /// SHA-256 over what a program is loaded with, its slot and the number of its shape left out. A live program of
    /// the same digest can judge by this plan's tables.
    pub fn shape_digest(&self) -> [u8; 32] {
        let mut canonical = Canonical::new("lictor shape");
        write_shape(&mut canonical, self);
        canonical.finish()
    }
}

fn write_shape(canonical: &mut Canonical, hook: &HookPlan) {
    let shape = &hook.shape;
    canonical.number(hook.point.attach.wire());
    canonical.text(&hook.point.symbol);
    canonical.number(shape.flags);
    canonical.number(shape.argument_count);
    canonical.optional_number(shape.path_field);
    canonical.optional_number(shape.memo_field);
    canonical.length(shape.fields.len());
    for field in &shape.fields {
        canonical.bytes(bytes_of(field));
    }
    canonical.length(shape.columns.len());
    for column in &shape.columns {
        canonical.bytes(bytes_of(column));
    }
}

fn write_hook(canonical: &mut Canonical, hook: &HookPlan) {
    write_shape(canonical, hook);
    canonical.text(&hook.reason);
    canonical.length(hook.rules.len());
    for rule in &hook.rules {
        write_rule(canonical, rule);
    }
    canonical.length(hook.groups.len());
    for group in &hook.groups {
        write_group(canonical, group);
    }
    canonical.length(hook.vectors.len());
    for vector in &hook.vectors {
        canonical.vector(vector);
    }
    for column in &hook.columns {
        canonical.number(column.default_vector);
        canonical.number(column.unresolved_vector);
        write_table(canonical, &column.table);
    }
}

fn write_table(canonical: &mut Canonical, table: &ColumnTable) {
    match table {
        ColumnTable::Number { exact, intervals } => {
            canonical.length(exact.len());
            for (value, vector) in exact {
                canonical.number(*value);
                canonical.number(*vector);
            }
            canonical.length(intervals.len());
            for (begin, vector) in intervals {
                canonical.number(*begin);
                canonical.number(*vector);
            }
        }
        ColumnTable::Mask(bits) => {
            canonical.length(bits.len());
            for (bit, (positive, negative)) in bits {
                canonical.number(*bit);
                canonical.number(*positive);
                canonical.number(*negative);
            }
        }
        ColumnTable::Ancestors(values) | ColumnTable::Notifications(values) => {
            canonical.length(values.len());
            for (value, (positive, negative)) in values {
                canonical.number(*value);
                canonical.number(*positive);
                canonical.number(*negative);
            }
        }
        ColumnTable::Lineage(paths) => {
            canonical.length(paths.len());
            for (path, (positive, negative)) in paths {
                canonical.bytes(path.as_bytes());
                canonical.number(*positive);
                canonical.number(*negative);
            }
        }
        ColumnTable::Scope => {}
        ColumnTable::PathClasses(classes) => {
            canonical.length(classes.len());
            for vector in classes {
                canonical.number(*vector);
            }
        }
        ColumnTable::Text(trie) => write_trie(canonical, trie),
        ColumnTable::Substring(automaton) => write_automaton(canonical, automaton),
        ColumnTable::Expression(expressions) => {
            canonical.length(expressions.len());
            for expression in expressions {
                canonical.number(expression.wanted);
                canonical.number(expression.unresolved);
                canonical.number(expression.unread);
                canonical.length(expression.words.len());
                for word in &expression.words {
                    canonical.number(*word);
                }
            }
        }
    }
}

fn write_automaton(canonical: &mut Canonical, automaton: &Automaton) {
    canonical.length(automaton.edges.len());
    for ((state, byte), next) in &automaton.edges {
        canonical.number(*state);
        canonical.number(*byte);
        canonical.number(*next);
    }
    canonical.length(automaton.states.len());
    for state in &automaton.states {
        canonical.number(state.otherwise);
        canonical.number(state.found.0);
        canonical.number(state.found.1);
    }
}

fn write_trie(canonical: &mut Canonical, trie: &Trie) {
    canonical.number(trie.states);
    canonical.length(trie.entries.len());
    for ((state, bytes), entry) in &trie.entries {
        canonical.number(*state);
        canonical.bytes(bytes);
        canonical.number(entry.class);
        canonical.number(entry.next);
        canonical.number(u8::from(entry.extended));
    }
}

fn write_rule(canonical: &mut Canonical, rule: &RulePlan) {
    canonical.number(rule.group);
    canonical.number(rule.scope.map_or(0, |scope| u64::from(scope) + 1));
    canonical.number(rule.selector);
    canonical.optional_text(rule.label.as_deref());
    canonical.number(rule.flags);
    canonical.number(rule.verdict.cast_unsigned());
    canonical.number(rule.signal);
    canonical.number(rule.limit_interval_ns);
    canonical.number(rule.limit_scope);
    canonical.number(rule.limit_id);
    canonical.number(rule.set_value);
    canonical.number(rule.notification);
    canonical.length(rule.assignments.len());
    for word in rule.assignments.iter().flatten() {
        canonical.number(*word);
    }
    canonical.number(u8::from(rule.post));
    canonical.length(rule.calls.len());
    for call in &rule.calls {
        let (kind, target) = match call {
            Call::Url(url) => (0_u8, url),
            Call::Name(name) => (1, name),
        };
        canonical.number(kind);
        canonical.text(target);
    }
    for shown in [rule.shown, rule.shown_return] {
        canonical.number(match shown {
            ShownAction::Post => 0_u8,
            ShownAction::NoPost => 1,
            ShownAction::Sigkill => 2,
            ShownAction::Signal => 3,
            ShownAction::Override => 4,
            ShownAction::GetUrl => 5,
            ShownAction::DnsLookup => 6,
            ShownAction::TrackSock => 7,
            ShownAction::UntrackSock => 8,
            ShownAction::Set => 9,
            ShownAction::NotifyEnforcer => 10,
            ShownAction::CleanupEnforcerNotification => 11,
        });
    }
}

fn write_group(canonical: &mut Canonical, group: &GroupPlan) {
    canonical.number(group.policy);
    canonical.text(group.at.as_str());
    canonical.text(&group.function_name);
    canonical.optional_number(group.called);
    canonical.number(match group.event {
        super::EventKind::Kprobe => 0_u8,
        super::EventKind::Tracepoint => 1,
        super::EventKind::Lsm => 2,
        super::EventKind::Uprobe => 3,
        super::EventKind::Usdt => 4,
        super::EventKind::Loader => 5,
    });
    canonical.number(u8::from(group.user.is_some()));
    if let Some(user) = &group.user {
        canonical.text(&user.to_string());
    }
    canonical.length(group.args.len());
    for arg in &group.args {
        write_arg(canonical, arg);
    }
    canonical.length(group.data.len());
    for arg in &group.data {
        write_arg(canonical, arg);
    }
    canonical.number(u8::from(group.return_arg.is_some()));
    if let Some(arg) = &group.return_arg {
        write_arg(canonical, arg);
    }
    canonical.optional_text(group.message.as_deref());
    canonical.length(group.tags.len());
    for tag in &group.tags {
        canonical.text(tag);
    }
}

fn write_arg(canonical: &mut Canonical, arg: &ArgPlan) {
    canonical.optional_number(arg.field);
    canonical.optional_text(arg.label.as_deref());
    let (kind, int) = match arg.kind {
        ArgKind::Auto => (0_u8, None),
        ArgKind::Int(int) => (1, Some(int)),
        ArgKind::String => (2, None),
        ArgKind::CharBuf => (3, None),
        ArgKind::CharIovec => (4, None),
        ArgKind::File => (5, None),
        ArgKind::Fd => (6, None),
        ArgKind::Path => (7, None),
        ArgKind::Dentry => (8, None),
        ArgKind::Filename => (9, None),
        ArgKind::LinuxBinprm => (10, None),
        ArgKind::Capability => (11, None),
        ArgKind::Syscall => (24, None),
        ArgKind::Nop => (12, None),
        ArgKind::Sock => (13, None),
        ArgKind::Socket => (14, None),
        ArgKind::Skb => (15, None),
        ArgKind::Sockaddr => (16, None),
        ArgKind::Cred => (17, None),
        ArgKind::UserNamespace => (18, None),
        ArgKind::Module => (19, None),
        ArgKind::BpfAttr => (20, None),
        ArgKind::BpfMap => (21, None),
        ArgKind::PerfEvent => (22, None),
        ArgKind::NetDevice => (23, None),
        ArgKind::Capabilities(CapabilitiesField::Any) => (25, None),
        ArgKind::Capabilities(CapabilitiesField::Inheritable) => (26, None),
        ArgKind::Capabilities(CapabilitiesField::Permitted) => (27, None),
        ArgKind::Capabilities(CapabilitiesField::Effective) => (28, None),
        ArgKind::BpfCmd => (29, None),
        ArgKind::BpfProg => (30, None),
        ArgKind::LoadInfo => (31, None),
        ArgKind::Kiocb => (32, None),
        ArgKind::IovIter => (33, None),
        ArgKind::DataLoc => (34, None),
        ArgKind::ConstBuf => (35, None),
        ArgKind::SockaddrUn => (36, None),
    };
    canonical.number(kind);
    if let Some(int) = int {
        canonical.number(int.width);
        canonical.number(u8::from(int.signed));
        canonical.number(match int.shown_as {
            IntField::Int => 0_u8,
            IntField::Uint => 1,
            IntField::Long => 2,
            IntField::Size => 3,
        });
    }
}
